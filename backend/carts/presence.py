"""Who has a phone connected to a cart, over all processes.

Every process tells the others, on the cart's channel, which members it has: at each change and every 10 s.
What a process said counts for 25 s, so that a dead one's members fade away.
"""

FADES_AFTER_S = 25.0
REPEAT_EVERY_S = 10.0


class Presence:
    """The members present in one cart, as this process knows them. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._elsewhere: dict[str, tuple[frozenset[str], float]] = {}

    def heard(self, process: str, members: frozenset[str], now: float) -> None:
        """Another process said which members it has."""
        if members:
            self._elsewhere[process] = (members, now + FADES_AFTER_S)
        else:
            self._elsewhere.pop(process, None)

    def is_elsewhere(self, now: float) -> bool:
        """Whether another process has a phone at this cart, as far as this one has heard."""
        return any(until > now for _, until in self._elsewhere.values())

    def all(self, here: frozenset[str], now: float) -> list[str]:
        """User ids, sorted; `here` are this process's own."""
        self._elsewhere = {who: said for who, said in self._elsewhere.items() if said[1] > now}
        return sorted(here.union(*(members for members, _ in self._elsewhere.values())))
