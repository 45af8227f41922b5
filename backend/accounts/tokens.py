"""Access tokens: short-lived JWTs (RFC 9068's `at+jwt`) that name a user and a login, and nothing else.

Roles are not in them: they are read afresh with every request.
"""

from dataclasses import dataclass

import jwt

from backend.errors import NotAuthenticated, TokenExpired
from backend.kit.clock import Clock
from backend.kit.secrets import Keyring
from backend.settings import Settings

ALGORITHM = "HS256"
TYPE = "at+jwt"
AUDIENCE = "q-less"
IAT_GRACE_S = 60
"""How far ahead the clock of the process that issued a token may be; `exp` has no such grace."""


@dataclass(frozen=True, slots=True)
class Claims:
    user_id: str
    login_id: str


class AccessTokens:
    """Issues and reads them, by the injected clock: PyJWT's own is not asked."""

    def __init__(self, settings: Settings, clock: Clock, keyring: Keyring) -> None:
        self._issuer = settings.qless_public_url
        self.ttl_s = settings.qless_access_ttl_s
        self._clock = clock
        self._key = keyring.key("access-token")

    def issue(self, user_id: str, login_id: str) -> str:
        now = int(self._clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": login_id,
            "iat": now,
            "exp": now + self.ttl_s,
        }
        return jwt.encode(claims, self._key, ALGORITHM, headers={"typ": TYPE})

    def read(self, token: str) -> Claims:
        """Check everything that the token alone can show.

        Raises:
            TokenExpired: one of ours and sound, but its time is over.
            NotAuthenticated: anything else.
        """
        try:
            decoded = jwt.decode_complete(
                token,
                self._key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=AUDIENCE,
                options={
                    "require": ["iss", "aud", "sub", "sid", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError:
            raise NotAuthenticated("The access token is not one of ours.") from None
        claims, now = decoded["payload"], self._clock.now().timestamp()
        if decoded["header"].get("typ") != TYPE or claims["iat"] > now + IAT_GRACE_S:
            raise NotAuthenticated("The access token is not one of ours.")
        if claims["exp"] <= now:
            raise TokenExpired
        return Claims(user_id=claims["sub"], login_id=claims["sid"])
