"""Access tokens: what is refused, and that time is the injected clock's."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest

from backend.accounts.tokens import AccessTokens, Claims
from backend.errors import NotAuthenticated, TokenExpired
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock


@pytest.fixture
def settings() -> Settings:
    return Settings(
        mongodb_url="", redis_url="", qless_secret="s" * 32, qless_public_url="https://shop.example"
    )


@pytest.fixture
def keyring(settings: Settings) -> Keyring:
    return Keyring(settings.qless_secret)


@pytest.fixture
def access_tokens(settings: Settings, clock: FakeClock, keyring: Keyring) -> AccessTokens:
    return AccessTokens(settings, clock, keyring)


Forge = Callable[[dict[str, Any], bytes], str]


def _signed(claims: dict[str, Any], key: bytes, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(claims, key, algorithm, headers={"typ": "at+jwt", **header})


def _lacking(name: str) -> Forge:
    return lambda claims, key: _signed({n: claim for n, claim in claims.items() if n != name}, key)


FORGERIES: dict[str, Forge] = {
    "unsigned": lambda claims, key: jwt.encode(claims, "", "none", headers={"typ": "at+jwt"}),
    "signature removed": lambda claims, key: _signed(claims, key).rpartition(".")[0] + ".",
    "signature cut": lambda claims, key: _signed(claims, key)[:-2],
    "another key": lambda claims, key: _signed(claims, b"k" * 32),
    "another algorithm": lambda claims, key: _signed(claims, key + key, "HS512"),
    "key in the header": lambda claims, key: _signed(
        claims, b"k" * 32, jwk={"kty": "oct", "k": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s"}
    ),
    "unknown critical extension": lambda claims, key: _signed(claims, key, crit=["x"], x=1),
    "plain type": lambda claims, key: _signed(claims, key, typ="JWT"),
    "exit pass's type": lambda claims, key: _signed(claims, key, typ="exit-pass+jwt"),
    "another audience": lambda claims, key: _signed(claims | {"aud": "store_1"}, key),
    "another issuer": lambda claims, key: _signed(claims | {"iss": "https://evil.example"}, key),
    **{f"no {name}": _lacking(name) for name in ("iss", "aud", "sub", "sid", "iat", "exp")},
    "deeply nested header": lambda claims, key: "W1tb" * 1_000 + ".e30.x",
    "nonsense": lambda claims, key: "nonsense",
}


def unverified(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


class TestIssue:
    def test_names_the_user_and_the_login_and_nothing_else(
        self, access_tokens: AccessTokens, settings: Settings
    ) -> None:
        token = access_tokens.issue("usr_1", "lgn_1")
        claims = unverified(token)
        assert claims == {
            "iss": settings.qless_public_url,
            "aud": "q-less",
            "sub": "usr_1",
            "sid": "lgn_1",
            "iat": claims["iat"],
            "exp": claims["iat"] + settings.qless_access_ttl_s,
        }
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}
        assert access_tokens.read(token) == Claims("usr_1", "lgn_1")


class TestRead:
    def test_expires_to_the_second(self, access_tokens: AccessTokens, clock: FakeClock) -> None:
        token = access_tokens.issue("usr_1", "lgn_1")
        clock.advance(seconds=unverified(token)["exp"] - 1 - clock.now().timestamp())
        assert access_tokens.read(token) == Claims("usr_1", "lgn_1")
        clock.advance(seconds=1)
        with pytest.raises(TokenExpired):
            access_tokens.read(token)

    def test_forgives_an_issuer_whose_clock_is_ahead(
        self, access_tokens: AccessTokens, clock: FakeClock
    ) -> None:
        token = access_tokens.issue("usr_1", "lgn_1")
        clock.advance(seconds=-59)
        assert access_tokens.read(token) == Claims("usr_1", "lgn_1")

    def test_refuses_what_was_issued_in_the_future(
        self, access_tokens: AccessTokens, clock: FakeClock
    ) -> None:
        token = access_tokens.issue("usr_1", "lgn_1")
        clock.advance(seconds=-61)
        with pytest.raises(NotAuthenticated):
            access_tokens.read(token)

    @pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
    @pytest.mark.parametrize("late_s", [0, 10**6], ids=["in time", "expired"])
    def test_refuses_forgeries_expired_or_not(
        self, access_tokens: AccessTokens, clock: FakeClock, keyring: Keyring, forge: Forge, late_s: int
    ) -> None:
        token = forge(unverified(access_tokens.issue("usr_1", "lgn_1")), keyring.key("access-token"))
        clock.advance(seconds=late_s)
        with pytest.raises(NotAuthenticated) as refusal:
            access_tokens.read(token)
        assert refusal.type is NotAuthenticated
