"""The stores' signing keys: made and replaced by whoever signs, sealed at rest, published by their public halves.

A process knows all keys, as they were at most 5 s ago. A `kid` that is not among them is looked for at once, in a read
that everybody who waits shares and that begins five times a second at most: forged names cost no more than that,
and an honest one is never judged by what was read before it was asked for.
"""

import asyncio
import base64
import logging
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from backend.exits import store_events, store_keys
from backend.exits.rules import (
    CLOCK_GRACE_S,
    EventKind,
    Key,
    next_signs_from,
    published_until,
    signers,
)
from backend.exits.store_events import GateEvent
from backend.kit.clock import Clock
from backend.kit.mongo import DuplicateKeyError
from backend.kit.secrets import Keyring
from backend.settings import Settings

log = logging.getLogger(__name__)

KEPT = timedelta(seconds=5)
READ_EVERY_S = 0.2
AT_ONCE = timedelta(seconds=CLOCK_GRACE_S)
"""How far back a key that signs at once is dated, so that it does so by every server's clock."""
SYSTEM = "system"
"""Who makes a key because its time has come."""
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


class SigningKey(msgspec.Struct, frozen=True):
    kid: str
    private: Ed25519PrivateKey


class Author(msgspec.Struct, frozen=True):
    """Who has a key made, for the audit trail."""

    by: str
    name: str | None = None


class ExitKeys:
    """Keys of all stores. One for a process."""

    def __init__(self, settings: Settings, clock: Clock, keyring: Keyring) -> None:
        self._every = timedelta(days=settings.qless_exit_key_days)
        self._pass_ttl = timedelta(seconds=settings.qless_pass_ttl_s)
        self._clock = clock
        self._sealer = keyring.sealer("exit-keys")
        self._all: dict[str, Key] = {}
        self._read_at = datetime.min.replace(tzinfo=UTC)
        self._begun = self._done = 0
        self._began_s = 0.0
        self._reading = asyncio.Lock()
        self._opened: dict[str, Ed25519PrivateKey | None] = {}

    async def signing(self, store_id: str) -> SigningKey:
        """The key that a store signs with now. Its first key, and the next when it is time, are made here.

        A key that this server's secret does not open is passed over; when none is left, a new one signs at once.
        """
        while True:
            keys, now = await self._of_store(store_id), self._clock.now()
            opened = await self._first_opened(signers(keys, now))
            if opened is None:
                await self._make(store_id, keys, now - AT_ONCE, Author(SYSTEM))
                continue
            if signs_from := next_signs_from(keys, now, self._every):
                await self._make(store_id, keys, signs_from, Author(SYSTEM))
                await self._forget_over(store_id)
            return opened

    async def named(self, kid: str) -> SigningKey | None:
        """A key to sign an issued pass with again; None when it was withdrawn, forgotten or cannot be opened."""
        key = await self.find(kid)
        return None if key is None or key.withdrawn_at else await self._first_opened([key])

    async def find(self, kid: str) -> Key | None:
        """What is known of a key; at once also of one that another process has just made."""
        keys = await self._known()
        if kid not in keys:
            keys = await self._read_anew(READ_EVERY_S)
        return keys.get(kid)

    async def rotate(self, store_id: str, author: Author, *, compromised: bool) -> tuple[Key, list[str]]:
        """Let a new key of the store sign at once, and withdraw the older ones if they are compromised.

        Answers the new key and the names of those withdrawn. Other processes notice within 5 s.
        """
        made = None
        while made is None:
            keys = await self._of_store(store_id)
            made = await self._make(store_id, keys, self._clock.now() - AT_ONCE, author)
        withdrawn = []
        for key in await self._of_store(store_id) if compromised else []:
            if key.number < made.number and await store_keys.withdraw(key.kid, self._clock.now()):
                await self._tell(EventKind.KEY_WITHDRAWN, key, author)
                withdrawn.append(key.kid)
        await self._read_anew()
        return made, withdrawn

    async def jwks(self) -> list[Key]:
        """Every key that a pass still in time may be signed with, and those that will sign next."""
        keys, now = await self._known(), self._clock.now()
        by_store: dict[str, list[Key]] = {}
        for key in keys.values():
            by_store.setdefault(key.store_id, []).append(key)
        return [
            key
            for key in keys.values()
            if key.withdrawn_at is None and not self._is_over(key, by_store[key.store_id], now)
        ]

    async def _known(self) -> dict[str, Key]:
        if timedelta(0) <= self._clock.now() - self._read_at < KEPT:
            return self._all
        return await self._read_anew()

    async def _of_store(self, store_id: str) -> list[Key]:
        return [key for key in (await self._known()).values() if key.store_id == store_id]

    async def _read_anew(self, spaced_s: float = 0) -> dict[str, Key]:
        """The keys by a read that begins after this call, and that long after the one before.

        Cancellation and failure leave what was known; who waits then reads for itself.
        """
        begun = self._begun
        await asyncio.sleep(max(0, self._began_s + spaced_s - asyncio.get_running_loop().time()))
        async with self._reading:
            if self._done <= begun:
                self._begun += 1
                self._began_s, at = asyncio.get_running_loop().time(), self._clock.now()
                self._all = {key.kid: key for key in await store_keys.all_public()}
                self._done, self._read_at = self._begun, at
                self._opened = {kid: key for kid, key in self._opened.items() if kid in self._all}
        return self._all

    async def _make(self, store_id: str, keys: list[Key], signs_from: datetime, author: Author) -> Key | None:
        """Make a store's next key; None when another process did."""
        private = Ed25519PrivateKey.generate()
        made = Key(
            kid=new_kid(),
            store_id=store_id,
            number=max((key.number for key in keys), default=0) + 1,
            public=_base64url(private.public_key().public_bytes_raw()),
            created_at=self._clock.now(),
            signs_from=signs_from,
        )
        try:
            await store_keys.insert(made, self._sealer.encrypt(private.private_bytes_raw()))
        except DuplicateKeyError:
            return None
        else:
            log.info("exit key made", extra={"kid": made.kid, "store_id": store_id})
            await self._tell(EventKind.KEY_MADE, made, author)
            return made
        finally:
            await self._read_anew()

    async def _first_opened(self, keys: list[Key]) -> SigningKey | None:
        for key in keys:
            if key.kid not in self._opened:
                self._opened[key.kid] = await self._open(key)
            if private := self._opened[key.kid]:
                return SigningKey(key.kid, private)
        return None

    async def _open(self, key: Key) -> Ed25519PrivateKey | None:
        sealed = await store_keys.sealed_private(key.kid)
        if sealed is None:
            return None
        with suppress(InvalidToken):
            return Ed25519PrivateKey.from_private_bytes(self._sealer.decrypt(sealed))
        log.error(
            "QLESS_SECRET does not open this exit key: passes will be signed with another one",
            extra={"kid": key.kid, "store_id": key.store_id},
        )
        return None

    def _is_over(self, key: Key, keys: list[Key], now: datetime) -> bool:
        until = published_until(key, keys, self._pass_ttl)
        return until is not None and until <= now

    async def _forget_over(self, store_id: str) -> None:
        """Drop a store's keys whose last pass ran out long ago: there are never more than a few."""
        keys, now = await self._of_store(store_id), self._clock.now()
        over = [key.kid for key in keys if self._is_over(key, keys, now)]
        if over:
            await store_keys.forget(over)

    async def _tell(self, kind: EventKind, key: Key, author: Author) -> None:
        await store_events.add(
            GateEvent(
                event_id=store_events.new_event_id(),
                kind=kind,
                at=self._clock.now(),
                store_id=key.store_id,
                by=author.by,
                by_name=author.name,
                kid=key.kid,
            )
        )


def new_kid() -> str:
    """Short, as it stands in every pass; the unique index tells of one that is taken."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(4))


@lru_cache(maxsize=4096)
def public_key(text: str) -> Ed25519PublicKey:
    """A public half by its `x`."""
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "="))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
