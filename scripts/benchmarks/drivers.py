"""How a client makes a cart, enters it and scans, on each kind of server."""

import secrets
from typing import Any, ClassVar, NamedTuple

import httpx
import msgspec

BUDGET_MINOR = 500_000
_encode = msgspec.json.Encoder().encode


def hello(token: str) -> bytes:
    """The first frame of a phone of ours."""
    return _encode({"type": "hello", "token": token})


class Way(NamedTuple):
    """How one phone enters a cart: the address of its socket, and what it says first; for ours, its token."""

    path: str
    hello: bytes | None = None
    token: str = ""


class Driver:
    """The least: a server that asks for nothing but a cart's name. Others say where they differ.

    Attributes:
        echo: type of the frame that answers the scanner alone; the same as `screen` where there is none.
        screen: type of the frame that every screen gets.
        greets: whether the server sends something to a phone that came in.
    """

    echo: ClassVar[str] = "event"
    screen: ClassVar[str] = "event"
    greets: ClassVar[bool] = False

    def __init__(self, store_id: str) -> None:
        self.store_id = store_id

    async def open_cart(self, http: httpx.AsyncClient, members: int) -> list[Way]:
        """A new cart with this many members, the scanner first."""
        return [Way(f"/ws/cart/{secrets.token_hex(12)}")] * members

    def scan(self, number: int, barcode: str) -> bytes:
        return _encode({"type": "add", "id": str(number), "barcode": barcode, "qty": 1})


class Floor(Driver):
    """`floor.py` of this folder."""


class Plain(Driver):
    """`plain.py` of this folder."""

    echo = screen = "cart"

    async def open_cart(self, http: httpx.AsyncClient, members: int) -> list[Way]:
        tokens = [(await _post(http, "/auth/guest"))["access_token"] for _ in range(members)]
        started = await _post(http, "/session/start", {"budget_limit_minor": BUDGET_MINOR}, tokens[0])
        session_id = started["session_id"]
        for token in tokens[1:]:
            await _post(http, "/session/join", {"session_id": session_id}, token)
        return [Way(f"/ws/cart/{session_id}?token={token}") for token in tokens]


class Ours(Driver):
    """`backend.app`: guests, a session with a budget, the join link, `hello`, acknowledged commands."""

    echo = "ack"
    greets = True

    async def open_cart(self, http: httpx.AsyncClient, members: int) -> list[Way]:
        names = [f"Member {number}" for number in range(members)]
        tokens = [(await _post(http, "/auth/guest", {"name": name}))["access_token"] for name in names]
        start = {"store_id": self.store_id, "budget_limit_minor": BUDGET_MINOR}
        session = await _post(http, "/session/start", start, tokens[0])
        for token in tokens[1:]:
            await _post(http, "/session/join", {"token": session["join"]["token"]}, token)
        path = f"/ws/cart/{session['session_id']}"
        return [Way(path, hello(token), token) for token in tokens]

    @staticmethod
    async def read_cart(http: httpx.AsyncClient, way: Way) -> None:
        """Ask for the cart as it is now."""
        session_id = way.path.rpartition("/")[2]
        headers = {"authorization": f"Bearer {way.token}"}
        (await http.get(f"/session/{session_id}", headers=headers)).raise_for_status()


class SharedFloor(Driver):
    """A `floor.py` given from outside: numbers as ids."""

    def scan(self, number: int, barcode: str) -> bytes:
        return _encode({"type": "scan", "id": number, "barcode": barcode, "qty": 1})


class SharedPlain(SharedFloor):
    """A `seed_stack.py` given from outside: parameters in the address, major units."""

    echo = screen = "cart"

    async def open_cart(self, http: httpx.AsyncClient, members: int) -> list[Way]:
        tokens = [(await _post(http, "/auth/guest"))["token"] for _ in range(members)]
        started = await _post(http, "/session/start", {"budget_limit": BUDGET_MINOR / 100}, tokens[0])
        session_id = started["session_id"]
        for token in tokens[1:]:
            await _post(http, f"/session/join?session_id={session_id}", None, token)
        return [Way(f"/ws/cart/{session_id}?token={token}") for token in tokens]

    def scan(self, number: int, barcode: str) -> bytes:
        """Its thousand products have codes of its own."""
        return super().scan(number, f"890{int(barcode[-6:-1]) % 1000:010d}")


DRIVERS: dict[str, type[Driver]] = {
    "ours": Ours,
    "floor": Floor,
    "plain": Plain,
    "shared floor": SharedFloor,
    "shared plain": SharedPlain,
}


async def _post(http: httpx.AsyncClient, path: str, body: Any = None, token: str = "") -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    response = await http.post(path, json=body or {}, headers=headers)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer
