"""R10: eight members at once, two processes, whatever they think of."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.chaos.machines import running
from tests.chaos.rounds import Plan, Size, acknowledged, crowd_in, judged, settle
from tests.chaos.shopping import goods_of, new_family, shop

MEMBERS = 8
PRODUCTS = 40
"""With every member's own line of each, the cart is still below its limit of 500 lines."""


async def test_the_cart_is_what_was_acknowledged(plan: Plan, told: Mapping[str, str], tmp_path: Path) -> None:
    operations = plan.count(40, 500)
    async with running(tmp_path, told, plan.lasts_s) as machines:
        goods = (await goods_of(machines.urls[0])).only(PRODUCTS)
        async with httpx.AsyncClient(base_url=machines.urls[0], timeout=20) as web:
            family = await new_family(web, MEMBERS)
        size = Size(carts=1, members=MEMBERS, pause_s=0, till=False)
        folder = tmp_path / "diaries"
        async with crowd_in(machines, [family], goods, size, str(plan.seed), folder) as crowd:
            await asyncio.gather(
                *(
                    shop(phone, plan.dice(f"{n}"), goods.barcodes, operations)
                    for n, phone in enumerate(crowd.phones)
                )
            )
            await settle(machines, crowd, [family.session_id])
        carts = await judged(machines, [family], goods, folder)
    plan.tell("R10, crowd", n=f"{MEMBERS * operations} operations", acknowledged=acknowledged(carts))
