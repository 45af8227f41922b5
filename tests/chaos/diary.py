"""What a client saw and did, one JSON object a line; the checker has nothing else from the clients.

    {"at", "is": "client", "client", "user_id", "session_id"}    the first line
    {"at", "is": "opened", "server", "since"}                    a socket is open and `hello` is sent
    {"at", "is": "sent", "frame", "line"?}                       `line` is [added_by, barcode] of the line meant
    {"at", "is": "got", "frame"}
    {"at", "is": "gap", "seq", "saw"}                            an event did not follow `seq`
    {"at", "is": "closed", "code", "by"}                         `by` is "server" or "client"
    {"at", "is": "failed", "why"}                                no socket, or no HTTP answer

`at` is this machine's monotonic clock in seconds, the same for all clients of a run. Tokens are not written.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

Record = dict[str, Any]


class Diary(NamedTuple):
    """A client's records in the order it wrote them."""

    client: str
    user_id: str
    session_id: str
    records: list[Record]


class Writer:
    """Writes one client's diary."""

    def __init__(self, folder: Path, client: str, user_id: str, session_id: str) -> None:
        self._file = (folder / f"{session_id}-{client}.jsonl").open("w", encoding="utf-8")
        self.note("client", client=client, user_id=user_id, session_id=session_id)

    def note(self, what: str, **more: Any) -> None:
        self._file.write(json.dumps({"at": time.monotonic(), "is": what, **more}) + "\n")

    def got(self, text: str) -> None:
        """A frame as it came; it is not encoded again."""
        self._file.write(f'{{"at": {time.monotonic()!r}, "is": "got", "frame": {text}}}\n')

    def close(self) -> None:
        self._file.close()


def read(lines: Iterable[str]) -> Diary:
    """A diary as it was written."""
    head, *records = map(json.loads, lines)
    return Diary(head["client"], head["user_id"], head["session_id"], records)


def read_all(folder: Path) -> list[Diary]:
    """Every diary of a run."""
    diaries = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            diaries.append(read(file))
    return diaries
