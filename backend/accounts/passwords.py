"""Passwords hashed by Argon2id, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from backend.accounts.rules import normalise_password
from backend.errors import Unavailable
from backend.kit.secrets import random_token

T = TypeVar("T")

AT_ONCE = 2
"""Hashes that one process computes at the same time, at 19 MiB and some 30 ms each; the others wait."""
MAX_WAITING = 200
"""Hashes that may wait: some 3 s. More are refused, as whoever asked would be gone when theirs had its turn.

Measured on two cores: of 2,000 at once 202 are computed in 2.5 s and take 24 MB; the loop is late by 0.2 ms in the
median, 6 ms at p99.
"""


class Passwords:
    """Argon2id with 19 MiB, two passes and one lane: the OWASP Password Storage Cheat Sheet's minimum.

    Normalises what it is given, so that no caller can forget to.
    """

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._nobodys_hash = self._hasher.hash(random_token())
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._asked = 0

    async def hash(self, password: str) -> str:
        """An encoded hash with its own salt."""
        return await self._in_thread(lambda: self._hasher.hash(normalise_password(password)))

    async def matches(self, password: str, stored_hash: str | None) -> bool:
        """Whether the password is the stored one; False for None, at the same cost."""
        wanted = stored_hash or self._nobodys_hash
        return await self._in_thread(lambda: self._verify(wanted, normalise_password(password)))

    def is_outdated(self, stored_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored_hash)

    def _verify(self, wanted: str, password: str) -> bool:
        try:
            return self._hasher.verify(wanted, password)
        except VerifyMismatchError:
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Raises `Unavailable` when too many wait."""
        if self._asked >= AT_ONCE + MAX_WAITING:
            raise Unavailable("Too many people sign in at this moment; try again.")
        self._asked += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._done)
        return await future

    def _done(self, _: asyncio.Future[T]) -> None:
        self._asked -= 1
