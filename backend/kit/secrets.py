"""Random tokens, keyed signatures, and keys derived from the one root secret."""

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_CLEAR = "abcdefghjkmnpqrstuvwxyz23456789"
"""What nobody takes for something else: no `i`, `l`, `o`, `0` and `1`."""


def random_token() -> str:
    """192 random bits, URL-safe."""
    return secrets.token_urlsafe(24)


def random_key() -> str:
    """256 random bits, URL-safe: for what does not expire."""
    return secrets.token_urlsafe(32)


def random_code() -> str:
    """59 random bits to be read aloud, such as `k7mq-3xwd-9abc`; `bare_code` of what was heard is the same again."""
    letters = "".join(secrets.choice(_CLEAR) for _ in range(12))
    return "-".join(letters[n : n + 4] for n in range(0, 12, 4))


def bare_code(heard: str) -> str:
    """Its letters and digits in lower case."""
    return "".join(filter(str.isalnum, heard.lower()))


def digest(token: str) -> str:
    """What is stored of a random token: its SHA-256. Enough, as the token itself cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(a: str, b: str) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(a.encode(), b.encode())


class Keyring:
    """Keys for one purpose each, derived from the root secret by HKDF-SHA256 (RFC 5869)."""

    def __init__(self, root: str) -> None:
        self._root = root.encode()

    def key(self, purpose: str) -> bytes:
        """32 bytes that belong to this purpose alone."""
        return HKDF(SHA256(), 32, salt=b"q-less", info=purpose.encode()).derive(self._root)

    def sign(self, purpose: str, message: bytes) -> str:
        """HMAC-SHA256, URL-safe base 64 without padding."""
        mac = hmac.digest(self.key(purpose), message, "sha256")
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()

    def sealer(self, purpose: str) -> Fernet:
        """Encrypts what must be stored but not read from a stolen database."""
        return Fernet(base64.urlsafe_b64encode(self.key(purpose)))
