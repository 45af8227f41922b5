"""The two levels in front of MongoDB: this process's memory, then Redis.

Both hold, by GTIN-14 key, a product or the knowledge that there is none.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from backend.catalog.rules import Product
from backend.kit.clock import Clock
from backend.kit.metrics import Tally
from backend.kit.redis import Client, RedisDown
from backend.live import Bus

log = logging.getLogger(__name__)

READS = Tally(
    "qless_catalog_reads",
    "Barcodes read, by where the answer was and whether a product has it",
    ("level", "found"),
)

MAX_HELD = 50_000
HELD = timedelta(seconds=60)
HELD_UNKNOWN = timedelta(seconds=30)
HELD_UNTOLD = timedelta(seconds=1)
"""How long memory is trusted while the bus is cut and nobody could tell us of a change."""

SHELVED_S = 3600
SHELVED_UNKNOWN_S = 30
FENCED_S = 300
"""How long nothing is shelved under a changed code: far longer than any reading of MongoDB takes."""
REST = timedelta(seconds=2)
"""How long Redis is left alone after it failed."""

_FENCE = b""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Product | None).decode


class Answer(NamedTuple):
    """What is known of a code; `product` is None when no product carries it."""

    product: Product | None


def count_read(level: str, answer: Answer) -> None:
    READS.counts[level, "yes" if answer.product else "no"] += 1


class Memory:
    """Answers in this process: the 50,000 used last, each for a minute at most."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._held: OrderedDict[str, tuple[Answer, datetime]] = OrderedDict()

    def get(self, code: str) -> Answer | None:
        """The answer, if it is fresh enough to be used."""
        held = self._held.get(code)
        if held is None:
            return None
        answer, as_of = held
        if self._clock.now() - as_of >= self._trusted_for(answer):
            del self._held[code]
            return None
        self._held.move_to_end(code)
        count_read("memory", answer)
        return answer

    def _trusted_for(self, answer: Answer) -> timedelta:
        if not self._bus.connected:
            return HELD_UNTOLD
        return HELD if answer.product else HELD_UNKNOWN

    def keep(self, code: str, answer: Answer, as_of: datetime) -> None:
        """Hold an answer whose reading began at `as_of`."""
        self._held[code] = answer, as_of
        self._held.move_to_end(code)
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)

    def drop(self, code: str) -> None:
        self._held.pop(code, None)

    def clear(self) -> None:
        self._held.clear()


class Shelf:
    """Answers in Redis, shared by all processes.

    Whoever changes a product first fences its codes: what was shelved is gone, and for five minutes nothing
    takes its place. So nobody who read MongoDB before the change can put the old product back after it.

    No method fails when Redis is away. Whoever notices waits for its time-out; then it is left alone for 2 s.
    """

    def __init__(self, redis: Client, clock: Clock, collection: str) -> None:
        """`collection` is what MongoDB calls it: servers of other databases may use the same Redis."""
        self._redis = redis
        self._prefix = f"qless:{collection}:"
        self._clock = clock
        self._rests_until = clock.now()

    async def get(self, code: str) -> Answer | None:
        """The shelved answer, if there is one."""
        if self._rests:
            return None
        try:
            shelved: Any = await self._redis.get(self._prefix + code)
            return Answer(_decode(shelved)) if shelved else None
        except RedisDown as error:
            self._rest(error)
        except msgspec.DecodeError:
            log.warning("shelved product of another form", extra={"code": code})
        return None

    async def put(self, code: str, answer: Answer) -> None:
        """Shelve an answer just read from MongoDB, unless something stands there: an answer, or a fence."""
        if self._rests:
            return
        kept_s = SHELVED_S if answer.product else SHELVED_UNKNOWN_S
        try:
            await self._redis.set(self._prefix + code, _encode(answer.product), ex=kept_s, nx=True)
        except RedisDown as error:
            self._rest(error)

    async def fence(self, codes: Iterable[str]) -> bool:
        """Take these codes' answers away and keep their places empty; False if Redis did not hear it."""
        if self._rests:
            return False
        pipeline = self._redis.pipeline(transaction=False)
        for code in codes:
            pipeline.set(self._prefix + code, _FENCE, ex=FENCED_S)
        try:
            await pipeline.execute()
        except RedisDown as error:
            self._rest(error)
            return False
        return True

    @property
    def _rests(self) -> bool:
        return self._clock.now() < self._rests_until

    def _rest(self, error: Exception) -> None:
        self._rests_until = self._clock.now() + REST
        log.warning("product cache without Redis", extra={"error": type(error).__name__})
