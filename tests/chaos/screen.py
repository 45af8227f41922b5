"""What a phone shows, from snapshots and events alone."""

from enum import Enum
from typing import Any

Frame = dict[str, Any]

LINE = ("line_id", "product_id", "barcode", "name", "qty", "unit_price_minor", "total_minor", "added_by")
"""What the product promises of a line; a server may say more of it."""


class Step(Enum):
    """What a frame did to the screen. GAP: one or more events before it are missing. BACK: it is older."""

    APPLIED = "applied"
    OLD = "old"
    GAP = "gap"
    BACK = "back"


class Screen:
    """The cart as of `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.lines: dict[str, Frame] = {}
        self.totals: Frame = {}
        self.budget: Frame | None = None

    def take(self, frame: Frame) -> Step | None:
        """Show a `snapshot` or an `event`; None for what is neither. Only APPLIED and BACK change the screen."""
        if frame["type"] == "snapshot":
            step = Step.BACK if frame["seq"] < self.seq else Step.APPLIED
            session = frame["session"]
            self.lines = {line["line_id"]: line for line in session["items"]}
            self._at(frame["seq"], session)
            return step
        if frame["type"] != "event":
            return None
        if frame["seq"] <= self.seq:
            return Step.OLD
        if frame["seq"] > self.seq + 1:
            return Step.GAP
        if "item" in frame:
            change(self.lines, frame["event"], frame["item"])
        self._at(frame["seq"], frame)
        return Step.APPLIED

    def _at(self, seq: int, bill: Frame) -> None:
        self.seq, self.totals, self.budget = seq, bill["totals"], bill["budget"]


def change(lines: dict[str, Frame], event: str, line: Frame) -> None:
    """What an event that names a line does to the lines."""
    if event == "item_removed":
        lines.pop(line["line_id"], None)
    else:
        lines[line["line_id"]] = line


def core(line: Frame) -> Frame:
    """A line without what only some servers say."""
    return {name: line[name] for name in LINE}
