"""The floor: one durable event a scan, committed in groups, a small frame to every screen, nothing else."""

import asyncio
import os
from typing import Any

import msgspec
from pymongo import AsyncMongoClient
from pymongo.write_concern import WriteConcern
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

Document = dict[str, Any]


class Scan(msgspec.Struct):
    """What the client sends, read without judging it."""

    id: str
    barcode: str
    qty: int = 1


class Shown(msgspec.Struct, tag_field="type", tag="event"):
    """What every screen of the cart gets."""

    id: str
    seq: int
    barcode: str
    qty: int
    total_minor: int


class Cart:
    """The screens of one cart, and how many events it has."""

    def __init__(self) -> None:
        self.screens: list[ASGISendCallable] = []
        self.seq = 0


class Log:
    """Events on their way to a majority's journals: what arrives during one insert travels in the next."""

    def __init__(self, mongodb_url: str, database: str) -> None:
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(mongodb_url)
        concern = WriteConcern("majority", j=True)
        self._events = self._client[database].get_collection("floor_events", write_concern=concern)
        self._waiting: list[tuple[Document, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    def append(self, document: Document) -> asyncio.Future[None]:
        """The future is done when the document is on disk."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((document, stored))
        self._wake.set()
        return stored

    async def run(self) -> None:
        """Commit until cancelled; a failure ends it, and the benchmark with it."""
        while await self._wake.wait():
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            await self._events.insert_many([document for document, _ in batch], ordered=False)
            for _, stored in batch:
                stored.set_result(None)

    async def close(self) -> None:
        await self._client.close()


class Floor:
    """The ASGI application; whoever connects to `/ws/cart/{session_id}` is on that cart."""

    def __init__(self, mongodb_url: str, database: str) -> None:
        self._url, self._database = mongodb_url, database
        self._log: Log
        self._carts: dict[str, Cart] = {}
        self._read = msgspec.json.Decoder(Scan).decode
        self._write = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            session_id = scope["path"].rpartition("/")[2]
            await self._serve(session_id, self._carts.setdefault(session_id, Cart()), receive, send)

    async def _live(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await receive()
        self._log = Log(self._url, self._database)
        committer = asyncio.create_task(self._log.run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        committer.cancel()
        await self._log.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(
        self, session_id: str, cart: Cart, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        cart.screens.append(send)
        while (message := await receive())["type"] == "websocket.receive":
            scan = self._read(message["text"] or "")
            cart.seq += 1
            seq = cart.seq
            key = {"s": session_id, "n": seq}
            await self._log.append({"_id": key, "barcode": scan.barcode, "qty": scan.qty})
            await self._show(cart, Shown(scan.id, seq, scan.barcode, scan.qty, 12_345))
        cart.screens.remove(send)

    async def _show(self, cart: Cart, shown: Shown) -> None:
        text = self._write(shown).decode()
        for send in cart.screens:
            await send({"type": "websocket.send", "text": text, "bytes": None})


def from_environment() -> Floor:
    """What `uvicorn --factory` runs."""
    return Floor(os.environ["MONGODB_URL"], os.environ["BENCH_DATABASE"])
