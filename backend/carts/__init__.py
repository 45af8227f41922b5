"""The live cart: a family's phones scan into one cart, and every screen is in step.

A cart is its log of events in `cart_events`, and nothing else is the truth about it.

Invariants:
    - An `ack` means: a majority has the event on disk.
    - `seq` grows by one, without a gap, for ever.
    - Replaying a log gives its state; events carry their outcome and are never priced again.
    - A command id of a member counts once; a repeat gets the first answer.
    - A rejection is given on a state compared with the log after the command arrived.
    - What a payment locked stays as quoted until that payment ends.
    - A line that waits for approval counts nowhere; a cart in which one waits cannot be paid.
    - A join link is a way in while it is the cart's latest: a removal ends it in the same event.

    (start) ──> active ── CheckoutLocked ──> locked ── CartPaid ──> completed
                  │  ^                          │
                  │  └──── CheckoutUnlocked ────┘
                  │
                  ├── the last member leaves ──> abandoned
                  └── SessionAbandoned, 4 h idle ──> abandoned ── SessionRestored ──> active

Reading order: `state`, `events`, `commands`, `rules/` (pure); `log` (group commit); `rooms` (one cart in memory);
`registry` (all of them, and the other processes); `frames`, `sockets`, `routes` (the outside);
`asyncapi` (what the outside is told of the socket).

Others use `Carts` and what is named here.
"""

from backend.carts.asyncapi import socket_description
from backend.carts.commands import LockCheckout, MarkPaid, UnlockCheckout
from backend.carts.documents import HostDocument, JoinLinkDocument, SessionDocument
from backend.carts.frames import Notice
from backend.carts.log import CartLog
from backend.carts.log import prepare as prepare_log
from backend.carts.registry import Rooms
from backend.carts.routes import ROUTES as _ROUTES
from backend.carts.service import Carts, run_abandonment
from backend.carts.sockets import cart_socket
from backend.carts.state import Budget, CartState, CartStatus, Line

DOCUMENTS = [SessionDocument, HostDocument, JoinLinkDocument]
ROUTES = [*_ROUTES, cart_socket, socket_description]

__all__ = [
    "DOCUMENTS",
    "ROUTES",
    "Budget",
    "CartLog",
    "CartState",
    "CartStatus",
    "Carts",
    "Line",
    "LockCheckout",
    "MarkPaid",
    "Notice",
    "Rooms",
    "UnlockCheckout",
    "prepare_log",
    "run_abandonment",
]
