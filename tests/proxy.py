"""A TCP proxy between the code under test and a server: it holds back, loses and cuts what travels.

    async with Proxy(mongodb_url) as proxy:
        client = mongo.connect(proxy.url)
        proxy.replies.hold(to=b"cart_events")   # mongod does as it is told, and nobody learns of it
        ...
        await proxy.replies.caught()
        proxy.replies.release()

What was held is delivered on release even when its sender hung up long ago, as a slow network does.
It runs in the test's own event loop: a client that blocks the loop waits for ever.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Self
from urllib.parse import urlsplit

PATIENCE_S = 10.0
CHUNK_BYTES = 1 << 20
"""More than any message of the tests. What one read brings is taken for a message, and held or lost whole."""


class _Rule(NamedTuple):
    to: bytes
    having: bytes
    losing: bool
    lifted: asyncio.Event


class Flow:
    """One direction of all connections. A rule lasts until the next one, or until `release`."""

    def __init__(self) -> None:
        self._rule: _Rule | None = None
        self._left: float = 0
        self._catches = 0
        self._news = asyncio.Condition()

    def hold(self, *, to: bytes = b"", having: bytes = b"", times: float = math.inf) -> None:
        """Keep back the next `times` messages of a kind, and what follows each on its connection.

        Args:
            to: bytes in the request; a reply's is the last one that was sent on its connection.
            having: bytes in the message itself.
        """
        self._begin(to, having, times, losing=False)

    def lose(self, *, to: bytes = b"", having: bytes = b"", times: float = math.inf) -> None:
        """As `hold`, but what is caught never arrives, and what follows it does."""
        self._begin(to, having, times, losing=True)

    def release(self) -> None:
        """Deliver what is held, and let everything pass from now on."""
        if self._rule is not None:
            self._rule.lifted.set()
        self._rule = None

    def _begin(self, to: bytes, having: bytes, times: float, *, losing: bool) -> None:
        self.release()
        self._rule, self._left, self._catches = _Rule(to, having, losing, asyncio.Event()), times, 0

    async def caught(self, count: int = 1) -> None:
        """Wait until so many messages were held or lost since the rule was made."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: self._catches >= count)

    async def passes(self, message: bytes, request: bytes) -> bool:
        """Wait while a message is held; False when it is lost."""
        rule = self._rule
        if rule is None or self._left <= 0 or rule.to not in request or rule.having not in message:
            return True
        self._left -= 1
        self._catches += 1
        async with self._news:
            self._news.notify_all()
        if not rule.losing:
            await rule.lifted.wait()
        return not rule.losing


class Proxy:
    """Stands in front of one server.

    Attributes:
        url: the server's, with the proxy's address in it.
        requests, replies: what clients send, and what the server answers or pushes.
        accepting: while False, who connects is hung up on at once.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._parts = parts
        self._links: set[asyncio.Task[None]] = set()
        self.requests = Flow()
        self.replies = Flow()
        self.accepting = True

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", limit=CHUNK_BYTES)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = self._parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.accepting = False
        self._listener.close()
        self.cut()
        await asyncio.gather(*self._links, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection; what was held on it is lost."""
        for link in self._links:
            link.cancel()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.accepting:
            writer.transport.abort()
            return
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways until both ends are done with it."""
        request = b""

        def asks(message: bytes) -> bytes:
            nonlocal request
            request = message
            return message

        ends = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._server, limit=CHUNK_BYTES)
            ends.append(server_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, server_writer, self.requests, asks))
                both.create_task(_carry(server_reader, writer, self.replies, lambda _: request))
        except OSError:
            return  # there is no server now: the client is hung up on
        finally:
            for end in ends:
                end.transport.abort()


async def _carry(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    flow: Flow,
    request_of: Callable[[bytes], bytes],
) -> None:
    """Carry one direction to its end. That the other end is gone stops nothing that is still to be delivered."""
    with suppress(OSError):
        while message := await source.read(CHUNK_BYTES):
            if await flow.passes(message, request_of(message)):
                target.write(message)
                await target.drain()
    with suppress(OSError):
        target.write_eof()
