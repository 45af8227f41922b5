"""R1, first clause: `kill -9` of servers, mongod and redis at random moments loses no acknowledged scan."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from tests.chaos.killing import kill_everything
from tests.chaos.machines import Machines, running
from tests.chaos.rounds import Plan, Size, acknowledged, resent, shop_through
from tests.chaos.shopping import Crowd

KILLS_A_ROUND = 10
"""Of each kind; then the carts are judged and the next round has new ones."""
SIZE = Size(carts=3, members=4, pause_s=0.1)
RECOVERS_WITHIN_S = 30.0


def killing(machines: Machines, times: int, dice: random.Random) -> Callable[[Crowd], Awaitable[None]]:
    async def trouble(crowd: Crowd) -> None:
        await kill_everything(machines, times, dice)
        await crowd.goes_on(time.monotonic(), RECOVERS_WITHIN_S)

    return trouble


async def test_no_acknowledged_scan_is_lost(plan: Plan, told: Mapping[str, str], tmp_path: Path) -> None:
    rounds = plan.count(1, 20)
    n, acks, again = 0, 0, 0
    async with running(tmp_path, told, plan.lasts_s) as machines:
        for number in range(rounds):
            dice = plan.dice(f"{number}")
            trouble = killing(machines, KILLS_A_ROUND, dice)
            carts = await shop_through(machines, SIZE, f"{dice.random()}", tmp_path / f"{number}", trouble)
            n, acks, again = n + KILLS_A_ROUND, acks + acknowledged(carts), again + resent(carts)
    assert again > n, "the kills met no traffic"
    plan.tell(
        "R1", n=f"{n} kills each of server, mongod and redis", acknowledged=acks, sent_again=again, lost=0
    )
