"""Who has a phone connected to a cart, over all processes.

A member who loses the network stays present for 20 s, so that nobody flickers who walks through a dead spot. Every
process tells the others, on the cart's channel, which members it has: at each change and every 10 s. What a process
said counts for 25 s, so that a dead one's members fade away.
"""

LINGERS_S = 20.0
FADES_AFTER_S = 25.0
REPEAT_EVERY_S = 10.0


class Presence:
    """The members present in one cart, as this process knows them. Times are the event loop's, in seconds."""

    __slots__ = ("_elsewhere", "_lingering")

    def __init__(self) -> None:
        self._lingering: dict[str, float] = {}
        self._elsewhere: dict[str, tuple[frozenset[str], float]] = {}

    def lost(self, user_id: str, now: float) -> None:
        """A member lost a socket; without another one they are present for 20 s more."""
        self._lingering[user_id] = now + LINGERS_S

    def left(self, user_id: str) -> None:
        """No longer a member: gone at once."""
        self._lingering.pop(user_id, None)

    @property
    def lingers(self) -> bool:
        """Whether somebody is present without a phone."""
        return bool(self._lingering)

    def fade(self, now: float) -> bool:
        """Whether somebody's 20 s have passed since the last call."""
        faded = [user_id for user_id, until in self._lingering.items() if until <= now]
        for user_id in faded:
            del self._lingering[user_id]
        return bool(faded)

    def heard(self, process: str, members: frozenset[str], now: float) -> None:
        """Another process said which members it has."""
        if members:
            self._elsewhere[process] = (members, now + FADES_AFTER_S)
        else:
            self._elsewhere.pop(process, None)

    def is_elsewhere(self, now: float) -> bool:
        """Whether another process has a phone at this cart, as far as this one has heard."""
        return any(until > now for _, until in self._elsewhere.values())

    def here(self, connected: frozenset[str]) -> list[str]:
        """User ids, sorted, of those whose phones are `connected` to this process or were until just now."""
        return sorted(connected.union(self._lingering))

    def all(self, connected: frozenset[str], now: float) -> list[str]:
        """User ids, sorted, over all processes."""
        self._elsewhere = {who: said for who, said in self._elsewhere.items() if said[1] > now}
        elsewhere = (members for members, _ in self._elsewhere.values())
        return sorted(connected.union(self._lingering, *elsewhere))
