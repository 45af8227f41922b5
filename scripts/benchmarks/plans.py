"""What the load clients are told; both are processes of their own, spoken to in JSON."""

from typing import NamedTuple

import msgspec


class Shape(NamedTuple):
    """What is scanned into: so many carts, members of each, lines in each before anything is timed."""

    carts: int = 50
    members: int = 4
    lines: int = 40

    def __str__(self) -> str:
        many = f"{self.carts:,} carts" if self.carts > 1 else "one cart"
        return f"{many} of {self.members}, {self.lines} lines each"


class Stretch(msgspec.Struct, frozen=True, tag=True):
    """Scan for so long: so many scans a second in all, or as fast as the answers come."""

    seconds: float
    rate: float | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a client does.

    Attributes:
        urls: the server, or several processes of it: the phones of a cart take them in turn.
        apart: the carts take the processes in turn instead, all phones of a cart the same one.
        pids: the server's processes, whose CPU time is read.
        barcodes: every cart has a line of each before anything is timed.
        ways: a file with the way into each cart, where `hold` need not make them itself.
        stretches: what is timed, one after the other.
        profile: tell the server when the first stretch begins and ends (see `profiled`).
    """

    kind: str
    urls: list[str]
    pids: list[int]
    store_id: str
    barcodes: list[str]
    carts: int = 0
    members: int = 1
    ways: str | None = None
    stretches: list[Stretch] = []
    apart: bool = False
    profile: bool = False


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """What the client does: so many shoppers fill a cart, pay and leave at this server, and look at products."""

    url: str
    pid: int
    store_id: str
    barcodes: list[str]
    trips: int
    guard: dict[str, str]
    webhook_secret: str


class Grow(msgspec.Struct, frozen=True, tag=True):
    """To `hold`: enter carts, with one phone each, until there are so many."""

    carts: int


class Second(msgspec.Struct, frozen=True, tag=True):
    """To `hold`: give each of the first so many carts one phone more, of the same member."""

    carts: int


class Read(msgspec.Struct, frozen=True, tag=True):
    """To `hold`: ask another process of the server once for each of the first so many carts, by HTTP."""

    url: str
    carts: int


Order = Grow | Second | Read | Stretch
