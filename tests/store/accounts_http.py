"""The `/auth` endpoints in an app of their own, and the steps that its tests share."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any

import httpx
from litestar import Litestar, get
from litestar.di import Provide
from litestar.params import FromPath

from backend.accounts import ROUTES, Accounts, Caller, Role, StoreRole, at_gate, signed_in, staff
from backend.kit import redis
from backend.kit.strict import StrictRequest
from backend.kit.throttle import Throttle
from backend.middleware import Authentication
from backend.problems import EXCEPTION_HANDLERS

Client = httpx.AsyncClient
Tokens = dict[str, Any]

PASSWORD = "blue mangoes at dawn"

_numbers = count(9_800_000_000)


@get("/back-office", guards=[staff], sync_to_thread=False)
def back_office() -> None:
    """Something for staff alone."""


@get("/gate/{store_id:str}", guards=[at_gate], sync_to_thread=False)
def gate(store_id: FromPath[str], request: Caller) -> dict[str, Any]:
    """The gate's work: whether they may do it at this store, and at which gate alone."""
    return {"works": request.user.works_at(store_id, Role.GATE), "gate_id": request.user.gate_id}


@get("/shopping", guards=[signed_in], sync_to_thread=False)
def shopping() -> None:
    """Something for people."""


@asynccontextmanager
async def make_client(accounts: Accounts, redis_url: str, address: str = "") -> AsyncIterator[Client]:
    """A process's endpoints, called from this address or from one that nobody else has."""
    server = redis.connect(redis_url)
    throttle = Throttle(server)
    app = Litestar(
        [*ROUTES, back_office, gate, shopping],
        request_class=StrictRequest,
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[Authentication],
        dependencies={
            "accounts": Provide(lambda: accounts, sync_to_thread=False),
            "throttle": Provide(lambda: throttle, sync_to_thread=False),
        },
        logging_config=None,
    )
    app.state.services = SimpleNamespace(accounts=accounts)
    asgi: Any = app
    transport = httpx.ASGITransport(asgi, client=(address or new_address(), 50_000))
    async with Client(transport=transport, base_url="http://test") as client:
        yield client
    await server.aclose()


def new_address() -> str:
    """An address that no other test uses, in a block for private networks (RFC 4193)."""
    return f"fd{secrets.token_hex(1)}:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


def new_digits() -> int:
    """Ten digits that are an Indian mobile number, never given twice."""
    return next(_numbers)


def new_phone() -> str:
    return f"+91{new_digits()}"


def new_email() -> str:
    return f"person{new_digits()}@example.com"


def bearer(tokens: Tokens) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


def refusal(response: httpx.Response) -> tuple[int, str]:
    """The status and the code of a problem."""
    assert response.headers["content-type"].startswith("application/problem+json"), response.text
    return response.status_code, response.json()["code"]


async def sign_up(api: Client, **fields: str) -> Tokens:
    body = {"password": PASSWORD, "name": "Asha", **(fields or {"phone": new_phone()})}
    response = await api.post("/auth/register", json=body)
    assert response.status_code == 201, response.text
    tokens: Tokens = response.json()
    return tokens


async def sign_in(api: Client, **fields: str) -> Tokens:
    response = await api.post("/auth/login", json={"password": PASSWORD, **fields})
    assert response.status_code == 200, response.text
    tokens: Tokens = response.json()
    return tokens


async def come_as_guest(api: Client) -> Tokens:
    tokens: Tokens = (await api.post("/auth/guest")).json()
    return tokens


async def me(api: Client, tokens: Tokens) -> httpx.Response:
    return await api.get("/auth/me", headers=bearer(tokens))


async def sign_in_staff(api: Client, accounts: Accounts, *roles: StoreRole) -> Tokens:
    """Somebody new who works there."""
    email = new_email()
    await accounts.create_staff(email, PASSWORD, "Meera", roles)
    return await sign_in(api, email=email)
