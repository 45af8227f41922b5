"""A client that holds open carts: `python -m scripts.benchmarks.hold PLAN`, then an order a line on its input."""

import asyncio
import gc
import sys
from pathlib import Path

import httpx
import msgspec
import uvloop

from scripts.benchmarks.crowd import Crowd
from scripts.benchmarks.drivers import DRIVERS, Ours, Way
from scripts.benchmarks.figures import Figures
from scripts.benchmarks.load import FAILURES, connect, measure, some_at_a_time
from scripts.benchmarks.plans import Grow, Order, Plan, Read, Second, Stretch


class Holder:
    """All carts, and the way into each."""

    def __init__(self, plan: Plan, http: httpx.AsyncClient) -> None:
        self._plan = plan
        self._http = http
        self._driver = DRIVERS[plan.kind](plan.store_id)
        self._crowd = Crowd(self._driver, plan.barcodes, may_be_refused=True)
        self._given: list[Way] = []
        if plan.ways is not None:
            self._given = msgspec.json.decode(Path(plan.ways).read_bytes(), type=list[Way])
        self._ways: list[Way] = []

    async def carry_out(self, order: Order) -> Figures | None:
        match order:
            case Grow(carts):
                await some_at_a_time(range(len(self._ways), carts), self._open)
            case Second(carts):
                await some_at_a_time(range(carts), self._enter_again)
            case Read(url, carts):
                async with connect(url) as http:
                    await some_at_a_time(self._ways[:carts], lambda way: Ours.read_cart(http, way))
            case Stretch():
                return await measure(self._crowd, self._plan.pids, order)
        return None

    async def _open(self, number: int) -> None:
        [way] = self._given[number : number + 1] or await self._driver.open_cart(self._http, 1)
        cart = self._crowd.new_cart()
        self._ways.append(way)
        await self._crowd.enter(cart, [way], self._plan.urls)

    async def _enter_again(self, number: int) -> None:
        await self._crowd.enter(self._crowd.carts[number], [self._ways[number]], self._plan.urls)


async def obey(plan: Plan) -> None:
    """Carry out each order of the input, until it ends."""
    loop = asyncio.get_running_loop()
    async with connect(plan.urls[0]) as http:
        holder = Holder(plan, http)
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            done = await holder.carry_out(msgspec.json.decode(line, type=Order))
            gc.freeze()
            sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
            sys.stdout.buffer.flush()


def main() -> int:
    try:
        uvloop.run(obey(msgspec.json.decode(sys.argv[1], type=Plan)))
    except FAILURES as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
