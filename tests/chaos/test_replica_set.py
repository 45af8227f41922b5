"""R13: the primary is killed and frozen, and all of MongoDB goes away; nothing acknowledged is lost, writes go on."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from tests.chaos.machines import ReplicaSet, running
from tests.chaos.rounds import Plan, Size, acknowledged, resent, shop_through
from tests.chaos.shopping import Crowd

GOES_ON_WITHIN_S = 15.0
ON_ITS_WAY_S = 0.5
"""How long after a fault an `ack` may still come that was on its way."""
SIZE = Size(carts=3, members=4, pause_s=0.1)

Trouble = Callable[[ReplicaSet, Crowd, random.Random], Awaitable[float]]
"""Makes trouble and mends it; for how many seconds no new command was acknowledged."""


async def kill_primary(mongo: ReplicaSet, crowd: Crowd, dice: random.Random) -> float:
    """Another member takes over; then the dead one comes back."""
    primary = await mongo.healthy()
    await asyncio.sleep(dice.uniform(0.2, 1))
    began = time.monotonic()
    await primary.kill()
    took = await crowd.goes_on(began, GOES_ON_WITHIN_S, ON_ITS_WAY_S)
    await primary.start()
    return took


async def kill_lonely_primary(mongo: ReplicaSet, crowd: Crowd, dice: random.Random) -> float:
    """As before, but what the primary wrote in its last moments nobody else has: they stood still, and died too."""
    primary = await mongo.healthy()
    others = [member for member in mongo.members if member is not primary]
    await asyncio.sleep(dice.uniform(0.2, 1))
    for member in others:
        member.send(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(0.2, 0.6))
    began = time.monotonic()
    await asyncio.gather(*(member.kill() for member in mongo.members))
    await asyncio.gather(*(member.start() for member in others))
    took = await crowd.goes_on(began, GOES_ON_WITHIN_S, ON_ITS_WAY_S)
    await primary.start()
    return took


async def freeze_primary(mongo: ReplicaSet, crowd: Crowd, dice: random.Random) -> float:
    """Another member takes over; then the frozen one wakes and believes for a moment that it is the primary.

    As long as it is frozen the other secondary tells it, not the new primary, what it has: every commit waits for a
    heartbeat, 2 s.
    """
    primary = await mongo.healthy()
    await asyncio.sleep(dice.uniform(0.2, 1))
    began = time.monotonic()
    primary.send(signal.SIGSTOP)
    took = await crowd.goes_on(began, GOES_ON_WITHIN_S, ON_ITS_WAY_S)
    await asyncio.sleep(dice.uniform(0, 2))
    primary.send(signal.SIGCONT)
    await crowd.goes_on(time.monotonic(), GOES_ON_WITHIN_S)
    return took


def no_mongodb(away_s: float) -> Trouble:
    """All members are killed at once, and come back."""

    async def trouble(mongo: ReplicaSet, crowd: Crowd, dice: random.Random) -> float:
        await mongo.healthy()
        await asyncio.sleep(dice.uniform(0.2, 1))
        await asyncio.gather(*(member.kill() for member in mongo.members))
        await asyncio.sleep(away_s)
        await asyncio.gather(*(member.start() for member in mongo.members))
        return await crowd.goes_on(time.monotonic(), GOES_ON_WITHIN_S)

    return trouble


async def test_mongodb_goes_away(plan: Plan, told: Mapping[str, str], tmp_path: Path) -> None:
    times, away_s = plan.count(1, 20), plan.count(5, 30)
    rounds: list[tuple[str, Trouble]] = [("away", no_mongodb(away_s))]
    for n in range(times):
        rounds.append(("killed", kill_primary if n % 2 else kill_lonely_primary))
        rounds.append(("frozen", freeze_primary))
    acks = again = 0
    longest: dict[str, float] = {}
    async with running(tmp_path, told, plan.lasts_s, members=3) as machines:
        for number, (kind, trouble) in enumerate(rounds):
            dice = plan.dice(f"{number}")

            async def make(
                crowd: Crowd, trouble: Trouble = trouble, kind: str = kind, dice: random.Random = dice
            ) -> None:
                took = await trouble(machines.mongo, crowd, dice)
                longest[kind] = max(took, longest.get(kind, 0.0))

            carts = await shop_through(machines, SIZE, f"{dice.random()}", tmp_path / f"{number}", make)
            acks, again = acks + acknowledged(carts), again + resent(carts)
    plan.tell(
        "R13",
        n=f"{times} primaries killed, {times} frozen, {away_s} s without MongoDB",
        acknowledged=acks,
        sent_again=again,
        longest_s={kind: round(took, 1) for kind, took in longest.items()},
        lost=0,
    )
