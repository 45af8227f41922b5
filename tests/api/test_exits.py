"""The pass, and the gate that opens once."""

import asyncio
import base64
import hmac
import json
from typing import Any

import httpx
import jwt
import pytest
import zxingcpp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar

from backend.accounts import Role
from backend.exits.tokens import MAX_CHARACTERS
from tests.drawing import draw
from tests.factories import FakeClock
from tests.world import Person, Trip, guest, open_store, pay, ready_to_pay, services_of, staff_member

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient


class Gate:
    """A guard at a gate of a store."""

    def __init__(self, guard: Person, store_id: str, gate_id: str = "gate-1") -> None:
        self.guard, self.store_id, self.gate_id = guard, store_id, gate_id

    async def scan(self, token: str, nonce: str = "n1", path: str = "/gate/verify") -> tuple[str, str]:
        answer = await self.full(token, nonce, path)
        return answer["verdict"], answer["code"]

    async def full(self, token: str, nonce: str = "n1", path: str = "/gate/verify") -> dict[str, Any]:
        body = {"store_id": self.store_id, "gate_id": self.gate_id, "token": token, "nonce": nonce}
        answer: dict[str, Any] = await self.guard.post(path, body)
        return answer

    def beside(self, gate_id: str) -> "Gate":
        return Gate(self.guard, self.store_id, gate_id)


async def at_the_gate(app: Litestar, api: Api, **of_store: Any) -> tuple[Trip, dict[str, Any], Gate]:
    """A paid trip, its pass, and a gate of its store."""
    trip = await ready_to_pay(app, api, **of_store)
    order_id = await pay(app, api, trip)
    issued = await trip.shopper.post("/exit-pass/generate", {"order_id": order_id})
    guard = await staff_member(services_of(app), api, trip.store.store_id)
    return trip, issued, Gate(guard, trip.store.store_id)


class TestPass:
    async def test_is_signed_by_a_published_key_of_its_store(self, app: Litestar, api: Api) -> None:
        trip, issued, _ = await at_the_gate(app, api)
        keys = (await api.get("/.well-known/jwks.json")).json()["keys"]
        header = jwt.get_unverified_header(issued["token"])
        (key,) = [key for key in keys if key["kid"] == header["kid"]]
        claims = jwt.decode(
            issued["token"],
            jwt.PyJWK(key).key,
            algorithms=["EdDSA"],
            audience=trip.store.store_id,
            issuer="q-less",
        )
        assert header["typ"] == "exit-pass+jwt"
        assert key["store_id"] == trip.store.store_id
        assert "d" not in key
        assert claims["sub"] == issued["order_id"]
        assert claims["exp"] - claims["iat"] == 1800
        assert claims["b"] == [2, 3500, 0]

    async def test_is_short(self, app: Litestar, api: Api) -> None:
        _, issued, _ = await at_the_gate(app, api)
        assert len(issued["token"]) <= MAX_CHARACTERS

    async def test_is_the_same_until_its_time_is_over(
        self, app: Litestar, api: Api, clock: FakeClock
    ) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        order = {"order_id": issued["order_id"]}
        clock.advance(minutes=29)
        await trip.shopper.refresh()
        assert (await trip.shopper.post("/exit-pass/generate", order))["token"] == issued["token"]
        clock.advance(minutes=1)
        renewed = await trip.shopper.post("/exit-pass/generate", order)
        assert renewed["pass_id"] != issued["pass_id"]
        await gate.guard.refresh()
        assert await gate.scan(issued["token"]) == ("refuse", "pass_expired")
        assert await gate.scan(renewed["token"]) == ("open", "ok")

    async def test_is_not_given_again_once_used(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        await gate.scan(issued["token"])
        refused = await trip.shopper.refused("/exit-pass/generate", {"order_id": issued["order_id"]})
        assert refused == (409, "pass_used")

    async def test_reads_from_its_rendered_qr(self, app: Litestar, api: Api) -> None:
        _, issued, _ = await at_the_gate(app, api)
        found = zxingcpp.read_barcodes(draw(issued["qr_svg"]))
        assert [code.text for code in found] == [issued["token"]]


class TestGate:
    async def test_opens_once(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        first = await gate.full(issued["token"], "n1")
        assert (first["verdict"], first["order"]["item_count"], first["order"]["total_minor"]) == (
            "open",
            2,
            3500,
        )
        second = await gate.beside("gate-2").full(issued["token"], "n2")
        assert (second["verdict"], second["code"]) == ("refuse", "already_used")
        assert second["order"]["used_gate"] == "gate-1"
        assert second["order"]["used_at"] is not None
        assert "before" in second["reason"]

    async def test_opens_once_for_fifty_gates_at_once_in_every_spelling(
        self, app: Litestar, api: Api
    ) -> None:
        _, issued, gate = await at_the_gate(app, api)
        tokens = [spelling(issued["token"], n) for n in range(50)]
        verdicts = await asyncio.gather(
            *(gate.beside(f"gate-{n}").scan(token, f"n{n}") for n, token in enumerate(tokens))
        )
        assert verdicts.count(("open", "ok")) == 1
        assert set(verdicts) <= {("open", "ok"), ("refuse", "already_used"), ("refuse", "not_a_pass")}

    async def test_the_same_scan_gets_the_same_answer(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api)
        answers = [await gate.full(issued["token"], "n1") for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0]["verdict"] == "open"
        assert await gate.beside("gate-2").scan(issued["token"], "n1") == ("refuse", "already_used")

    async def test_refuses_another_stores_pass(self, app: Litestar, api: Api) -> None:
        _, issued, _ = await at_the_gate(app, api)
        _, _, elsewhere = await at_the_gate(app, api)
        assert await elsewhere.scan(issued["token"]) == ("refuse", "wrong_store")

    async def test_opens_until_the_last_second(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        _, issued, gate = await at_the_gate(app, api)
        clock.advance(minutes=30, seconds=-1)
        await gate.guard.refresh()
        assert await gate.scan(issued["token"]) == ("open", "ok")

    async def test_refuses_an_expired_pass(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        _, issued, gate = await at_the_gate(app, api)
        clock.advance(minutes=30)
        await gate.guard.refresh()
        assert await gate.scan(issued["token"]) == ("refuse", "pass_expired")

    async def test_refuses_a_pass_from_the_future(self, app: Litestar, api: Api, clock: FakeClock) -> None:
        trip = await ready_to_pay(app, api)
        gate = Gate(await staff_member(services_of(app), api, trip.store.store_id), trip.store.store_id)
        clock.advance(seconds=65)
        order_id = await pay(app, api, trip)
        token = (await trip.shopper.post("/exit-pass/generate", {"order_id": order_id}))["token"]
        clock.advance(seconds=-62)
        assert await gate.scan(token) == ("refuse", "pass_from_the_future")
        clock.advance(seconds=2)
        assert await gate.scan(token) == ("open", "ok")

    async def test_is_for_gate_staff_of_the_store(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        other = await open_store(services_of(app))
        scan = {"store_id": gate.store_id, "gate_id": "g", "token": issued["token"], "nonce": "n"}
        strangers = [
            await guest(api),
            await staff_member(services_of(app), api, other.store_id),
            await staff_member(services_of(app), api, trip.store.store_id, Role.CASHIER),
        ]
        for stranger in strangers:
            assert await stranger.refused("/gate/verify", scan) == (403, "forbidden")
        assert (await api.post("/gate/verify", json=scan)).status_code == 401
        supervisor = await staff_member(services_of(app), api, trip.store.store_id, Role.SUPERVISOR)
        assert (await supervisor.post("/gate/verify", scan))["verdict"] == "open"


class TestSpotCheck:
    async def test_waits_for_the_guard_and_is_not_used_up_by_looking(self, app: Litestar, api: Api) -> None:
        _, issued, gate = await at_the_gate(app, api, spot_check_percent=100)
        assert issued["spot_check"] is True
        assert [await gate.scan(issued["token"], nonce) for nonce in "ab"] == [("check", "spot_check")] * 2
        assert await gate.scan(issued["token"], "c", "/gate/release") == ("open", "ok")
        assert await gate.scan(issued["token"], "d", "/gate/release") == ("refuse", "already_used")


class TestForgery:
    """What a token can be that is not one of ours."""

    async def test_is_refused(self, app: Litestar, api: Api) -> None:
        trip, issued, gate = await at_the_gate(app, api)
        header = jwt.get_unverified_header(issued["token"])
        claims = jwt.decode(issued["token"], options={"verify_signature": False})
        (public,) = [
            key
            for key in (await api.get("/.well-known/jwks.json")).json()["keys"]
            if key["kid"] == header["kid"]
        ]
        stranger = Ed25519PrivateKey.generate()
        raw_public = base64.urlsafe_b64decode(public["x"] + "=")
        mine = {"kty": "OKP", "crv": "Ed25519", "x": b64(stranger.public_key().public_bytes_raw())}
        head, _, signature = issued["token"].split(".")
        forged = {
            "nothing": "x",
            "none": unsigned({"alg": "none", "typ": header["typ"], "kid": header["kid"]}, claims),
            "public key as a secret": hs256(claims, raw_public, header),
            "another key, same kid": jwt.encode(claims, stranger, "EdDSA", headers=header),
            "brings its key": jwt.encode(claims, stranger, "EdDSA", headers={**header, "jwk": mine}),
            "brings its key's address": jwt.encode(
                claims, stranger, "EdDSA", headers={**header, "jku": "http://x"}
            ),
            "unknown kid": jwt.encode(claims, stranger, "EdDSA", headers={**header, "kid": "zzzz"}),
            "kid is a path": jwt.encode(
                claims, stranger, "EdDSA", headers={**header, "kid": "../../etc/passwd"}
            ),
            "wrong typ": jwt.encode(claims, stranger, "EdDSA", headers={**header, "typ": "at+jwt"}),
            "an access token": trip.shopper.token,
            "another order": ".".join(
                [head, b64(json.dumps({**claims, "sub": "ord_x"}).encode()), signature]
            ),
            "cut off": issued["token"][:-2],
        }
        for name, token in forged.items():
            assert await gate.scan(token) == ("refuse", "not_a_pass"), name
        assert await gate.scan(issued["token"]) == ("open", "ok")

    async def test_a_pass_is_no_access_token(self, app: Litestar, api: Api) -> None:
        _, issued, _ = await at_the_gate(app, api)
        response = await api.get("/auth/me", headers={"authorization": f"Bearer {issued['token']}"})
        assert response.status_code == 401


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}."


def hs256(claims: dict[str, Any], key: bytes, header: dict[str, Any]) -> str:
    """Signed by HMAC with the public key, as a confused verifier would accept it."""
    text = f"{b64(json.dumps({**header, 'alg': 'HS256'}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.digest(key, text.encode(), 'sha256'))}"


def spelling(token: str, n: int) -> str:
    """Other texts of the same token: the last character's unused bits, padding, space around it."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head, body, signature = token.split(".")
    last = alphabet.index(signature[-1])
    loose = signature[:-1] + alphabet[last & 0b110000 | n % 16]
    return [token, f"{head}.{body}.{loose}", f"{token}==", f" {token}", f"{token}\n"][n % 5]
