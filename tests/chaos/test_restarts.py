"""R16: SIGTERM under load loses nothing, and tells every phone to come back."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tests.chaos.checker import Cart
from tests.chaos.machines import Machines, Server, running
from tests.chaos.rounds import Plan, Size, acknowledged, shop_through
from tests.chaos.shopping import Crowd
from tests.chaos.timing import Socket, sockets_of

COME_BACK = 1012
RESTARTS_A_ROUND = 2
ENDS_WITHIN_S = 15.0
GOES_ON_WITHIN_S = 10.0
SIZE = Size(carts=3, members=4, phones=2, pause_s=0.2)


class Restart:
    """A server that was told to end, and when."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.at = time.monotonic()

    def met(self, socket: Socket) -> bool:
        """Whether the phone was served through this socket when the server was told."""
        greeted = socket.greeted_at is not None and socket.greeted_at < self.at
        return socket.server == self.url and greeted and self.at < socket.closed_at


def restarting(
    machines: Machines, dice: random.Random, restarts: list[Restart]
) -> Callable[[Crowd], Awaitable[None]]:
    """End a server and start another in its place, again and again; each is noted in `restarts`.

    In turn, as the phones of the one that ended are at the other then.
    """

    async def trouble(crowd: Crowd) -> None:
        for n in range(RESTARTS_A_ROUND):
            await asyncio.sleep(dice.uniform(0.5, 1.5))
            server = machines.servers[n % 2]
            restarts.append(Restart(server))
            await server.end(signal.SIGTERM, ENDS_WITHIN_S)
            await crowd.goes_on(time.monotonic(), GOES_ON_WITHIN_S)
            await server.start()

    return trouble


def sockets_met(carts: Sequence[Cart], restart: Restart) -> list[Socket]:
    diaries = [diary for cart in carts for diary in cart.diaries]
    return [socket for diary in diaries for socket in sockets_of(diary) if restart.met(socket)]


async def test_sigterm_under_load(plan: Plan, told: Mapping[str, str], tmp_path: Path) -> None:
    rounds = plan.count(1, 10)
    acks, met = 0, []
    async with running(tmp_path, told, plan.lasts_s) as machines:
        for number in range(rounds):
            dice = plan.dice(f"{number}")
            restarts: list[Restart] = []
            trouble = restarting(machines, dice, restarts)
            carts = await shop_through(machines, SIZE, f"{dice.random()}", tmp_path / f"{number}", trouble)
            acks += acknowledged(carts)
            for restart in restarts:
                sockets = sockets_met(carts, restart)
                assert sockets, "the restart met no phone"
                met += sockets
    wrong = [socket for socket in met if (socket.by, socket.code) != ("server", COME_BACK)]
    assert not wrong
    plan.tell("R16", n=f"{rounds * RESTARTS_A_ROUND} restarts", sockets=len(met), acknowledged=acks, lost=0)
