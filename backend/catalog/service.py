"""Looking products up, searching and changing them."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from functools import partial

from backend.catalog import store
from backend.catalog.barcodes import parse
from backend.catalog.cache import REST, Answer, Memory, Shelf, count_read
from backend.catalog.rules import CategoryCount, Page, Product, words
from backend.errors import Conflict, InvalidField, InvalidInput, ProductNotFound
from backend.kit.clock import Clock
from backend.kit.redis import Client
from backend.live import Bus

CHANNEL = "catalog"
MAX_WORDS = 8
PAGE_SIZE = 20


class Catalog:
    """All products. One for a process; made after the documents are bound, before the bus receives."""

    def __init__(self, redis: Client, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._memory = Memory(bus, clock)
        self._shelf = Shelf(redis, clock, store.collection_name())
        self._flights: dict[str, asyncio.Task[Answer]] = {}
        self._unfenced: set[str] = set()
        self._fence_owed = asyncio.Event()
        bus.subscribe(CHANNEL, lambda codes: self._forget(codes.decode().split()))
        bus.on_resync.append(self._forget_all)

    def peek(self, text: str) -> Product | None:
        """The product of a scanned text if this process holds it; None says nothing: ask `find`."""
        try:
            codes = parse(text)
        except InvalidInput:
            return None
        for code in codes:
            answer = self._memory.get(code)
            if answer is None or answer.product is not None:
                return answer and answer.product
        return None

    async def find(self, text: str) -> Product:
        """The product of a scanned text. However many ask at once, a process reads a code once.

        Raises:
            InvalidBarcode, InvalidCheckDigit: the text is no barcode, or was misread.
            ProductNotFound: no product carries it.
        """
        for code in parse(text):
            answer = self._memory.get(code)
            if answer is None:
                answer = await asyncio.shield(self._flight(code))
            if answer.product is not None:
                return answer.product
        raise ProductNotFound

    async def put(self, product: Product) -> Product:
        """Store a new product (revision 0), or the changed form of one that was read; gives its new revision.

        Every process answers with it within 1 s; if this one alone is cut off from Redis, once it is back.
        When MongoDB did not answer and the outcome is unknown, copies may outlive the change by a minute.

        Raises:
            Conflict: somebody changed it since, or another product has one of its codes.
        """
        before = await store.find(product.product_id)
        if product.revision != (before.revision if before else 0):
            raise Conflict("The product is not, or no longer, at this revision; read it again.")
        codes = {*product.codes, *(before.codes if before else ())}
        fenced = await self._shelf.fence(codes)
        try:
            return await store.write_if_unchanged(product)
        finally:
            self._announce(codes)
            if not fenced:
                self._unfenced.update(codes)
                self._fence_owed.set()

    async def search(self, q: str, page: int = 1, page_size: int = PAGE_SIZE) -> Page:
        """Products with every word of `q`, or its beginning, in name, brand or category; by name.

        Raises:
            InvalidField: no word in it, or more than eight.
        """
        return await store.read_page(_matching(q), page, page_size)

    async def page(self, page: int = 1, page_size: int = PAGE_SIZE) -> Page:
        """All products, by name."""
        return await store.read_page(store.ALL, page, page_size)

    async def by_category(self, category: str, page: int = 1, page_size: int = PAGE_SIZE) -> Page:
        return await store.read_page(store.in_category(category), page, page_size)

    async def featured(self, page: int = 1, page_size: int = PAGE_SIZE) -> Page:
        return await store.read_page(store.FEATURED, page, page_size)

    async def categories(self, q: str | None = None) -> list[CategoryCount]:
        """Categories by name and the number of their products; given `q`, of those that `search` finds."""
        return await store.count_by_category(store.ALL if q is None else _matching(q))

    async def run_fencing(self) -> None:
        """Tell Redis, once it is back, of changes that it did not hear of: it may still hold the old products."""
        while await self._fence_owed.wait():
            await asyncio.sleep(REST.total_seconds())
            codes = frozenset(self._unfenced)
            if await self._shelf.fence(codes):
                self._unfenced -= codes
                self._announce(codes)
            if not self._unfenced:
                self._fence_owed.clear()

    def _flight(self, code: str) -> asyncio.Task[Answer]:
        """The reading of a code under way: a task, so that no caller's cancellation ends it for others."""
        flight = self._flights.get(code)
        if flight is None:
            flight = self._flights[code] = asyncio.create_task(self._read(code))
            flight.add_done_callback(partial(self._land, code, self._clock.now()))
        return flight

    async def _read(self, code: str) -> Answer:
        answer = await self._shelf.get(code)
        level = "redis" if answer else "mongodb"
        if answer is None:
            answer = Answer(await store.find_by_code(code))
            await self._shelf.put(code, answer)
        count_read(level, answer)
        return answer

    def _land(self, code: str, began: datetime, flight: asyncio.Task[Answer]) -> None:
        """Keep what was read, unless it was forgotten on the way: then it may be the old product."""
        if self._flights.get(code) is not flight:
            return
        del self._flights[code]
        if not flight.cancelled() and flight.exception() is None:
            self._memory.keep(code, flight.result(), began)

    def _announce(self, codes: Iterable[str]) -> None:
        """Have every process read these codes anew."""
        self._forget(codes)
        self._bus.publish(CHANNEL, " ".join(codes).encode())

    def _forget(self, codes: Iterable[str]) -> None:
        for code in codes:
            self._memory.drop(code)
            self._flights.pop(code, None)

    def _forget_all(self) -> None:
        self._memory.clear()
        self._flights.clear()


def _matching(q: str) -> store.Filter:
    wanted = words(q)
    if not 1 <= len(wanted) <= MAX_WORDS:
        message = f"Give 1 to {MAX_WORDS} words to search for."
        raise InvalidField(message, [{"field": "q", "message": message}])
    return store.with_words(wanted)
