"""A gate with its guard, passes in front of it, and the other ways to write a token."""

import itertools
from typing import Any

import httpx
import jwt
from litestar import Litestar

from backend.accounts import Role
from tests.world import Person, Trip, pay, ready_to_pay, services_of, staff_member

_nonces = (f"scan-{n}" for n in itertools.count(1))


class Gate:
    """A guard at a gate of a store. Every scan has a nonce of its own unless one is given."""

    def __init__(self, guard: Person, store_id: str, gate_id: str = "gate-1") -> None:
        self.guard, self.store_id, self.gate_id = guard, store_id, gate_id

    def body(self, token: str, nonce: str = "") -> dict[str, str]:
        nonce = nonce or next(_nonces)
        return {"store_id": self.store_id, "gate_id": self.gate_id, "token": token, "nonce": nonce}

    async def full(self, token: str, nonce: str = "", path: str = "/gate/verify") -> dict[str, Any]:
        answer: dict[str, Any] = await self.guard.post(path, self.body(token, nonce))
        return answer

    async def scan(self, token: str, nonce: str = "", path: str = "/gate/verify") -> tuple[str, str]:
        answer = await self.full(token, nonce, path)
        return answer["verdict"], answer["code"]

    async def release(self, token: str, nonce: str = "") -> tuple[str, str]:
        return await self.scan(token, nonce, "/gate/release")

    def beside(self, gate_id: str) -> "Gate":
        return Gate(self.guard, self.store_id, gate_id)


async def at_the_gate(
    app: Litestar, api: httpx.AsyncClient, **of_store: Any
) -> tuple[Trip, dict[str, Any], Gate]:
    """A paid trip, its pass, and a gate of its store."""
    trip = await ready_to_pay(app, api, **of_store)
    order_id = await pay(app, api, trip)
    return trip, await generate(trip, order_id), await gate_of(app, api, trip.store.store_id)


async def generate(trip: Trip, order_id: str) -> dict[str, Any]:
    issued: dict[str, Any] = await trip.shopper.post("/exit-pass/generate", {"order_id": order_id})
    return issued


async def gate_of(app: Litestar, api: httpx.AsyncClient, store_id: str, role: Role = Role.GATE) -> Gate:
    return Gate(await staff_member(services_of(app), api, store_id, role), store_id)


def spellings(token: str) -> list[str]:
    """Every text that PyJWT might take for the same token, the token's own first.

    All that is not signed is how the signature is written: the unused bits of its last character, padding, the other
    alphabet, and characters that are of none, which Python's decoder leaves out.
    """
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    signed, _, signature = token.rpartition(".")
    last = alphabet.index(signature[-1]) & 0b110000
    loose = [f"{token[:-1]}{alphabet[last | bits]}" for bits in range(16)]
    tails = [f"{token}{tail}" for tail in ("=", "==", "===", "====", "\n", " ", "\x00", "==\n")]
    junk = [f"{token[:-9]}{inside}{token[-9:]}" for inside in "!\n\t ~é"]
    other = [f" {token}", f"{signed}.{signature.replace('-', '+').replace('_', '/')}"]
    return [token, *(text for text in [*loose, *tails, *junk, *other] if text != token)]


async def accepted(api: httpx.AsyncClient, token: str) -> list[str]:
    """Those of its spellings that PyJWT takes, by the store's published key."""
    kid = jwt.get_unverified_header(token)["kid"]
    (key,) = [key for key in (await api.get("/.well-known/jwks.json")).json()["keys"] if key["kid"] == kid]
    return [text for text in spellings(token) if _reads(text, jwt.PyJWK(key))]


def _reads(text: str, key: jwt.PyJWK) -> bool:
    try:
        jwt.decode(text, key, algorithms=["EdDSA"], options={"verify_aud": False})
    except (jwt.InvalidTokenError, UnicodeError):
        return False
    return True
