"""A person's logins: seen, and ended one by one or all together; and who has to hear that one ended."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from backend.accounts import store
from backend.accounts.documents import LoginDocument
from backend.accounts.rules import Principal
from backend.accounts.schemas import LoginOut
from backend.errors import NotFound
from backend.kit.clock import Clock
from backend.kit.mongo import StorageError

log = logging.getLogger(__name__)

WATCH_EVERY_S = 1.0
CLOCKS_APART = timedelta(minutes=1)
"""How far the clocks of two processes may differ, and how long a socket may take from its token to its room: an end is
told of for so long."""


class Logins:
    """The logins of all people."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_until = clock.now()

    async def of_caller(self, caller: Principal) -> list[LoginOut]:
        """The caller's live logins, the newest first."""
        found = await store.live_logins(caller.user_id, self._clock.now())
        return [_out(login, caller.login_id) for login in found]

    async def end(self, caller: Principal, login_id: str) -> None:
        """End one of the caller's own.

        Raises:
            NotFound: the caller has no such live login.
        """
        if not await store.end_own_login(caller.user_id, login_id, self._clock.now()):
            raise NotFound("You have no such login.")

    async def end_others(self, caller: Principal) -> None:
        """End all of the caller's but the one in use."""
        await store.end_others(caller.user_id, caller.login_id, "ended", self._clock.now())

    async def run_watch(self, tell: Callable[[frozenset[str]], None]) -> None:
        """Every second, `tell` the ids of logins that ended of late, some again and again; until cancelled.

        One question a process, whose cost goes by how many logins end, not by how many are in use. While MongoDB is
        away nothing is told, and everything afterwards.
        """
        while True:
            try:
                now = self._clock.now()
                ended = await store.logins_ended_since(self._told_until - CLOCKS_APART)
                self._told_until = now
            except StorageError as error:
                log.warning("ended logins not read", extra={"error": type(error).__name__})
            else:
                if ended:
                    tell(ended)
            await asyncio.sleep(WATCH_EVERY_S)


def _out(login: LoginDocument, current: str) -> LoginOut:
    return LoginOut(
        login_id=login.id,
        device=login.device,
        begun_at=login.begun_at,
        refreshed_at=login.rotated_at,
        current=login.id == current,
    )
