"""What is counted of payments. Every outcome is there from the start, as 0: an alert must see the first one too."""

from collections.abc import Iterable

from prometheus_client import Counter

from backend.kit.metrics import Spread
from backend.payments.rules import PaymentStatus

EVENTS = Counter(
    "qless_gateway_events",
    "What gateways told, by how it came to be known and what became of it; a refused one has an error's code",
    ["gateway", "source", "outcome"],
)
WEBHOOK_LAG_SECONDS = Spread(
    "qless_webhook_lag_seconds",
    "From an event at the gateway to its commit here, by the clocks of both",
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
WEBHOOK_SECONDS = Spread(
    "qless_webhook_seconds",
    "How long a webhook took to be carried out",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
ENDED = Counter("qless_payments_ended", "Payments by the state that they ended in", ["status"])
LOOKS = Counter("qless_reconciler_looks", "Payments asked about at their gateway, by the result", ["result"])
GIVEN_UP = Counter(
    "qless_reconciler_given_up", "Open payments that the reconciler asked about for the last time"
)

END_STATES = (
    PaymentStatus.CAPTURED,
    PaymentStatus.FAILED,
    PaymentStatus.EXPIRED,
    PaymentStatus.CANCELLED,
    PaymentStatus.INTEGRITY_FAILURE,
)


def begin(gateway: str, outcomes: Iterable[str]) -> None:
    """Have every outcome of a gateway's webhooks there, as 0."""
    for outcome in outcomes:
        EVENTS.labels(gateway, "webhook", outcome)


for _status in END_STATES:
    ENDED.labels(_status)
for _result in ("news", "nothing", "failed"):
    LOOKS.labels(_result)
