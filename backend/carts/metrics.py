"""What is counted of carts; `backend.metrics` tells what Prometheus gets besides."""

import re
from typing import get_args

from prometheus_client import Counter

from backend.carts.commands import AnyCommand
from backend.errors import AppError
from backend.kit.metrics import Spread, Tally
from backend.live import CloseCode

COMMANDS = Tally(
    "qless_cart_commands",
    "Commands of carts by their outcome: acknowledged, or the code of the refusal",
    ("command", "outcome"),
)
ANSWER_SECONDS = Spread(
    "qless_cart_answer_seconds",
    "From a command's arrival in its cart's queue to its answer, on disk or refused",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 8),
)
COMMIT_EVENTS = Spread(
    "qless_cart_commit_events", "Events of one group commit", (1, 2, 5, 10, 20, 50, 100, 200, 500)
)
COMMIT_SECONDS = Spread(
    "qless_cart_commit_seconds",
    "How long MongoDB took for one group commit",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
COMMIT_WAIT_SECONDS = Spread(
    "qless_cart_commit_wait_seconds",
    "How long the first event of a group commit waited for it",
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
COMMITS_UNKNOWN = Counter(
    "qless_cart_commits_unknown", "Events whose commit had no known outcome and was tried again"
)
HEADS_FOUND = Counter(
    "qless_cart_heads_found", "Carts that went on in another process unheard, found by asking MongoDB"
)
SOCKETS_CLOSED = Counter("qless_sockets_closed", "Sockets that ended, by their close code", ["code"])

_CODES = frozenset(CloseCode) | {1000, 1001, 1005, 1006}
_NAMES = {kind: re.sub("(?<!^)(?=[A-Z])", "_", kind.__name__).lower() for kind in get_args(AnyCommand)}


def count_answer(command: AnyCommand, answer: int | AppError) -> None:
    """Count a command as acknowledged or refused."""
    outcome = answer.code if isinstance(answer, AppError) else "acknowledged"
    COMMANDS.counts[_NAMES[type(command)], outcome] += 1


def count_close(code: int) -> None:
    """Count a socket that ended. What a phone sends is its own: codes that are nobody's are counted as one."""
    SOCKETS_CLOSED.labels(f"{int(code)}" if code in _CODES else "other").inc()
