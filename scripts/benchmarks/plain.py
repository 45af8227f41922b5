"""The plain build of the same idea: FastAPI, Motor, a product cache in Redis, sockets kept in a dictionary.

A cart is one document. A scan is one `find_one_and_update` on it, and every screen gets the whole as JSON.
"""

import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, WebSocket, WebSocketDisconnect
from motor.motor_asyncio import AsyncIOMotorClient
from pydantic import BaseModel
from pymongo import ReturnDocument
from redis.asyncio import Redis

KEY = secrets.token_hex(32)
CACHED_S = 300

Json = dict[str, Any]


class StartIn(BaseModel):
    budget_limit_minor: int


class JoinIn(BaseModel):
    session_id: str


class Storage:
    """MongoDB, with Redis in front of the products."""

    def __init__(self, mongodb_url: str, redis_url: str, database: str) -> None:
        self._client: AsyncIOMotorClient[Json] = AsyncIOMotorClient(mongodb_url, w="majority", journal=True)
        self._database = self._client[database]
        self._redis = Redis.from_url(redis_url, decode_responses=True)
        self._prefix = f"{database}:product:"

    async def product(self, barcode: str) -> Json:
        if cached := await self._redis.get(self._prefix + barcode):
            held: Json = json.loads(cached)
            return held
        found = await self._database.products.find_one({"_id": barcode})
        if found is None:
            raise HTTPException(404, "No product has this barcode.")
        await self._redis.set(self._prefix + barcode, json.dumps(found), ex=CACHED_S)
        return found

    async def make_user(self) -> str:
        user_id = secrets.token_hex(12)
        await self._database.users.insert_one({"_id": user_id, "points": 0})
        return user_id

    async def make_session(self, host: str, budget_limit_minor: int) -> str:
        session_id = secrets.token_hex(12)
        session = {"_id": session_id, "host": host, "participants": [host], "status": "active", "items": {}}
        await self._database.sessions.insert_one({**session, "budget_limit_minor": budget_limit_minor})
        return session_id

    async def join(self, session_id: str, user_id: str) -> None:
        change = {"$addToSet": {"participants": user_id}}
        await self._database.sessions.update_one({"_id": session_id}, change)

    async def add(self, session_id: str, user_id: str, product: Json, qty: int) -> Json:
        """The whole cart after the scan."""
        line = f"items.{product['_id']}"
        told = {"name": product["name"], "price_minor": product["price_minor"], "added_by": user_id}
        cart = await self._database.sessions.find_one_and_update(
            {"_id": session_id, "status": "active", "participants": user_id},
            {"$inc": {f"{line}.qty": qty}, "$set": {f"{line}.{name}": value for name, value in told.items()}},
            return_document=ReturnDocument.AFTER,
        )
        if cart is None:
            raise HTTPException(404, "No such open cart.")
        return cart

    async def close(self) -> None:
        await self._redis.aclose()
        self._client.close()


class Screens:
    """The sockets of each cart."""

    def __init__(self) -> None:
        self._open: dict[str, list[WebSocket]] = {}

    async def enter(self, session_id: str, socket: WebSocket) -> None:
        await socket.accept()
        self._open.setdefault(session_id, []).append(socket)

    def leave(self, session_id: str, socket: WebSocket) -> None:
        self._open[session_id].remove(socket)

    async def show(self, session_id: str, message: Json) -> None:
        for socket in self._open[session_id].copy():
            try:
                await socket.send_json(message)
            except (WebSocketDisconnect, RuntimeError):
                self.leave(session_id, socket)


def bill(cart: Json) -> Json:
    """The cart as screens get it: lines as a list, total and budget flag."""
    items = [{"barcode": barcode, **line} for barcode, line in cart["items"].items()]
    total = sum(item["price_minor"] * item["qty"] for item in items)
    share = total / cart["budget_limit_minor"]
    flag = "SAFE" if share < 0.8 else "WARNING" if share <= 1 else "DANGER"
    return {**cart, "items": items, "total_minor": total, "budget_status": flag}


def read_token(token: str) -> str:
    """The user's id.

    Raises:
        HTTPException: 401, not a token of ours.
    """
    try:
        user_id: str = jwt.decode(token, KEY, algorithms=["HS256"])["sub"]
    except jwt.PyJWTError:
        raise HTTPException(401, "The token is not valid.") from None
    return user_id


def caller(authorization: Annotated[str, Header()]) -> str:
    return read_token(authorization.removeprefix("Bearer "))


User = Annotated[str, Depends(caller)]


def create_app(mongodb_url: str, redis_url: str, database: str) -> FastAPI:
    """The server as an ASGI application."""
    screens = Screens()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.storage = Storage(mongodb_url, redis_url, database)
        yield
        await app.state.storage.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/auth/guest")
    async def guest() -> Json:
        claims = {"sub": await app.state.storage.make_user(), "exp": int(time.time()) + 3600}
        return {"access_token": jwt.encode(claims, KEY, "HS256")}

    @app.get("/products/{barcode}")
    async def product(barcode: str) -> Any:
        return await app.state.storage.product(barcode)

    @app.post("/session/start")
    async def start(data: StartIn, user: User) -> Json:
        return {"session_id": await app.state.storage.make_session(user, data.budget_limit_minor)}

    @app.post("/session/join")
    async def join(data: JoinIn, user: User) -> Json:
        await app.state.storage.join(data.session_id, user)
        return {"session_id": data.session_id}

    @app.websocket("/ws/cart/{session_id}")
    async def cart(socket: WebSocket, session_id: str, token: str) -> None:
        storage, user_id = app.state.storage, read_token(token)
        await screens.enter(session_id, socket)
        try:
            while True:
                scan = await socket.receive_json()
                scanned = await storage.product(scan["barcode"])
                changed = await storage.add(session_id, user_id, scanned, scan.get("qty", 1))
                await screens.show(session_id, {"type": "cart", "id": scan.get("id"), "cart": bill(changed)})
        except WebSocketDisconnect:
            screens.leave(session_id, socket)

    return app


def from_environment() -> FastAPI:
    """What `uvicorn --factory` runs."""
    environ = os.environ
    return create_app(environ["MONGODB_URL"], environ["REDIS_URL"], environ["BENCH_DATABASE"])
