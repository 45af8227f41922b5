"""How late the screens of a cart were, from the diaries of its clients alone. Times are seconds, monotonic."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.chaos.diary import Diary
from tests.chaos.screen import Screen

FOREVER = float("inf")


class Late(NamedTuple):
    """How long a client lacked an event that somebody had been told of; at least this, if it was cut off first."""

    seconds: float
    client: str
    seq: int
    at: float


class Socket(NamedTuple):
    """One connection of a client.

    Attributes:
        greeted_at: when the first frame came; None if none did.
        code, by: how it closed, and who closed it.
    """

    client: str
    server: str
    opened_at: float
    greeted_at: float | None
    closed_at: float
    code: int | None
    by: str


def sockets_of(diary: Diary) -> list[Socket]:
    found: list[Socket] = []
    for record in diary.records:
        at = record["at"]
        if record["is"] == "opened":
            found.append(Socket(diary.client, record["server"], at, None, FOREVER, None, ""))
        elif record["is"] == "got" and found and found[-1].greeted_at is None:
            found[-1] = found[-1]._replace(greeted_at=at)
        elif record["is"] == "closed":
            found[-1] = found[-1]._replace(closed_at=at, code=record["code"], by=record["by"])
    return found


def told_at(diaries: Sequence[Diary]) -> list[tuple[int, float]]:
    """When each seq was first acknowledged to anybody, in the order of seq."""
    first: dict[int, float] = {}
    for diary in diaries:
        for record in diary.records:
            if record["is"] == "got" and record["frame"]["type"] == "ack":
                seq, at = record["frame"]["seq"], record["at"]
                first[seq] = min(at, first.get(seq, FOREVER))
    return sorted(first.items())


class _Shown:
    """When a client's screen reached which seq."""

    def __init__(self, diary: Diary) -> None:
        self._seqs: list[int] = []
        self._at: list[float] = []
        screen = Screen()
        for record in diary.records:
            if record["is"] == "got":
                before = screen.seq
                screen.take(record["frame"])
                if screen.seq > before:
                    self._seqs.append(screen.seq)
                    self._at.append(record["at"])

    def reached(self, seq: int) -> float:
        index = bisect_left(self._seqs, seq)
        return self._at[index] if index < len(self._at) else FOREVER


def late_screens(diaries: Sequence[Diary], after: float = 0.0, before: float = FOREVER) -> Iterator[Late]:
    """For every event told between two times, and every socket open then: how late it was on that screen."""
    told = [(seq, at) for seq, at in told_at(diaries) if after <= at < before]
    for diary in diaries:
        shown = _Shown(diary)
        for socket in sockets_of(diary):
            for seq, at in told:
                if socket.opened_at <= at < socket.closed_at:
                    seconds = max(0.0, min(shown.reached(seq), socket.closed_at) - at)
                    yield Late(seconds, diary.client, seq, at)


def late_returns(diaries: Sequence[Diary]) -> Iterator[Late]:
    """For every socket: how long after it opened its screen had all that anybody had been told by then."""
    told = told_at(diaries)
    for diary in diaries:
        shown = _Shown(diary)
        for socket in sockets_of(diary):
            known = [seq for seq, at in told if at <= socket.opened_at]
            if known:
                reached = min(shown.reached(known[-1]), socket.closed_at)
                yield Late(max(0.0, reached - socket.opened_at), diary.client, known[-1], socket.opened_at)


def worst(of: Iterator[Late]) -> Late:
    """The latest; nothing late at all if there is nothing to measure."""
    return max(of, default=Late(0.0, "nobody", 0, 0.0))
