"""The one way to MongoDB: majority writes, journaled, a deadline on everything, times with a zone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any, TypeVar

import pymongo
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Session = AsyncClientSession
StorageError = PyMongoError
"""MongoDB did not answer, or not in time."""
T = TypeVar("T")

TIMEOUT_MS = 5_000
"""How long any single operation may take, retries included."""
HEARTBEAT_MS, CONNECT_MS = 1_000, 2_000
"""A member that froze is known after both together, one that came back after the first. With the driver's 10 s and 20 s
a new primary was not found for 8 s after its election."""
TRANSACTION_TIMEOUT_S = 2.0
CLOSES_WITHIN_S = 3 * TIMEOUT_MS / 1000

__all__ = [
    "Client",
    "Database",
    "Document",
    "DuplicateKeyError",
    "Session",
    "StorageError",
    "close",
    "connect",
    "in_transaction",
    "is_url",
    "open_database",
]


def is_url(url: str) -> bool:
    """Whether PyMongo can make sense of it; no name is looked up."""
    if any(character.isspace() for character in url):
        return False
    try:
        # The SRV form is resolved as it is read; its parts are those of the plain form.
        parse_uri(url.replace("mongodb+srv://", "mongodb://", 1), warn=False)
    except (PyMongoError, ValueError):
        return False
    return True


def connect(url: str, listeners: Sequence[CommandListener] = ()) -> Client:
    """A client of its own for the running event loop (PyMongo's async client is bound to one)."""
    return AsyncMongoClient(
        url,
        tz_aware=True,
        tzinfo=UTC,
        timeoutMS=TIMEOUT_MS,
        serverSelectionTimeoutMS=TIMEOUT_MS,
        heartbeatFrequencyMS=HEARTBEAT_MS,
        connectTimeoutMS=CONNECT_MS,
        retryWrites=True,
        appname="q-less",
        event_listeners=listeners,
    )


async def close(client: Client) -> None:
    """Close a client. Without MongoDB it takes its time-out to say goodbye; then it is left to the end of the process.

    An operation that was cancelled twice may have left the driver's own lock taken for ever (PyMongo 4.20).
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSES_WITHIN_S):
            await client.close()


def open_database(client: Client, name: str) -> Database:
    """Majority, journaled writes and majority reads: what was read cannot be rolled back."""
    return client.get_database(
        name,
        codec_options=CodecOptions(tz_aware=True, tzinfo=UTC),
        write_concern=WriteConcern(w="majority", j=True),
        read_concern=ReadConcern("majority"),
    )


async def in_transaction(
    client: Client, work: Callable[[Session], Awaitable[T]], timeout_s: float = TRANSACTION_TIMEOUT_S
) -> T:
    """Run `work` in one transaction, again on a transient conflict, within the deadline.

    A `DuplicateKeyError` leaves the transaction undone and reaches the caller: it is an answer, not an accident.

    Raises:
        pymongo.errors.PyMongoError: not committed in time; may be repeated.
    """
    with pymongo.timeout(timeout_s):
        async with client.start_session() as session:
            return await session.with_transaction(
                work, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern(w="majority", j=True)
            )
