"""Points on the wire."""

from datetime import datetime

from backend.kit.schema import Output


class LedgerEntry(Output, frozen=True):
    order_id: str
    kind: str
    points: int
    at: datetime


class BalanceOut(Output, frozen=True):
    """`points` is the sum of the whole ledger; `entries` are its newest twenty."""

    points: int
    entries: list[LedgerEntry]
