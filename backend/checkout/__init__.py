"""From cart to order: the signed quote, what is due for it, and the order that a payment makes of it.

A checkout begins as a quote of a cart at exactly one `seq`. Quoting locks nothing; an event after it makes it stale.
What was quoted is what is charged and what the order says, line by line.

Invariants:
    - Only a quote with our signature, in its time, by a member of its cart, can be paid.
    - An order exists if and only if its checkout is captured in full; there is at most one.
    - sum of lines = total due = total of the order, in minor units.

    quoted ── a payment locks the cart at seq + 1 ──> due ── captured in full ──> order
       └── any event in between: stale ──> quote again
"""

from backend.checkout.documents import CheckoutDocument, OrderDocument
from backend.checkout.orders import Orders
from backend.checkout.quotes import Quotes
from backend.checkout.routes import ROUTES
from backend.checkout.schemas import Checkout, OrderOut

DOCUMENTS = [CheckoutDocument, OrderDocument]

__all__ = ["DOCUMENTS", "ROUTES", "Checkout", "OrderOut", "Orders", "Quotes"]
