"""The stores in MongoDB, with a short-lived copy in the process."""

from datetime import datetime, timedelta

import msgspec

from backend.errors import StoreNotFound
from backend.kit.clock import Clock
from backend.kit.mongo import Document
from backend.stores.documents import StoreDocument
from backend.stores.rules import MAX_STORE_ID, Store

KEPT = timedelta(seconds=5)


class Stores:
    """All stores. One for a process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._copies: dict[str, tuple[Store, datetime]] = {}

    def peek(self, store_id: str) -> Store | None:
        """The store as read within the last 5 s; None when it must be read."""
        store, read_at = self._copies.get(store_id, (None, None))
        return store if read_at is not None and self._clock.now() - read_at < KEPT else None

    async def get(self, store_id: str) -> Store:
        """The store, at most 5 s old.

        Raises:
            StoreNotFound
        """
        if (copy := self.peek(store_id)) is not None:
            return copy
        now = self._clock.now()
        row = await StoreDocument.get_pymongo_collection().find_one({"_id": store_id})
        if row is None:
            self._copies.pop(store_id, None)
            raise StoreNotFound
        store = _to_store(row)
        self._copies[store_id] = store, now
        return store

    async def list(self) -> list[Store]:
        """Every store as it is now, by name."""
        rows = StoreDocument.get_pymongo_collection().find().sort([("name", 1), ("_id", 1)])
        return [_to_store(row) async for row in rows]

    async def put(self, store: Store) -> None:
        """Make the store, or replace it whole; every process sees it within 5 s.

        Raises:
            ValueError: its id is longer than `MAX_STORE_ID`.
        """
        if len(store.store_id) > MAX_STORE_ID:
            raise ValueError(f"the store's id has more than {MAX_STORE_ID} characters")
        row = msgspec.to_builtins(store)
        await StoreDocument.get_pymongo_collection().replace_one(
            {"_id": row.pop("store_id")}, row, upsert=True
        )
        self._copies.pop(store.store_id, None)


def _to_store(row: Document) -> Store:
    return msgspec.convert({**row, "store_id": row["_id"]}, Store)
