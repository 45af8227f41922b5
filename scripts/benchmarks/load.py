"""The load client: `python -m scripts.benchmarks.load PLAN`, a `Plan` as JSON; prints the `Figures` of each stretch."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import httpx
import msgspec
import uvloop

from scripts.benchmarks.crowd import Crowd, Failed
from scripts.benchmarks.drivers import DRIVERS, Driver
from scripts.benchmarks.figures import Figures, Times, cpu_seconds, summarise
from scripts.benchmarks.plans import Plan, Stretch

AT_ONCE = 16
FAILURES = (Failed, httpx.HTTPError, OSError, TimeoutError)
T = TypeVar("T")


async def run(plan: Plan) -> list[Figures]:
    """Open the carts, fill them, and measure."""
    driver = DRIVERS[plan.kind](plan.store_id)
    crowd = Crowd(driver, plan.barcodes)
    async with connect(plan.urls[0]) as http:
        await some_at_a_time(range(plan.carts), lambda number: _open(crowd, driver, plan, http, number))
    await crowd.fill()
    figures: list[Figures] = []
    for stretch in plan.stretches:
        if plan.profile and not figures:
            os.kill(plan.pids[0], signal.SIGUSR1)
        figures.append(await measure(crowd, plan.pids, stretch))
        if plan.profile and len(figures) == 1:
            os.kill(plan.pids[0], signal.SIGUSR2)
    return figures


async def _open(crowd: Crowd, driver: Driver, plan: Plan, http: httpx.AsyncClient, number: int) -> None:
    """Make a cart and enter it; each cart's scanner is at another process than the one's before."""
    first = number % len(plan.urls)
    urls = [plan.urls[first]] if plan.apart else [*plan.urls[first:], *plan.urls[:first]]
    ways = await driver.open_cart(http, plan.members)
    await crowd.enter(crowd.new_cart(), ways, urls)


def connect(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=AT_ONCE)
    return httpx.AsyncClient(base_url=url, timeout=30, limits=limits, trust_env=False)


async def some_at_a_time(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work on each item, on a few at once."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def measure(crowd: Crowd, pids: Sequence[int], stretch: Stretch) -> Figures:
    """The figures of a stretch. The client collects no garbage in it: it would look like the server's."""
    crowd.times = Times()
    gc.collect()
    gc.disable()
    began, client_before, server_before = time.perf_counter(), time.process_time(), _cpu_of(pids)
    await crowd.scan(stretch)
    client_cpu, server_cpu = time.process_time() - client_before, _cpu_of(pids) - server_before
    gc.enable()
    return summarise(crowd.times, crowd.last_at - began, server_cpu, client_cpu)


def _cpu_of(pids: Sequence[int]) -> float:
    return sum(map(cpu_seconds, pids))


def main() -> int:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    try:
        result = uvloop.run(run(plan))
    except FAILURES as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
