"""The stores' signing keys: made when first needed, sealed at rest, published by their public halves."""

import base64
import secrets
from contextlib import suppress

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from backend.exits import store
from backend.exits.store import StoredKey
from backend.kit.clock import Clock
from backend.kit.mongo import DuplicateKeyError
from backend.kit.secrets import Keyring

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


class SigningKey(msgspec.Struct, frozen=True):
    kid: str
    private: Ed25519PrivateKey


class ExitKeys:
    """Keys of all stores, kept in the process once read: a key never changes, a new one has a new `kid`."""

    def __init__(self, clock: Clock, keyring: Keyring) -> None:
        self._clock = clock
        self._sealer = keyring.sealer("exit-keys")
        self._signing: dict[str, SigningKey] = {}
        self._public: dict[str, tuple[str, Ed25519PublicKey]] = {}

    async def signing(self, store_id: str, kid: str | None = None) -> SigningKey:
        """The key that a store signs with now, or the one named; a store's first key is made here.

        Two processes that make a first key at the same time publish both, and both are good.
        """
        name = f"{store_id} {kid or ''}"
        if name not in self._signing:
            stored = await store.find_key(kid) if kid else await store.newest_key(store_id)
            stored = stored or await self._make(store_id)
            private = Ed25519PrivateKey.from_private_bytes(self._sealer.decrypt(stored.sealed_private))
            self._signing[name] = SigningKey(stored.kid, private)
        return self._signing[name]

    async def _make(self, store_id: str) -> StoredKey:
        """A new key. A short `kid` keeps the pass short; one that is taken is drawn again."""
        private = Ed25519PrivateKey.generate()
        while True:
            stored = StoredKey(
                kid="".join(secrets.choice(_ALPHABET) for _ in range(4)),
                store_id=store_id,
                public=_base64url(private.public_key().public_bytes_raw()),
                sealed_private=self._sealer.encrypt(private.private_bytes_raw()),
            )
            with suppress(DuplicateKeyError):
                await store.insert_key(stored, self._clock.now())
                return stored

    async def public(self, kid: str) -> tuple[str, Ed25519PublicKey] | None:
        """The store that a key belongs to, and its public half."""
        if kid not in self._public:
            stored = await store.find_key(kid)
            if stored is None:
                return None
            raw = base64.urlsafe_b64decode(stored.public + "=")
            self._public[kid] = (stored.store_id, Ed25519PublicKey.from_public_bytes(raw))
        return self._public[kid]

    async def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Every public key as a JSON Web Key Set (RFC 7517, RFC 8037); `store_id` says whose passes it signs."""
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": key.public,
                    "kid": key.kid,
                    "use": "sig",
                    "alg": "EdDSA",
                    "store_id": key.store_id,
                }
                for key in await store.all_keys()
            ]
        }


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
