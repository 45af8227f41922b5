"""At most so many tries of a key in so many seconds, over all processes: what stands between a guesser and a secret.

A try is counted before its outcome is known and taken back when it was right, so that tries sent all at once do not
pass together. What costs something also when it is right is counted for good. A key is a sorted set in Redis, one member a try; one script judges and counts all keys of a try, by
Redis' own clock. What is refused is not counted: whoever waits as told gets his next try.

Each process also remembers the tries that it let through itself, and asks its memory first. So without Redis, or with
one that was restarted and forgot, no request fails and the limit holds in each process.

Not by the package `limits` (5.8): its extra for Redis excludes redis-py 8, nothing counted can be taken back (a
negative cost does nothing in its moving window, and in its fixed window raises the limit once the window is over), and
its memory walks all keys at every try.
"""

import asyncio
import ipaddress
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from backend.errors import AppError, TooManyTries
from backend.kit.redis import Client, RedisDown

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_KEYS = 10_000
MAX_TRIES = 200_000
"""Keys and tries in a process's memory, some 30 MB; the keys asked for longest ago are forgotten first."""
ANSWER_WITHIN_S = 0.5
REST_S = 2.0
"""How long Redis is left alone after it failed."""

# KEYS: one a limit. ARGV: the try's name, then tries and milliseconds of each limit.
# Answers 0 when counted, else in how many milliseconds there may be a next try.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local wait = 0
for n, key in ipairs(KEYS) do
    local tries, window = tonumber(ARGV[2 * n]), tonumber(ARGV[2 * n + 1])
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
    local oldest = redis.call('ZRANGE', key, -tries, -tries, 'WITHSCORES')
    if oldest[2] then
        wait = math.max(wait, oldest[2] + window - now)
    end
end
if wait == 0 then
    for n, key in ipairs(KEYS) do
        redis.call('ZADD', key, now, ARGV[1])
        redis.call('PEXPIRE', key, ARGV[2 * n + 1])
    end
end
return wait
"""


class Limit(NamedTuple):
    """At most `tries` of `key` in any `per_s` seconds."""

    key: str
    tries: int
    per_s: int


class _Memory:
    """The tries that this process let through: their time and name by key, the newest last."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[float, str]]] = {}
        self._tries = 0

    def take(self, name: str, limits: Sequence[Limit]) -> float:
        """Count one try of each key; or count nothing, and tell in how many seconds there may be one."""
        now = time.monotonic()
        wait_s = 0.0
        for key, tries, per_s in limits:
            recent = [held for held in self._pop(key) if held[0] > now - per_s]
            self._put(key, recent)
            if len(recent) >= tries:
                wait_s = max(wait_s, recent[-tries][0] + per_s - now)
        if not wait_s:
            for limit in limits:
                self._held[limit.key].append((now, name))
                self._tries += 1
        while len(self._held) > MAX_KEYS or self._tries > MAX_TRIES:
            self._pop(next(iter(self._held)))
        return wait_s

    def give_back(self, name: str, limits: Sequence[Limit]) -> None:
        for limit in limits:
            left = [held for held in self._pop(limit.key) if held[1] != name]
            if left:
                self._put(limit.key, left)

    def _pop(self, key: str) -> list[tuple[float, str]]:
        held = self._held.pop(key, [])
        self._tries -= len(held)
        return held

    def _put(self, key: str, held: list[tuple[float, str]]) -> None:
        self._held[key] = held
        self._tries += len(held)


class Throttle:
    """Counts tries, in this process and in Redis."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._script = redis.register_script(_TAKE)
        self._memory = _Memory()
        self._rests_until = 0.0

    @asynccontextmanager
    async def counting(self, *limits: Limit, wrong: type[AppError]) -> AsyncIterator[None]:
        """Count a try of each key before the block; it stays counted when the block raises `wrong`, and only then.

        Tries that are still undecided count as well: more at once than a limit allows are refused.

        Raises:
            TooManyTries: a limit is reached. The block is not entered, and nothing is counted.
        """
        name = await self._admit(limits)
        was_wrong = False
        try:
            yield
        except wrong:
            was_wrong = True
            raise
        finally:
            if not was_wrong:
                self._memory.give_back(name, limits)
                await self._give_back(name, limits)

    async def count(self, *limits: Limit) -> None:
        """Count a try of each key for good, whatever becomes of it.

        Raises:
            TooManyTries: a limit is reached; nothing is counted.
        """
        await self._admit(limits)

    async def _admit(self, limits: Sequence[Limit]) -> str:
        """Count a try of each key; the name under which it may be taken back."""
        name = secrets.token_hex(8)
        wait_s = self._memory.take(name, limits) or await self._take(name, limits)
        if wait_s:
            self._memory.give_back(name, limits)
            raise TooManyTries(retry_after_s=math.ceil(wait_s))
        return name

    async def _take(self, name: str, limits: Sequence[Limit]) -> float:
        numbers = [number for limit in limits for number in (limit.tries, limit.per_s * 1000)]
        keys = [_redis_key(limit) for limit in limits]
        wait_ms: int = await self._ask(lambda: self._script(keys=keys, args=[name, *numbers]), 0)
        return wait_ms / 1000

    async def _give_back(self, name: str, limits: Sequence[Limit]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for limit in limits:
            pipeline.zrem(_redis_key(limit), name)
        await self._ask(pipeline.execute, [])

    async def _ask(self, question: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """Redis' answer; `otherwise` when it gives none in time, or gave none a moment ago."""
        if time.monotonic() < self._rests_until:
            return otherwise
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await question()
        except RedisDown as error:
            self._rests_until = time.monotonic() + REST_S
            log.warning("tries counted without Redis", extra={"error": type(error).__name__})
            return otherwise


def _redis_key(limit: Limit) -> str:
    return f"{{tries}}:{limit.key}"  # one slot of a cluster for all keys of a try


def network_of(host: str) -> str:
    """What one customer of a network provider holds: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
