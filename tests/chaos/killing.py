"""`kill -9`, again and again, of servers, mongod and Redis at random moments."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

from tests.chaos.machines import Machines, Program

LONG_DEAD_S = 6.0
"""Longer than a server waits for MongoDB, so that it learns of writes whose outcome it cannot know."""


async def kill_again_and_again(
    programs: Sequence[Program],
    times: int,
    rest_s: float,
    dice: random.Random,
    killed: Counter[str],
    until: float = float("inf"),
) -> None:
    """Let one of them run for a moment, kill it, leave it dead for a moment, one time for long, start it.

    Args:
        killed: counts each kill by the name of what was killed.
        until: no kill begins after this; monotonic.
    """
    for n in range(times):
        await asyncio.sleep(dice.uniform(0.1, 2 * rest_s))
        if time.monotonic() > until:
            return
        program = dice.choice(programs)
        await program.kill()
        killed[program.name] += 1
        await asyncio.sleep(LONG_DEAD_S if n == times // 2 else dice.uniform(0, 0.2))
        await program.start()


async def kill_everything(
    machines: Machines, times: int, dice: random.Random, until: float = float("inf")
) -> Counter[str]:
    """So many kills of servers, as many of mongods, as many of Redis, all at once; how many of what there were."""
    killed: Counter[str] = Counter()
    async with asyncio.TaskGroup() as all_at_once:
        for programs, rest_s in (
            (machines.servers, 0.5),
            (machines.mongo.members, 1.0),
            ([machines.redis], 2.0),
        ):
            kind = random.Random(dice.random())
            all_at_once.create_task(kill_again_and_again(programs, times, rest_s, kind, killed, until))
    return killed
