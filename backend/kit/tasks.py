"""Background loops that outlive their own failures."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

MAX_BACKOFF_S = 5.0


class Background:
    """The loops of one process: started by name, restarted with jittered back-off, ended together."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run `loop` until `stop`; when it raises, log it and run it again."""
        self._tasks.append(asyncio.create_task(_forever(name, loop), name=name))

    async def stop(self) -> None:
        """Cancel every loop, the newest first, and wait until each has ended.

        A cancellation that meets a failing network call may be lost in it, so it is repeated until it holds.
        """
        for task in reversed(self._tasks):
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.5)
        self._tasks.clear()


async def _forever(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    failures = 0
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await loop()
            return
        except Exception as error:
            lasted = asyncio.get_running_loop().time() - started
            failures = 1 if lasted > 60 else failures + 1
            log.warning("background loop failed", extra={"loop": name, "failures": failures}, exc_info=error)
        await asyncio.sleep(_backoff_s(failures) * random.uniform(0.5, 1))  # noqa: S311


def _backoff_s(failures: int) -> float:
    """Doubles with each failure up to its maximum, after however many: 2**1024 is no float any more."""
    return min(MAX_BACKOFF_S, 0.1 * 2.0 ** min(failures, 10))
