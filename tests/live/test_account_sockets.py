"""An open socket ends with the login that it came by, in whichever process it is."""

import asyncio
import time
from typing import Any, NamedTuple

import httpx
import pytest
from litestar import Litestar

from backend.accounts import Role, StoreRole
from backend.live import CloseCode
from tests.phones import Phone, pick_up
from tests.world import PASSWORD, Person, guest, open_store, services_of, staff_member, start_session, stock

WITHIN_S = 5.0


class Home(NamedTuple):
    """One person signed in twice, with a cart."""

    mine: Person
    lost: Person
    session_id: str
    barcode: str
    store_id: str


@pytest.fixture
async def home(apps: list[Litestar], web: httpx.AsyncClient) -> Home:
    services = services_of(apps[0])
    store = await open_store(services)
    (product,) = await stock(services, 1000)
    visitor = await guest(web, "Asha")
    body = {"email": f"{visitor.user_id}@example.com", "password": PASSWORD}
    mine = Person(web, await visitor.post("/auth/register", {**body, "name": "Asha"}))
    lost = Person(web, (await web.post("/auth/login", json=body)).json())
    session = await start_session(mine, store)
    return Home(mine, lost, session["session_id"], product.barcode, store.store_id)


async def login_id(person: Person) -> str:
    (current,) = [login for login in await person.get("/auth/logins") if login["current"]]
    found: str = current["login_id"]
    return found


async def closes_in_time(phone: Phone) -> None:
    began = time.monotonic()
    assert await phone.closed() == CloseCode.NOT_AUTHENTICATED
    assert time.monotonic() - began < WITHIN_S


class TestEndedLogin:
    @pytest.mark.parametrize("how", ["logout", "elsewhere", "all others", "password", "reuse"])
    async def test_loses_its_sockets_in_every_process(
        self, addresses: list[str], home: Home, web: httpx.AsyncClient, how: str
    ) -> None:
        phones = [await pick_up(address, home.session_id, home.lost.token) for address in addresses]
        kept = await pick_up(addresses[1], home.session_id, home.mine.token)
        for phone in (*phones, kept):
            await phone.scan(home.barcode)
        match how:
            case "logout":
                await home.lost.post("/auth/logout")
            case "elsewhere":
                await home.mine.call("DELETE", f"/auth/logins/{await login_id(home.lost)}")
            case "all others":
                await home.mine.call("DELETE", "/auth/logins")
            case "password":
                change = {"old": PASSWORD, "new": "green parrots at noon"}
                await home.mine.call("PUT", "/auth/password", json=change)
            case "reuse":
                stolen = {"refresh_token": f"{await login_id(home.lost)}.stolen"}
                assert (await web.post("/auth/refresh", json=stolen)).status_code == 401
        for phone in phones:
            await closes_in_time(phone)
        await kept.scan(home.barcode)
        again = await pick_up(addresses[0], home.session_id, home.lost.token)
        assert await again.closed() == CloseCode.NOT_AUTHENTICATED
        await kept.hang_up()

    async def test_a_socket_that_said_hello_again_by_another_login_stays(
        self, addresses: list[str], home: Home
    ) -> None:
        moved = await pick_up(addresses[1], home.session_id, home.lost.token)
        left = await pick_up(addresses[1], home.session_id, home.lost.token)
        await moved.scan(home.barcode)
        await moved.send({"type": "hello", "token": home.mine.token, "since": moved.seq})
        await moved.send({"type": "ping"})
        await moved.until(lambda frame: frame["type"] == "pong")
        await home.lost.post("/auth/logout")
        await closes_in_time(left)
        await moved.scan(home.barcode)
        await moved.hang_up()

    async def test_that_ends_while_its_phone_comes_in_closes_it_too(
        self, apps: list[Litestar], addresses: list[str], home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It ends after the token was read, and is told of before the phone is in the room."""
        carts, told, home_login = services_of(apps[1]).carts, asyncio.Event(), await login_id(home.lost)
        current, end_logins = carts.current, carts.rooms._sockets.end_logins

        async def current_later(user_id: str, session_id: str) -> Any:
            found = await current(user_id, session_id)
            await home.lost.post("/auth/logout")
            await told.wait()
            return found

        def tell(ended: frozenset[str]) -> None:
            end_logins(ended)
            if home_login in ended:
                told.set()

        monkeypatch.setattr(carts, "current", current_later)
        monkeypatch.setattr(carts.rooms._sockets, "end_logins", tell)
        phone = await pick_up(addresses[1], home.session_id, home.lost.token)
        await closes_in_time(phone)


async def test_a_gate_device_gets_no_cart(
    apps: list[Litestar], addresses: list[str], home: Home, web: httpx.AsyncClient
) -> None:
    manager = await staff_member(services_of(apps[0]), web, home.store_id, Role.MANAGER)
    made: dict[str, Any] = await manager.post(
        f"/stores/{home.store_id}/devices", {"name": "Left door", "gate_id": "gate-1"}
    )
    phone = await pick_up(addresses[0], home.session_id, made["credential"])
    assert await phone.closed() == CloseCode.NOT_FOUND
    headers = {"authorization": f"Bearer {made['credential']}"}
    for path, body in (
        ("/session/start", {"store_id": home.store_id}),
        ("/session/join", {"token": "x"}),
        ("/cart/add", {"session_id": home.session_id, "barcode": home.barcode}),
    ):
        assert (await web.post(path, json=body, headers=headers)).status_code == 403
    assert (
        StoreRole(home.store_id, Role.GATE)
        in (await services_of(apps[0]).accounts.authenticate(made["credential"])).roles
    )
