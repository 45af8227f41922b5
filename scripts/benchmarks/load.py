"""The load client: `python -m scripts.benchmarks.load PLAN`, a `Plan` as JSON; prints a `Result` as JSON."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable

import httpx
import msgspec
import uvloop

from scripts.benchmarks.crowd import Crowd, Failed
from scripts.benchmarks.drivers import DRIVERS, Driver
from scripts.benchmarks.figures import Figures, cpu_seconds, summarise

OPENED_AT_ONCE = 16


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        pid: the server's process, whose CPU time is read.
        barcodes: every cart has a line of each before anything is timed.
        seconds: of scanning as fast as the answers come.
        rate, rate_seconds: then so many scans a second in all, for so long; 0 for not at all.
        profile: tell the server when the first stretch begins and ends (see `profiled`).
    """

    kind: str
    url: str
    pid: int
    store_id: str
    barcodes: list[str]
    carts: int
    members: int
    seconds: float
    rate: float = 0.0
    rate_seconds: float = 0.0
    profile: bool = False


class Result(msgspec.Struct, frozen=True):
    """`free` is scanning as fast as the answers come, `paced` at the plan's rate."""

    free: Figures
    paced: Figures | None


async def run(plan: Plan) -> Result:
    """Open the carts, fill them, and measure."""
    driver = DRIVERS[plan.kind](plan.store_id)
    crowd = Crowd(driver, plan.url, plan.barcodes, plan.carts)
    await _open(crowd, driver, plan)
    await crowd.fill()
    if plan.profile:
        os.kill(plan.pid, signal.SIGUSR1)
    free = await _measure(crowd, plan.pid, crowd.scan_when_answered(plan.seconds))
    if plan.profile:
        os.kill(plan.pid, signal.SIGUSR2)
    if not plan.rate:
        return Result(free, None)
    return Result(free, await _measure(crowd, plan.pid, crowd.scan_at_rate(plan.rate, plan.rate_seconds)))


async def _open(crowd: Crowd, driver: Driver, plan: Plan) -> None:
    """Make and enter all carts, some at a time."""
    places = asyncio.Semaphore(OPENED_AT_ONCE)
    limits = httpx.Limits(max_connections=OPENED_AT_ONCE)
    async with httpx.AsyncClient(base_url=plan.url, timeout=30, limits=limits, trust_env=False) as http:

        async def enter(number: int) -> None:
            async with places:
                await crowd.enter(crowd.carts[number], await driver.open_cart(http, plan.members))

        await asyncio.gather(*map(enter, range(plan.carts)))


async def _measure(crowd: Crowd, pid: int, stretch: Awaitable[None]) -> Figures:
    """The figures of a stretch. The client collects no garbage in it: it would look like the server's."""
    crowd.own, crowd.everybody = [], []
    gc.collect()
    gc.disable()
    began, client_before, server_before = time.perf_counter(), time.process_time(), cpu_seconds(pid)
    await stretch
    client_cpu, server_cpu = time.process_time() - client_before, cpu_seconds(pid) - server_before
    gc.enable()
    return summarise(crowd.own, crowd.everybody, crowd.last_at - began, server_cpu, client_cpu)


def main() -> int:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    try:
        result = uvloop.run(run(plan))
    except (Failed, httpx.HTTPError, OSError, TimeoutError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
