"""Running applications in a test: the lifespan alone, or a real server on a real port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from litestar import Litestar

LIVE_PROTOCOL = "backend.live.protocol:LiveProtocol"
PLAIN_PROTOCOL = "websockets-sansio"
"""Sockets as Q-Less serves them, and as any ASGI server would."""


@asynccontextmanager
async def running(app: Litestar) -> AsyncIterator[None]:
    """Hold an application's lifespan open in a task of its own: it must end in the task that it began in."""
    opened, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with app.lifespan():
            opened.set()
            await done.wait()

    holder = asyncio.create_task(hold())
    waiter = asyncio.create_task(opened.wait())
    await asyncio.wait([holder, waiter], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        waiter.cancel()
        done.set()
        await holder


@asynccontextmanager
async def serving(app: Litestar, port: int = 0, ws: str = LIVE_PROTOCOL) -> AsyncIterator[str]:
    """A real uvicorn in this event loop; the address it answers at."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, ws=ws, ws_max_size=16_384, ws_per_message_deflate=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()
