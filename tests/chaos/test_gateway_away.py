"""R6 with real processes: webhooks are lost and the gateway is silent for a while; then every payment is settled soon."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos.machines import running
from tests.chaos.paying import Json, locked_carts, majority
from tests.chaos.rounds import Plan
from tests.chaos.simulator import order_of, simulating
from tests.money import judge_money

SETTLED_WITHIN_S = 120.0
ACTS = {"/pay/{}/approve": "captured", "/pay/{}/decline": "failed", "/v1/orders/{}/expire": "expired"}
"""What happens at the gateway meanwhile, and what the payment is then."""
SILENT = {"webhook_copies": 0, "api": "drops", "api_hang_s": 1.0}


def open_ones(rows: Sequence[Json], expected: Mapping[str, str]) -> list[str]:
    """The payments that are not yet what the gateway knows."""
    status = {row["_id"]: row["status"] for row in rows}
    return [payment_id for payment_id, ends in expected.items() if status[payment_id] != ends]


async def test_every_payment_is_settled_soon_after(plan: Plan, tmp_path: Path) -> None:
    away_s, number = plan.count(8, 420), plan.count(12, 120)
    dice = plan.dice()
    expected: dict[str, str] = {}
    async with simulating(tmp_path) as (simulator, relay):
        told = {**simulator.told, "QLESS_PAYMENT_TTL_S": "7200"}
        async with running(tmp_path, told, plan.lasts_s) as machines, majority(machines) as database:
            relay.servers = machines.urls
            payments = await locked_carts(machines, number)
            await simulator.all_faults(**SILENT)
            silent_since = time.monotonic()
            for payment in payments:
                act = dice.choice(list(ACTS))
                assert "code" not in await simulator.call("POST", act.format(order_of(payment)), {})
                expected[payment["payment_id"]] = ACTS[act]
                await asyncio.sleep(dice.uniform(0, 2 * 0.8 * away_s / number))
            await asyncio.sleep(max(0.0, silent_since + away_s - time.monotonic()))
            waiting = open_ones(await database["payments"].find().to_list(), expected)
            assert len(waiting) == number, "somebody heard of it"
            await simulator.all_faults(webhook_copies=0)
            back = time.monotonic()
            while waiting and time.monotonic() - back < SETTLED_WITHIN_S:
                await asyncio.sleep(0.1)
                waiting = open_ones(await database["payments"].find().to_list(), expected)
            took_s = time.monotonic() - back
            assert not waiting, f"{len(waiting)} of {number} are open after {took_s:.0f} s"
            assert await judge_money(database) == []
    plan.tell(
        "R6", n=f"{number} payments, {away_s} s without the gateway", all_settled_after_s=round(took_s, 1)
    )
