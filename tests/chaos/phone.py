"""A phone that shops through anything: it comes back with `since` and sends again what was not answered."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.chaos.diary import Writer
from tests.chaos.screen import Frame, Screen, Step

ANSWERED_WITHIN_S = 120.0
"""Longer than any outage of a run; a command that takes longer has no answer."""
FATAL = {4400, 4401, 4403, 4404}
"""Close codes that tell a phone not to come back as it is."""


class Failed(Exception):
    """A client was left without what it was promised. One sentence."""


class Client(Protocol):
    """Somebody who sends commands to one cart and repeats each until it has a final answer."""

    screen: Screen
    user_id: str
    latest: float
    """When it last had an `ack`; monotonic."""

    async def do(self, kind: str, *, twice: bool = False, **fields: Any) -> Frame: ...


class Person(Protocol):
    user_id: str
    token: str


class Command:
    """A command on its way."""

    def __init__(self, frame: Frame, line: Frame | None) -> None:
        self.frame = frame
        self.line = [line["added_by"], line["barcode"]] if line else None
        self.answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()


class ChaosPhone:
    """One socket at a time, at whichever server answers."""

    def __init__(
        self, name: str, person: Person, session_id: str, servers: Sequence[str], folder: Path, seed: str
    ) -> None:
        self.screen = Screen()
        self.user_id = person.user_id
        self.session_id = session_id
        self.latest = 0.0
        self.resent = 0
        self.writer = Writer(folder, name, person.user_id, session_id)
        self._name = name
        self._token = person.token
        self._servers = list(servers)
        self._dice = random.Random(seed)
        self._ids = count(1)
        self._waiting: dict[str, Command] = {}
        self.server = ""
        self._socket: ClientConnection | None = None
        self._offline_s = 0.0
        self._healing = False
        self._ended = False
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._live())

    async def do(self, kind: str, *, twice: bool = False, **fields: Any) -> Frame:
        """Carry out a command; its `ack`, or the error that is final.

        Args:
            twice: send it two times at once, as a phone may that lost its patience.

        Raises:
            Failed: there never was an answer.
        """
        command_id = f"{self._name}-{next(self._ids)}"
        line = self.screen.lines.get(fields.get("line_id", ""))
        command = Command({"type": kind, "id": command_id, **fields}, line)
        self._waiting[command_id] = command
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                for _ in range(1 + twice):
                    await self._send(command)
                return await self._final_answer(command)
        except TimeoutError:
            raise Failed(f"{self._name} had no answer to {command.frame}.") from None
        finally:
            del self._waiting[command_id]

    async def _final_answer(self, command: Command) -> Frame:
        while True:
            answer = await self._answered(command)
            if answer["type"] == "ack":
                self.latest = time.monotonic()
                return answer
            if not answer["retryable"]:
                return answer
            command.answer = asyncio.get_running_loop().create_future()
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))
            self.resent += 1
            await self._send(command)

    async def _answered(self, command: Command) -> Frame:
        """The answer, or the end of the phone itself."""
        ends: list[asyncio.Future[Any]] = [command.answer, self._task]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not command.answer.done():
            self._task.result()
            raise Failed(f"{self._name} was hung up before its answer.")
        return command.answer.result()

    async def reaches(self, seq: int, within_s: float) -> None:
        """Wait until the screen is at `seq` or past it.

        Raises:
            Failed: it never was.
        """
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait_for(lambda: self.screen.seq >= seq or self._ended)
        except TimeoutError:
            raise Failed(f"{self._name} stayed at {self.screen.seq}, not {seq}.") from None
        if self._ended:
            await self._task

    def cut(self, offline_s: float) -> bool:
        """Lose the network for a while, without a closing handshake; False when there is no socket to cut."""
        if self._socket is None:
            return False
        self._offline_s = offline_s
        self.writer.note("closed", code=None, by="client")
        socket, self._socket = self._socket, None
        socket.transport.abort()
        return True

    async def hang_up(self) -> None:
        """End for good; raises what ended it before."""
        if self._task.done():
            self.writer.close()
            self._task.result()
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._socket is not None:
            self.writer.note("closed", code=None, by="client")
            await self._socket.close()
        self.writer.close()

    async def _live(self) -> None:
        """Be connected, for ever."""
        failures = 0
        while True:
            server = self._servers[0]
            try:
                socket = await connect(
                    f"{server.replace('http', 'ws', 1)}/ws/cart/{self.session_id}",
                    compression=None,
                    proxy=None,
                    open_timeout=5,
                )
            except (OSError, InvalidHandshake, TimeoutError) as error:
                self.writer.note("failed", why=type(error).__name__)
                failures += 1
            else:
                failures = 0 if await self._use(socket, server) else failures + 1
            self._dice.shuffle(self._servers)
            await asyncio.sleep(self._offline_s + self._dice.random() * min(0.5, 0.02 * 2**failures))
            self._offline_s = 0.0

    async def _use(self, socket: ClientConnection, server: str) -> bool:
        """Talk until the socket ends; whether the server said anything at all."""
        said = False
        try:
            await self._greet(socket, server)
            async for text in socket:
                said = True
                assert isinstance(text, str)
                await self._read(text)
        except ConnectionClosed:
            pass
        if self._socket is socket:  # else it was cut by this side
            self._socket = None
            self.writer.note("closed", code=socket.close_code, by="server")
        if socket.close_code in FATAL:
            async with self._news:
                self._ended = True
                self._news.notify_all()
            raise Failed(f"{self._name} was closed with {socket.close_code}.")
        return said

    async def _greet(self, socket: ClientConnection, server: str) -> None:
        """Say hello, then send again whatever has no answer, in its order."""
        since = {"since": self.screen.seq} if self.screen.seq else {}
        self._healing = False
        await socket.send(json.dumps({"type": "hello", "token": self._token, **since}))
        self._socket, self.server = socket, server
        self.writer.note("opened", server=server, since=since.get("since"))
        for command in list(self._waiting.values()):
            self.resent += 1
            await self._send(command)

    async def _send(self, command: Command) -> None:
        """Send now; without a socket it is sent when there is one."""
        if self._socket is None or command.answer.done():
            return
        more = {"line": command.line} if command.line else {}
        self.writer.note("sent", frame=command.frame, **more)
        with suppress(ConnectionClosed):
            await self._socket.send(json.dumps(command.frame))

    async def _read(self, text: str) -> None:
        self.writer.got(text)
        frame = json.loads(text)
        step = self.screen.take(frame)
        if step is Step.GAP and not self._healing:
            await self._ask_for_the_gap(frame["seq"])
        elif step is Step.APPLIED:
            self._healing = False
        if frame["type"] in {"ack", "error"} and frame.get("id") in self._waiting:
            answer = self._waiting[frame["id"]].answer
            if not answer.done():
                answer.set_result(frame)
        async with self._news:
            self._news.notify_all()

    async def _ask_for_the_gap(self, saw: int) -> None:
        self._healing = True
        self.writer.note("gap", seq=self.screen.seq, saw=saw)
        if self._socket is not None:
            hello = {"type": "hello", "since": self.screen.seq}
            self.writer.note("sent", frame=hello)
            await self._socket.send(json.dumps({**hello, "token": self._token}))
