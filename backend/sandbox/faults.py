"""What goes wrong on request: one struct of data, for the whole process and for single orders."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Delay = Annotated[float, Meta(ge=0, le=86_400)]
"""Seconds until the gateway does something by itself."""
Wait = Annotated[float, Meta(ge=0, le=60)]
"""Seconds that a caller of the API waits; as short as this because a stopping server waits for its callers."""

Falsehood = Literal["nothing", "amount", "currency", "order_id", "reference"]
Signature = Literal["newest", "older", "wrong"]


class Faults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that may go wrong; the defaults do no harm.

    Whoever acts asks for the faults in force at that moment: a webhook when its event happens or is sent again, a
    payment and a refund when they are made, the API at each call.
    """

    webhook_delay_s: Delay = 0
    """The first try of each event waits."""

    webhook_copies: Annotated[int, Meta(ge=0, le=20)] = 1
    """How many deliveries of each event go out, every one repeated on its own; 0 never sends it."""

    webhook_held: bool = False
    """Events are kept back until they are released, in reverse order."""

    webhook_wrong: Falsehood = "nothing"
    """What each event says wrongly, under a true signature: amounts 100 too high, another currency, or another order's
    id or reference."""

    webhook_signature: Signature = "newest"
    """The secret that signs: the newest, the older of two, or one that nobody knows."""

    webhook_stale_s: Annotated[int, Meta(ge=0, le=864_000)] = 0
    """How old the signed time is when an event is sent."""

    approval: Literal["captures", "captures_twice", "fails"] = "captures"
    """What one approval by the shopper makes."""

    authorize_first: bool = False
    """The approved payment is authorized before it is captured, or fails."""

    capture_delay_s: Delay = 0
    """How long a payment stays authorized."""

    accept_late: bool = False
    """Payments are taken after expiry and close."""

    refund: Literal["processed", "failed", "by_hand"] = "processed"
    """What becomes of a refund; by hand it stays pending until settled."""

    refund_delay_s: Delay = 0
    """How long a refund stays pending otherwise."""

    api: Literal["up", "unavailable", "drops"] = "up"
    """The merchant's API works, answers 503, or closes the connection without an answer and without an effect."""

    api_hang_s: Wait = 0
    """How long a call hangs before the 503 or the end of its connection."""

    status_delay_s: Wait = 0
    """How long a status waits: of an order, by id or reference, or of a refund."""

    create_delay_s: Wait = 0
    """How long the answer waits after an order or refund was made."""

    create_answer_lost: bool = False
    """An order or refund is made, and the connection closed instead of an answer."""


class FaultPlan:
    """The faults of the whole process, and those of single orders, which win over them as a whole."""

    def __init__(self) -> None:
        self.everywhere = Faults()
        self._of_orders: dict[str, Faults] = {}

    def of(self, order_id: str | None) -> Faults:
        """The faults in force for this order, or for what concerns none."""
        return self._of_orders.get(order_id or "", self.everywhere)

    def set_for(self, order_id: str, faults: Faults) -> None:
        """From now on the order has these, and none of the process's."""
        self._of_orders[order_id] = faults

    def forget(self, order_id: str) -> None:
        """From now on the order has the process's."""
        self._of_orders.pop(order_id, None)
