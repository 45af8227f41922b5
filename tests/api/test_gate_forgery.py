"""What a token can be that is not a pass of ours: each is refused, none is an error, nothing changes."""

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar

from backend.exits import ExitKeys, tokens
from backend.kit.clock import Clock
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.gates import Gate, at_the_gate
from tests.world import Trip, services_of

pytestmark = pytest.mark.usefixtures("sandbox")

Api = httpx.AsyncClient
Json = dict[str, Any]

NOT_A_PASS = ("refuse", "not_a_pass")
ODD_KIDS: dict[str, Any] = {
    "unknown": "zzzz",
    "a path": "../../etc/passwd",
    "like SQL": "' OR 1=1 --",
    "a query": {"$gt": ""},
    "very long": "k" * 1200,
    "Hindi": "कुंजी",
    "with a null byte": "ab\x00cd",
    "a lone surrogate": "\ud800",
    "empty": "",
    "a list": ["abcd"],
    "a number": 1,
    "null": None,
    "true": True,
}


class Forger:
    """A real pass, its parts, and keys: the store's own to show that a signature is not all, and a stranger's."""

    def __init__(self, token: str, private: Ed25519PrivateKey) -> None:
        self.token, self.private = token, private
        self.header = jwt.get_unverified_header(token)
        self.claims: Json = jwt.decode(token, options={"verify_signature": False})
        self.stranger = Ed25519PrivateKey.generate()
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.stranger.public_key().public_bytes_raw())}

    def stolen(self, header: Json | str = "", claims: Json | str = "") -> str:
        """Signed by the store's own key, whatever it says."""
        return sign(header or self.header, claims or self.claims, self.private)

    def strange(self, **header: Any) -> str:
        """Signed by a key of the forger's own."""
        return sign({**self.header, **header}, self.claims, self.stranger)

    def keys_that_are_not_ours(self) -> Iterator[tuple[str, str]]:
        yield "another key, same kid", self.strange()
        yield "brings its key", self.strange(jwk=self.jwk)
        yield "brings its key's address", self.strange(jku="https://forger.example/jwks.json")
        yield "brings its certificate's address", self.strange(x5u="https://forger.example/x5u")
        yield "brings its certificate", self.strange(x5c=["MIIB"])
        for name, kid in ODD_KIDS.items():
            yield f"kid is {name}", self.strange(kid=kid)

    def algorithms(self) -> Iterator[tuple[str, str]]:
        signed, _, signature = self.token.rpartition(".")
        for alg in ("none", "None", "NONE", "nOnE", "", None):
            yield f"alg {alg!r}", f"{part({**self.header, 'alg': alg})}.{part(self.claims)}."
            yield (
                f"alg {alg!r}, signed",
                f"{part({**self.header, 'alg': alg})}.{part(self.claims)}.{signature}",
            )
        public = self.private.public_key().public_bytes_raw()
        for secret in (public, b64(public).encode()):
            yield "the public key as a secret", hs256({**self.header, "alg": "HS256"}, self.claims, secret)
        yield "alg as a list", self.stolen({**self.header, "alg": ["EdDSA"]})
        yield "alg RS256", self.stolen({**self.header, "alg": "RS256"})
        yield "no alg", self.stolen({"typ": self.header["typ"], "kid": self.header["kid"]})
        yield "no signature", f"{signed}."
        yield "another signature", f"{signed}.{b64(bytes(64))}"
        yield "a short signature", f"{signed}.{signature[:-2]}"
        yield "a long signature", f"{signed}.{signature}AAAA"

    def headers(self) -> Iterator[tuple[str, str]]:
        """Even with the store's own signature."""
        for typ in ("JWT", "at+jwt", "exit-pass", "EXIT-PASS+JWT", "", None, 1, ["exit-pass+jwt"]):
            yield f"typ {typ!r}", self.stolen({**self.header, "typ": typ})
        yield "no typ", self.stolen({"alg": "EdDSA", "kid": self.header["kid"]})
        yield "no kid", self.stolen({"alg": "EdDSA", "typ": self.header["typ"]})
        yield "crit", self.stolen({**self.header, "crit": ["exp"]})
        yield "crit of b64", self.stolen({**self.header, "crit": ["b64"], "b64": True})
        yield "b64 false", self.stolen({**self.header, "b64": False, "crit": ["b64"]})
        yield "b64 false, detached", detached(self.stolen({**self.header, "b64": False, "crit": ["b64"]}))
        yield "cty", self.stolen({**self.header, "cty": "JWT"})
        yield "jwk beside a good signature", self.stolen({**self.header, "jwk": self.jwk})
        twice = json.dumps(self.header)[:-1]
        yield "two kids, the last unknown", self.stolen(twice + ', "kid": "zzzz"}')
        yield "two algs, the last none", self.stolen(twice + ', "alg": "none"}')
        yield "a list for a header", self.stolen("[]")
        yield "a number for a header", self.stolen("1")
        yield "a huge number in the header", self.stolen(twice + ', "n": ' + "9" * 1000 + "}")
        yield "a header deeper than Python", self.stolen("[" * 1200)
        yield "a header deeper than Python, in an object", self.stolen('{"a":' * 220)

    def claims_changed(self) -> Iterator[tuple[str, str]]:
        """Even with the store's own signature."""
        for name in self.claims:
            without = {key: value for key, value in self.claims.items() if key != name}
            yield f"no {name}", self.stolen(claims=without)
        for name, values in ODD_CLAIMS.items():
            for value in values:
                yield f"{name} {str(value)[:20]!r}", self.stolen(claims={**self.claims, name: value})
        yield "claims are a list", self.stolen(claims="[]")
        yield "claims are null", self.stolen(claims="null")
        yield "claims are no JSON", self.stolen(claims="{")
        yield "claims are deep", self.stolen(claims='{"b":' + "[" * 1100)
        yield "not signed for", swapped(self.token, 1, part({**self.claims, "sub": "ord_x"}))

    def forms(self) -> Iterator[tuple[str, str]]:
        head, body, signature = self.token.split(".")
        yield "nothing", "x"
        yield "dots", ".."
        yield "empty header", f".{body}.{signature}"
        yield "empty claims", detached(self.token)
        yield "two parts", f"{head}.{body}"
        yield "four parts", f"{self.token}.{signature}"
        yield "five parts, as JWE", f"{part({'alg': 'dir', 'enc': 'A256GCM'})}..{body}.{body}.{signature}"
        yield (
            "the JSON serialisation",
            json.dumps({"protected": head, "payload": body, "signature": signature}),
        )
        yield "bad base 64", f"!!!.{body}.{signature}"
        yield "length of no base 64", f"{head}A.{body}.{signature}"
        yield "padding in the header", f"{head}=.{body}.{signature}"
        yield "space inside", f"{head}. {body}.{signature}"
        yield "space in front", f" {self.token}"
        yield "a line feed inside", f"{head}.{body[:5]}\n{body[5:]}.{signature}"
        yield "not ASCII", f"{head}.{body}.{signature[:-1]}é"
        yield "a null byte", f"{self.token}\x00"
        yield "emoji", "🛒" * 100


ODD_CLAIMS: dict[str, list[Any]] = {
    "iss": ["somebody", "", None, 1, ["q-less"], {"q-less": 1}],
    "aud": ["store_of_others", "", None, 1, [], ["a", "b"], {}],
    "sub": ["ord_nobody", "", None, 1, ["x"], {"$gt": ""}, "a\x00b"],
    "iat": ["1", None, 1e400, -1e30, 10**30, [], {}, "9" * 500],
    "exp": ["1", None, 1e400, -1e30, 10**30, [], {}],
    "b": [None, 1, [], [1, 2], [1, 2, 3, 4], "abc", {"a": 1}, [None] * 3, ["x"] * 3, [1e400, 1, 0]],
}


@pytest.fixture
async def shop(app: Litestar, api: Api, settings: Settings) -> tuple[Trip, Gate, Forger]:
    trip, issued, gate = await at_the_gate(app, api)
    clock: Clock = services_of(app).clock
    keys = ExitKeys(settings, clock, Keyring(settings.qless_secret))
    key = await keys.signing(trip.store.store_id)
    return trip, gate, Forger(issued["token"], key.private)


@pytest.mark.parametrize(
    "kind", ["keys_that_are_not_ours", "algorithms", "headers", "claims_changed", "forms"]
)
async def test_is_refused(shop: tuple[Trip, Gate, Forger], kind: str) -> None:
    _, gate, forger = shop
    told = [
        (name, text, await gate.scan(text)) for name, text in getattr(forger, kind)() if len(text) <= 2048
    ]
    assert len(told) > 10
    for name, text, answer in told:
        assert answer == NOT_A_PASS, (name, text)
    assert await gate.scan(forger.token) == ("open", "ok")


async def test_is_refused_when_it_is_longer_than_any_token(shop: tuple[Trip, Gate, Forger]) -> None:
    _, gate, forger = shop
    body = gate.body(forger.strange(kid="k" * 3000))
    assert await gate.guard.refused("/gate/verify", body) == (400, "invalid_field")


async def test_a_lone_surrogate_is_no_text(shop: tuple[Trip, Gate, Forger]) -> None:
    _, gate, _ = shop
    body = json.dumps(gate.body("TOKEN")).replace("TOKEN", "\\ud800x")
    headers = {"content-type": "application/json"}
    response = await gate.guard.call("POST", "/gate/verify", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


async def test_one_second_late_is_late(shop: tuple[Trip, Gate, Forger], app: Litestar) -> None:
    """Signed by the store's own key, with each of the two times at its edge."""
    _, gate, forger = shop
    now = int(services_of(app).clock.now().timestamp())
    for name, value, told in (
        ("exp", now, "pass_expired"),
        ("exp", now - 1, "pass_expired"),
        ("iat", now + 62, "pass_from_the_future"),
    ):
        text = forger.stolen(claims={**forger.claims, name: value})
        assert await gate.scan(text) == ("refuse", told), name
    assert await gate.scan(forger.stolen(claims={**forger.claims, "exp": now + 1})) == ("open", "ok")


async def test_another_stores_pass_is_refused_and_stays_good(app: Litestar, api: Api) -> None:
    _, issued, there = await at_the_gate(app, api)
    _, _, here = await at_the_gate(app, api)
    assert await here.scan(issued["token"]) == ("refuse", "wrong_store")
    assert await there.scan(issued["token"]) == ("open", "ok")


async def test_another_stores_key_signs_nothing_here(
    shop: tuple[Trip, Gate, Forger], app: Litestar, api: Api, settings: Settings
) -> None:
    """Whoever has the key of one store can make no pass of another."""
    _, gate, forger = shop
    other, *_ = await at_the_gate(app, api)
    keys = ExitKeys(settings, services_of(app).clock, Keyring(settings.qless_secret))
    key = await keys.signing(other.store.store_id)
    text = sign({**forger.header, "kid": key.kid}, forger.claims, key.private)
    assert await gate.scan(text) == NOT_A_PASS
    elsewhere = {**forger.claims, "aud": other.store.store_id}
    text = sign({**forger.header, "kid": key.kid}, elsewhere, key.private)
    assert await gate.scan(text) == ("refuse", "wrong_store")


async def test_an_access_token_is_no_pass_and_a_pass_is_no_access_token(
    shop: tuple[Trip, Gate, Forger], api: Api
) -> None:
    trip, gate, forger = shop
    assert await gate.scan(trip.shopper.token) == NOT_A_PASS
    response = await api.get("/auth/me", headers={"authorization": f"Bearer {forger.token}"})
    assert response.status_code == 401


def test_a_number_beyond_every_calendar_is_no_time() -> None:
    private = Ed25519PrivateKey.generate()
    claims = tokens.Claims("s", "o", datetime.now(UTC), datetime.now(UTC), 1, 1, False)
    good = tokens.sign(claims, "abcd", private)
    told = jwt.decode(good, options={"verify_signature": False})
    for value in (10**12, 10**18, float("inf"), float("nan"), True):
        text = sign(jwt.get_unverified_header(good), {**told, "exp": value}, private)
        with pytest.raises(tokens.NotAPass):
            tokens.read(text, private.public_key())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(value: Any) -> str:
    """A part of a token; a text stands for itself."""
    return b64((value if isinstance(value, str) else json.dumps(value)).encode())


def sign(header: Any, claims: Any, key: Ed25519PrivateKey) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{b64(key.sign(text.encode()))}"


def hs256(header: Json, claims: Json, secret: bytes) -> str:
    """Signed by HMAC with the public key, as a confused verifier would accept it."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def swapped(token: str, place: int, text: str) -> str:
    parts = token.split(".")
    return ".".join([*parts[:place], text, *parts[place + 1 :]])


def detached(token: str) -> str:
    return swapped(token, 1, "")
