"""R1, first clause: `kill -9` of servers, mongod and redis at random moments loses no acknowledged scan."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tests.chaos.machines import Machines, Program, running
from tests.chaos.rounds import Plan, Size, acknowledged, resent, shop_through
from tests.chaos.shopping import Crowd

KILLS_A_ROUND = 10
"""Of each kind; then the carts are judged and the next round has new ones."""
SIZE = Size(carts=3, members=4, pause_s=0.1)
RECOVERS_WITHIN_S = 30.0
LONG_DEAD_S = 6.0
"""Longer than a server waits for MongoDB, so that it learns of writes whose outcome it cannot know."""


async def kill_again_and_again(
    programs: Sequence[Program], times: int, rest_s: float, dice: random.Random
) -> None:
    """Let one of them run for a moment, kill it, leave it dead for a moment, one time for long, start it."""
    for n in range(times):
        await asyncio.sleep(dice.uniform(0.1, 2 * rest_s))
        program = dice.choice(programs)
        await program.kill()
        await asyncio.sleep(LONG_DEAD_S if n == times // 2 else dice.uniform(0, 0.2))
        await program.start()


def killing(machines: Machines, times: int, dice: random.Random) -> Callable[[Crowd], Awaitable[None]]:
    async def trouble(crowd: Crowd) -> None:
        async with asyncio.TaskGroup() as all_at_once:
            for programs, rest_s in (
                (machines.servers, 0.5),
                (machines.mongo.members, 1.0),
                ([machines.redis], 2.0),
            ):
                kind = random.Random(dice.random())
                all_at_once.create_task(kill_again_and_again(programs, times, rest_s, kind))
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
