"""A balancer as simple as they come: it hands each new connection to a process that says it is ready, in turn.

It never tries a second process: who is handed to one that has gone is hung up on. So it shows what a client sees
whose balancer does not mend what the servers do.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from itertools import count
from typing import Self
from urllib.parse import urlsplit

import httpx

LOOKS_EVERY_S = 0.2
LOOKS_FOR_S = 0.5
PATIENCE_S = 10.0
CHUNK_BYTES = 1 << 16


class Balancer:
    """In front of servers, which may come and go.

    Attributes:
        url: where clients find it.
        ready: the servers that said so when last asked.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = list(servers)
        self._turns = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready: list[str] = list(servers)

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1")
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        self._keep(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def has(self, server: str) -> None:
        """Wait until it hands connections to this server."""
        async with asyncio.timeout(PATIENCE_S):
            while server not in self.ready:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.02)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self) -> None:
        async with httpx.AsyncClient(timeout=LOOKS_FOR_S) as web:
            while True:
                answers = await asyncio.gather(*(_is_ready(web, server) for server in self._servers))
                self.ready = [
                    server for server, ready in zip(self._servers, answers, strict=True) if ready
                ] or self.ready
                await asyncio.sleep(LOOKS_EVERY_S)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(self._link(reader, writer))

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.ready[next(self._turns) % len(self.ready)])
        ends = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
            ends.append(server_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, server_writer))
                both.create_task(_carry(server_reader, writer))
        except OSError:
            return
        finally:
            for end in ends:
                end.transport.abort()


async def _is_ready(web: httpx.AsyncClient, server: str) -> bool:
    with suppress(httpx.TransportError):
        return (await web.get(f"{server}/health/ready")).status_code == 200
    return False


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Carry one direction to its end."""
    with suppress(OSError):
        while message := await source.read(CHUNK_BYTES):
            target.write(message)
            await target.drain()
    with suppress(OSError):
        target.write_eof()
