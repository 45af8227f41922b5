"""The pass as a token: what it claims, how it is signed, how it is read.

Header: `alg` EdDSA, `typ` exit-pass+jwt, `kid`. Claims: `iss` q-less, `aud` the store, `sub` the order, `iat`, `exp`, and
`b`, the basket: [items, total in minor units, 1 if it is to be checked]; 999 items are 999 or more. Claims may be
added, none changes its meaning; a reader ignores what it does not know. The header has no more than its three.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

TYPE = "exit-pass+jwt"
ISSUER = "q-less"
ALGORITHM = "EdDSA"
MAX_CHARACTERS = 330
"""Reached by the largest total in a store whose id has `MAX_STORE_ID` characters, with ids of orders as they are made."""
MANY_ITEMS = 999
_LAST_SECOND = 2**37
"""Well within what `datetime` can tell."""


class Claims(NamedTuple):
    """What a pass says."""

    store_id: str
    order_id: str
    issued_at: datetime
    expires_at: datetime
    item_count: int
    total_minor: int
    check: bool


class NotAPass(Exception):
    """Not a token of ours, or altered."""


def sign(claims: Claims, kid: str, key: Ed25519PrivateKey) -> str:
    """The token. The same claims and key always give the same text (Ed25519 is deterministic, RFC 8032)."""
    return jwt.encode(
        {
            "iss": ISSUER,
            "aud": claims.store_id,
            "sub": claims.order_id,
            "iat": int(claims.issued_at.timestamp()),
            "exp": int(claims.expires_at.timestamp()),
            "b": [min(claims.item_count, MANY_ITEMS), claims.total_minor, int(claims.check)],
        },
        key,
        algorithm=ALGORITHM,
        headers={"typ": TYPE, "kid": kid},
    )


def key_id(token: str) -> str:
    """The `kid` that an unverified token names.

    Raises:
        NotAPass: it is no token, of another type, or its header says more than those of ours do.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, UnicodeError, RecursionError):
        raise NotAPass from None
    kid = header.get("kid")
    if header != {"alg": ALGORITHM, "typ": TYPE, "kid": kid} or not isinstance(kid, str):
        raise NotAPass
    return kid


def read(token: str, key: Ed25519PublicKey) -> Claims:
    """Verify the signature and read the claims. Store and times are the caller's to judge, by its own clock.

    Raises:
        NotAPass: the signature or the form is wrong.
    """
    try:
        decoded = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={
                "require": ["iss", "aud", "sub", "iat", "exp", "b"],
                "verify_aud": False,
                "verify_exp": False,
                "verify_iat": False,
            },
        )
        return _claims(decoded)
    except (jwt.InvalidTokenError, TypeError, ValueError, RecursionError):
        raise NotAPass from None


class _Payload(msgspec.Struct):
    """The claims as they must be, types and all."""

    aud: str
    sub: str
    iat: Annotated[int, Meta(ge=0, le=_LAST_SECOND)]
    exp: Annotated[int, Meta(ge=0, le=_LAST_SECOND)]
    b: tuple[int, int, int]


def _claims(decoded: dict[str, Any]) -> Claims:
    payload = msgspec.convert(decoded, _Payload)
    items, total, check = payload.b
    return Claims(
        store_id=payload.aud,
        order_id=payload.sub,
        issued_at=datetime.fromtimestamp(payload.iat, UTC),
        expires_at=datetime.fromtimestamp(payload.exp, UTC),
        item_count=items,
        total_minor=total,
        check=bool(check),
    )
