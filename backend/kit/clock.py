"""Time as a dependency, so that tests can hold it still."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """UTC, aware, in whole milliseconds: what BSON keeps."""
        ...


class SystemClock:
    """The machine's clock. Asked often within a millisecond, it gives the same moment again: that costs least."""

    def __init__(self) -> None:
        self._ms = 0
        self._moment = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        ms = time.time_ns() // 1_000_000
        if ms != self._ms:
            self._ms, self._moment = ms, datetime.fromtimestamp(ms / 1000, UTC)
        return self._moment


def to_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
