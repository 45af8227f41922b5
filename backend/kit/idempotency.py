"""`Idempotency-Key`: a request that is sent again gets its first answer and has no second effect.

After draft-ietf-httpapi-idempotency-key-header. Only successes are kept: what was refused changed nothing and may be sent
again. Answers are sealed, as they may hold what the database must not.

    (nothing) ── begun ──> in flight ── succeeded ──> answered, kept 48 h
        ^                      │  └── its process died, or it failed: the same one again, after the lease or at once
        └────── refused ───────┘
"""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec
import pymongo
from beanie import Document
from litestar.params import HeaderParameter
from pymongo import IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from backend import errors
from backend.kit.clock import Clock
from backend.kit.mongo import DuplicateKeyError, StorageError
from backend.kit.schema import COMMAND_ID_PATTERN
from backend.kit.secrets import Keyring, digest

T = TypeVar("T")

LEASE = timedelta(seconds=30)
KEPT = timedelta(hours=48)
"""Twice what is promised: a client that repeats at the last moment finds its answer."""
HEADER = "Idempotency-Key"


def _header(description: str) -> HeaderParameter:
    return HeaderParameter(
        name=HEADER, min_length=1, max_length=64, pattern=COMMAND_ID_PATTERN, description=description
    )


OptionalKey = Annotated[
    str | None,
    _header(
        "Made by the client and never reused: a repeat within 24 hours gets the first answer and has no second effect."
    ),
]
RequiredKey = Annotated[
    str, _header("Made by the client for this one act, and never reused: a repeat gets the first answer.")
]


class IdempotencyDocument(Document):
    """One key of one caller. `holder` is whoever carries the request out; `answer` is sealed JSON."""

    id: str  # type: ignore[assignment]
    request: str
    holder: str
    lease_until: datetime
    answer: bytes | None
    forget_at: datetime

    class Settings:
        name = "idempotency_keys"
        indexes = [IndexModel([("forget_at", pymongo.ASCENDING)], expireAfterSeconds=0, name="forget")]


class Idempotency:
    """Remembers the answers of requests that carry a key."""

    def __init__(self, clock: Clock, keyring: Keyring) -> None:
        self._clock = clock
        self._sealer = keyring.sealer("idempotency")

    async def once(
        self,
        key: str | None,
        caller: str,
        operation: str,
        body: msgspec.Struct | None,
        answer: type[T],
        work: Callable[[str], Awaitable[T]],
    ) -> T:
        """Do the work, unless the same request of this caller's was answered; without a key always.

        The work must bear being repeated under the id that it is given, which is the same for the same key: its
        process may die after it and before its answer is kept.

        Args:
            operation: what is asked for, with what its path names.

        Raises:
            InProgress: the same request is being carried out.
            IdReused: the key came with another request.
        """
        if key is None:
            return await work(secrets.token_hex(12))
        key_id = digest(f"{caller}\n{key}")
        holder = secrets.token_hex(8)
        request = digest(f"{operation}\n{msgspec.json.encode(body).decode()}")
        known = await self._begin(key_id, request, holder)
        if known is not None:
            return msgspec.json.decode(self._sealer.decrypt(known), type=answer)
        try:
            result = await work(key_id[:24])
        except Exception as error:
            with suppress(StorageError):
                await self._give_up(key_id, holder, error)
            raise
        sealed = self._sealer.encrypt(msgspec.json.encode(result))
        await _keys().update_one({"_id": key_id, "holder": holder}, {"$set": {"answer": sealed}})
        return result

    async def _give_up(self, key_id: str, holder: str, error: Exception) -> None:
        """What was refused frees its key. What failed may have had its effect: the same request may try again at once."""
        ours = {"_id": key_id, "holder": holder, "answer": None}
        if isinstance(error, errors.AppError) and not error.retryable:
            await _keys().delete_one(ours)
        else:
            await _keys().update_one(ours, {"$set": {"lease_until": self._clock.now()}})

    async def _begin(self, key_id: str, request: str, holder: str) -> bytes | None:
        """Take the key; the kept answer if there is one."""
        now = self._clock.now()
        held = {"holder": holder, "lease_until": now + LEASE, "forget_at": now + KEPT}
        with suppress(DuplicateKeyError):
            await _keys().insert_one({"_id": key_id, "request": request, "answer": None, **held})
            return None
        row = await _keys().find_one({"_id": key_id})
        if row is not None and row["request"] != request:
            raise errors.IdReused
        if row is not None and row["answer"] is not None:
            answer: bytes = row["answer"]
            return answer
        taken = await _keys().update_one(
            {"_id": key_id, "answer": None, "lease_until": {"$lte": now}}, {"$set": held}
        )
        if not taken.modified_count:
            raise errors.InProgress
        return None


def _keys() -> AsyncCollection[Any]:
    return IdempotencyDocument.get_pymongo_collection()
