"""R16 behind a balancer: processes restarted one by one lose nothing, and nobody gets an answer that he should not."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.balancer import Balancer
from tests.chaos.machines import Machines, running
from tests.chaos.rounds import Plan, Size, acknowledged, shop_through
from tests.chaos.shopping import Crowd
from tests.chaos.timing import sockets_of

COME_BACK = 1012
DRAIN_S = 2
GOES_ON_WITHIN_S = 10.0
SIZE = Size(carts=3, members=3, pause_s=0.2)
VISITORS = 4


@dataclass(frozen=True)
class Balanced(Machines):
    """The same machines as who comes by the balancer sees them."""

    address: str

    @property
    def urls(self) -> list[str]:
        return [self.address]


class Visitors:
    """People who look at products and sign in as guests, each time by a new connection, and are never turned away."""

    def __init__(self, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._url = url
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        self._tasks = [asyncio.create_task(self._visit()) for _ in range(VISITORS)]

    async def _visit(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=self._url, timeout=20, limits=limits) as web:
            while not self._over:
                for method, path in (("GET", "/products"), ("POST", "/auth/guest")):
                    try:
                        response = await web.request(method, path)
                    except httpx.TransportError as error:
                        self.answers[type(error).__name__] += 1
                    else:
                        self.answers[f"{response.status_code}"] += 1
                await asyncio.sleep(0.02)

    async def end(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


async def restart_all(machines: Machines, balancer: Balancer, crowd: Crowd, dice: random.Random) -> None:
    """One after the other: end it, see that the balancer takes it out before it goes, start it again."""
    for server in machines.servers:
        await asyncio.sleep(dice.uniform(0.3, 0.8))
        told = time.monotonic()
        server.send(signal.SIGTERM)
        while server.url in balancer.ready:
            assert server.runs
            await asyncio.sleep(0.02)
        assert time.monotonic() - told < DRAIN_S
        await server.gone()
        assert time.monotonic() - told > DRAIN_S
        await server.start()
        await balancer.has(server.url)
        await crowd.goes_on(time.monotonic(), GOES_ON_WITHIN_S)


async def test_rolling_restart_behind_a_balancer(plan: Plan, told: Mapping[str, str], tmp_path: Path) -> None:
    rounds = plan.count(1, 10)
    acks, sockets = 0, 0
    answers: Counter[str] = Counter()
    drain = {"QLESS_DRAIN_S": f"{DRAIN_S}"}
    async with (
        running(tmp_path, {**told, **drain}, plan.lasts_s) as machines,
        Balancer(machines.urls) as balancer,
    ):
        balanced = Balanced(**vars(machines), address=balancer.url)
        for number in range(rounds):
            dice = plan.dice(f"{number}")
            visitors = Visitors(balancer.url)

            async def trouble(
                crowd: Crowd, visitors: Visitors = visitors, dice: random.Random = dice
            ) -> None:
                visitors.begin()
                await restart_all(machines, balancer, crowd, dice)
                await visitors.end()

            carts = await shop_through(balanced, SIZE, f"{dice.random()}", tmp_path / f"{number}", trouble)
            acks += acknowledged(carts)
            answers += visitors.answers
            ended = [socket for cart in carts for diary in cart.diaries for socket in sockets_of(diary)]
            by_server = [socket for socket in ended if socket.by == "server"]
            assert by_server, "the restarts met no phone"
            assert {socket.code for socket in by_server} == {COME_BACK}
            sockets += len(by_server)
    assert set(answers) == {"200", "201"}, answers
    plan.tell(
        "R16",
        n=f"{rounds * 2} restarts behind a balancer",
        requests=answers.total(),
        sockets=sockets,
        acknowledged=acks,
        lost=0,
    )
