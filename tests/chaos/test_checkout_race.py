"""R10, second clause: an add that races with checkout is in the order and paid for, or still in the cart."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

from tests.chaos import diary
from tests.chaos.checker import Cart, judge, judge_order
from tests.chaos.machines import Machines, running
from tests.chaos.paying import Json, becomes, client_of, report, start_to_pay
from tests.chaos.phone import ChaosPhone
from tests.chaos.rounds import Plan, Size, crowd_in, read_log, settle
from tests.chaos.shopping import Family, Goods, goods_of, new_family

MEMBERS = 4
AT_ONCE = 4
PAUSE_S = 0.4
"""The mean rest of each phone between two scans; with less, nobody ever gets to pay the cart that was quoted."""
FAILS_FIRST = 0.4
"""How often a payment fails first, and the cart is open again."""
REFUSALS = frozenset({"cart_locked", "cart_closed", "line_not_found"})


async def add_until_closed(phone: ChaosPhone, goods: Goods, dice: random.Random) -> None:
    """Scan through everything, until the cart is paid."""
    while True:
        answer = await phone.do("add", barcode=dice.choice(goods.barcodes), qty=dice.randint(1, 3))
        if answer["type"] == "error" and answer["code"] == "cart_closed":
            return
        await asyncio.sleep(dice.uniform(0, 2 * PAUSE_S))


async def pay(machines: Machines, family: Family, dice: random.Random) -> Json:
    """Try to pay while the others scan, perhaps failing first; the order."""
    async with client_of(dice.choice(machines.urls)) as web:
        await asyncio.sleep(dice.uniform(0.2, 0.8))
        if dice.random() < FAILS_FIRST:
            await report(web, await locked(family, dice), "payment.failed")
            await becomes(family.host, family.session_id, "active")
        payment = await locked(family, dice)
        await report(web, payment, "payment.captured")
    await becomes(family.host, family.session_id, "completed")
    paid = await family.host.get(f"/payment/{payment['payment_id']}")
    order: Json = await family.host.get(f"/orders/{paid['order_id']}")
    return order


async def locked(family: Family, dice: random.Random) -> Json:
    """Quote and start to pay until nobody scans in between; the payment, some time after it locked the cart."""
    while True:
        payment = await start_to_pay(family.host, family.session_id)
        if payment is not None:
            await asyncio.sleep(dice.uniform(0, 0.3))
            return payment
        await asyncio.sleep(dice.uniform(0, 0.05))


async def race(
    machines: Machines, goods: Goods, folder: Path, dice: random.Random, name: str
) -> tuple[int, int]:
    """One family's checkout; how many adds were acknowledged, and how many refused."""
    async with client_of(machines.urls[0]) as web:
        family = await new_family(web, MEMBERS)
        size = Size(carts=1, members=MEMBERS, pause_s=0, till=False)
        async with crowd_in(machines, [family], goods, size, name, folder) as crowd:
            scanning = [
                asyncio.create_task(add_until_closed(phone, goods, random.Random(f"{name} {n}")))
                for n, phone in enumerate(crowd.phones)
            ]
            order = await pay(machines, family, dice)
            await asyncio.gather(*scanning)
            await settle(machines, crowd, [family.session_id])
    cart = Cart(await read_log(machines, family.session_id), diary.read_all(folder))
    findings = [*judge(cart, goods.prices, REFUSALS), *judge_order(cart, order)]
    assert not findings, "\n".join([f"diaries in {folder}", *findings[:20]])
    return answers(cart, "ack"), answers(cart, "error")


def answers(cart: Cart, kind: str) -> int:
    records = (record for each in cart.diaries for record in each.records)
    return sum(record["is"] == "got" and record["frame"]["type"] == kind for record in records)


async def test_what_races_with_checkout(plan: Plan, told: Mapping[str, str], tmp_path: Path) -> None:
    rounds = plan.count(3, 100)
    added = refused = 0
    async with running(tmp_path, told, plan.lasts_s) as machines:
        goods = await goods_of(machines.urls[0])
        for number in range(rounds):
            names = [f"{number}-{n}" for n in range(AT_ONCE)]
            races = [race(machines, goods, tmp_path / name, plan.dice(name), name) for name in names]
            for acks, errors in await asyncio.gather(*races):
                added, refused = added + acks, refused + errors
    plan.tell(
        "R10, checkout",
        n=f"{rounds * AT_ONCE} checkouts",
        adds_acknowledged=added,
        adds_refused=refused,
        gone=0,
    )
