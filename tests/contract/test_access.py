"""The access table against the server: that it is whole, and that every cell of it holds."""

import dataclasses
import json
import re
from typing import Any, get_args

import httpx
import pytest

from backend.carts.frames import ClientFrame
from backend.live import CloseCode
from tests.contract.access import OK, ROUTES, SOCKET, STRANGERS, Row, Who, rows
from tests.contract.commands import COMMANDS
from tests.contract.requests import REQUESTS, Ask, send
from tests.contract.scene import Scene, Shop, open_scene
from tests.phones import Phone, phone_at, pick_up, silent_phone
from tests.secrecy import TOKENS, secrets_in

ROUTE_ROWS, SOCKET_ROWS = rows(ROUTES), rows(SOCKET)
CLOSED_BY = {"not_authenticated": CloseCode.NOT_AUTHENTICATED, "session_not_found": CloseCode.NOT_FOUND}


async def operations(shop: Shop) -> dict[str, tuple[str, str]]:
    """Method and path of each `operationId`, as the server describes them."""
    document = (await shop.api.get("/schema/openapi.json")).json()
    return {
        operation["operationId"]: (method.upper(), path)
        for path, path_item in document["paths"].items()
        for method, operation in path_item.items()
    }


def made_up(ask: Ask) -> Ask:
    """The same request about what does not exist: the id's letters in another order."""
    kind = ask.about[:4] if ask.about[3:4] == "_" else ""
    nothing = kind + ask.about[len(kind) :][::-1]
    assert nothing != ask.about
    body = ask.json and json.loads(json.dumps(ask.json).replace(ask.about, nothing))
    return dataclasses.replace(ask, path=ask.path.replace(ask.about, nothing), json=body)


def with_token_in_query(ask: Ask, scene: Scene) -> Ask:
    """The same request with the owner's token where it must not be of use."""
    mark = "&" if "?" in ask.path else "?"
    token = scene.owner.token
    return dataclasses.replace(ask, path=f"{ask.path}{mark}access_token={token}&token={token}")


def assert_no_token_in_an_address(ask: Ask, response: httpx.Response) -> None:
    """Nor, then, in a browser's history or a Referer, which hold an address without its fragment (RFC 9110, 10.1.3)."""
    for address in (ask.path, *re.findall(r"\w+://[^\s\"#]+", response.text)):
        assert not TOKENS.intersection(secrets_in(address)), address


def told(response: httpx.Response) -> Any:
    """All that an answer tells, but the request's id."""
    problem = response.json()
    problem.pop("request_id", None)
    headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    return response.status_code, headers, problem


class TestTable:
    async def test_has_a_row_for_each_route_and_no_other(self, shop: Shop) -> None:
        assert {row.operation for row in ROUTE_ROWS} == (await operations(shop)).keys()

    def test_has_a_row_for_each_frame_and_no_other(self) -> None:
        frames = {frame.__struct_config__.tag for frame in get_args(ClientFrame)}
        assert {row.operation for row in SOCKET_ROWS} == frames

    def test_has_each_row_once_with_a_request(self) -> None:
        for table, made in ((ROUTE_ROWS, REQUESTS), (SOCKET_ROWS, COMMANDS)):
            assert sorted(row.name for row in table) == sorted(made)

    def test_knows_the_ten(self) -> None:
        assert all(list(row.cells) == list(Who) for row in ROUTE_ROWS + SOCKET_ROWS)


@pytest.mark.parametrize("row", ROUTE_ROWS, ids=lambda row: row.name)
async def test_route(shop: Shop, row: Row) -> None:
    scene = await open_scene(shop)
    method, path = (await operations(shop))[row.operation]
    for who, code in row.refusals_first:
        ask = await REQUESTS[row.name](scene, who)
        assert ask.method == method
        assert re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), ask.path.partition("?")[0])
        response = await send(scene, who, ask)
        assert_no_token_in_an_address(ask, response)
        if code == OK:
            assert response.is_success, f"{who}: {response.text}"
            answer = response.json() if ask.shows else {}
            assert ask.shows.items() <= answer.items(), f"{who}: {answer}"
            assert not ask.hides or who is Who.OWNER or ask.hides not in response.text, who
            continue
        assert not response.is_success, f"{who}: {response.text}"
        assert response.json()["code"] == code, f"{who}: {response.text}"
        if who is Who.NOBODY:
            assert told(await send(scene, who, with_token_in_query(ask, scene))) == told(response)
        if ask.about and (who in STRANGERS or response.status_code == 404):
            assert told(response) == told(await send(scene, who, made_up(ask))), who


@pytest.mark.parametrize("row", SOCKET_ROWS, ids=lambda row: row.name)
async def test_frame(shop: Shop, row: Row) -> None:
    scene = await open_scene(shop)
    for who, code in row.refusals_first:
        fields = await COMMANDS[row.name](scene, who)
        token = scene.people[who].token if who in scene.people else "nobody"
        if code in CLOSED_BY:
            for session_id in (scene.session_id, f"ses_{scene.session_id[:3:-1]}"):
                phone = await pick_up(shop.address, session_id, token)
                assert (await phone.closed(), phone.frames) == (CLOSED_BY[code], []), who
            continue
        async with phone_at(shop.address, scene.session_id, token) as phone:
            answer = await _answer(phone, row.operation, fields)
        assert answer == code, who


@pytest.mark.parametrize("row", [row for row in SOCKET_ROWS if row.name != "hello"], ids=lambda row: row.name)
async def test_frame_before_hello_is_not_read(shop: Shop, row: Row) -> None:
    """Nor is a token in the address."""
    scene = await open_scene(shop)
    fields = await COMMANDS[row.name](scene, Who.OWNER)
    before = await scene.owner.get(f"/session/{scene.session_id}")
    phone = await silent_phone(shop.address, f"{scene.session_id}?token={scene.owner.token}")
    await phone.send({"type": row.name, "id": "early", **fields} if row.name != "ping" else {"type": "ping"})
    assert (await phone.closed(), phone.frames) == (CloseCode.BAD_HELLO, [])
    assert await scene.owner.get(f"/session/{scene.session_id}") == before


async def _answer(phone: Phone, kind: str, fields: dict[str, Any]) -> str:
    """`ok`, or the code of the error."""
    if kind == "hello":
        assert phone.frames[0]["type"] == "snapshot"
        return OK
    if kind == "ping":
        await phone.send({"type": "ping"})
        await phone.until(lambda frame: frame["type"] == "pong")
        return OK
    answer = await phone.command(kind, **fields)
    code: str = OK if answer["type"] == "ack" else answer["code"]
    return code
