"""Nothing of a shopper's reaches a foreign page: sockets by origin, tokens by staying out of addresses."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from litestar import Litestar
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from backend.live import CloseCode
from backend.settings import Settings
from tests.phones import Phone, phone_at, pick_up
from tests.world import Person, guest, open_store, services_of, start_session

OWN = "http://127.0.0.1:8000"
"""As the settings of the tests have it."""
FOREIGN = [
    "null",
    "https://127.0.0.1:8000",  # another scheme
    "ws://127.0.0.1:8000",
    "http://127.0.0.1",  # another port
    "http://127.0.0.1:80",
    "http://127.0.0.1:8001",
    "http://127.0.0.1:80000",
    "http://localhost:8000",  # another host
    "http://evil127.0.0.1:8000",
    "http://evil.127.0.0.1:8000",
    "http://127.0.0.1.evil.example:8000",
    "http://127.0.0.1:8000.evil.example",
    "http://127.0.0.1:8000@evil.example",
    "http://evil.example#http://127.0.0.1:8000",
    "http://127.0.0.1:8000/",  # no browser says these
    "http://127.0.0.1:8000, https://evil.example",
    "https://evil.example, http://127.0.0.1:8000",
    "https://evil.example",
    "file://",
]
TOKENS = re.compile("token|secret|password|authorization|signature", re.IGNORECASE)


@pytest.fixture
async def host(apps: list[Litestar], web: httpx.AsyncClient) -> Person:
    return await guest(web, "Host")


@pytest.fixture
async def session(apps: list[Litestar], host: Person) -> dict[str, Any]:
    return await start_session(host, await open_store(services_of(apps[0])))


class TestOrigin:
    @pytest.mark.parametrize("origin", FOREIGN)
    async def test_that_is_foreign_is_closed_whatever_the_token(
        self, addresses: list[str], host: Person, session: dict[str, Any], origin: str
    ) -> None:
        phone = await pick_up(addresses[0], session["session_id"], host.token, Origin=origin)
        assert await phone.closed() == CloseCode.FOREIGN_ORIGIN
        assert phone.frames == []

    async def test_that_is_foreign_beside_our_own_is_refused(
        self, addresses: list[str], session: dict[str, Any]
    ) -> None:
        for both in ([OWN, FOREIGN[0]], [FOREIGN[0], OWN]):
            with pytest.raises(InvalidStatus):
                await connect(
                    f"{addresses[0].replace('http', 'ws', 1)}/ws/cart/{session['session_id']}",
                    additional_headers=[("Origin", origin) for origin in both],
                )

    async def test_of_our_own_and_of_apps_that_have_none_is_served(
        self, addresses: list[str], host: Person, session: dict[str, Any], settings: Settings
    ) -> None:
        assert settings.qless_public_url == OWN
        own = await pick_up(addresses[0], session["session_id"], host.token, Origin=OWN)
        app = await pick_up(addresses[0], session["session_id"], host.token)
        for phone in (own, app):
            assert phone.frames[0]["type"] == "snapshot"
            await phone.hang_up()


class TestTokens:
    async def test_are_named_by_no_path_and_no_query(self, web: httpx.AsyncClient) -> None:
        paths = (await web.get("/schema/openapi.json")).json()["paths"]
        assert len(paths) > 10
        for path, operations in paths.items():
            for operation in operations.values():
                for parameter in operation.get("parameters", []):
                    assert parameter["in"] == "header" or not TOKENS.search(parameter["name"]), path

    @pytest.mark.parametrize("name", ["token", "access_token", "authorization", "bearer"])
    async def test_count_in_no_query(
        self, addresses: list[str], web: httpx.AsyncClient, host: Person, session: dict[str, Any], name: str
    ) -> None:
        assert (await web.get("/auth/me", params={name: host.token})).status_code == 401
        session_id = session["session_id"]
        async with phone_at(addresses[0], f"{session_id}?{name}={host.token}", "no token of ours") as phone:
            assert await phone.closed() == CloseCode.NOT_AUTHENTICATED

    async def test_count_in_no_cookie(self, web: httpx.AsyncClient, host: Person) -> None:
        """So no foreign page can make a browser send one."""
        cookie = "; ".join(f"{name}={host.token}" for name in ("token", "access_token", "authorization"))
        assert (await web.get("/auth/me", headers={"cookie": cookie})).status_code == 401

    async def test_of_the_socket_come_in_its_first_frame_alone(
        self, addresses: list[str], host: Person, session: dict[str, Any]
    ) -> None:
        """A header is not read: a browser could not send it, and proxies log what it sends instead."""
        socket = await connect(
            f"{addresses[0].replace('http', 'ws', 1)}/ws/cart/{session['session_id']}",
            additional_headers={"authorization": f"Bearer {host.token}"},
        )
        phone = Phone(socket)
        await asyncio.sleep(0.1)
        assert phone.frames == []
        await phone.send({"type": "ping"})
        assert await phone.closed() == CloseCode.BAD_HELLO
