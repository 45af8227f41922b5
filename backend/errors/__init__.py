"""Every way Q-Less says no, as one tree with stable codes.

    AppError
    ├── InvalidInput            400  the request itself is wrong; sending it again changes nothing
    │   ├── MalformedBody, InvalidField, InvalidBarcode, InvalidCheckDigit, InvalidContact, WeakPassword
    │   └── WebhookUnsigned
    ├── NotAuthenticated        401  nobody, or no longer somebody
    │   └── WrongCredentials, TokenExpired, RefreshReused
    ├── Forbidden               403  somebody, but not allowed here
    │   └── HostOnly, AdultsOnly, ApprovalNeeded
    ├── NotFound                404  not there, or not yours: the two look alike
    │   └── ProductNotFound, StoreNotFound, SessionNotFound, JoinLinkInvalid, QuoteNotFound,
    │       PaymentNotFound, OrderNotFound, LineNotFound, MemberNotFound, GatewayNotFound
    ├── Conflict                409  true a moment ago, or never in this state
    │   └── ContactTaken, AlreadyRegistered, LastManager, CartClosed, CartLocked, CartFull, CartEmpty,
    │       FamilyFull, LastAdult, NotWaiting, ItemsWaiting, NothingToUndo, QuantityTooLarge, MoneyTooLarge, QuoteStale,
    │       QuoteExpired, QuoteTampered, PaymentNotCancellable, RefundExceedsPayment, GatewayRefused,
    │       InProgress, PassUsed, PassRevoked, TooManySessions
    ├── Unprocessable           422  well-formed, yet it contradicts what was said before
    │   └── IdReused
    ├── TooMany                 429  slower, please
    │   └── CartBusy, TooManyTries
    └── Unavailable             503  ours to mend; the same request may be sent again
        └── CommitDelayed, GatewayUnavailable, StorageUnavailable

The domain knows categories; `problems.py` alone knows statuses and close codes.
"""

from backend.errors.accounts import *  # noqa: F403 - the tree is one namespace, in a file a subject
from backend.errors.base import *  # noqa: F403
from backend.errors.base import AppError
from backend.errors.carts import *  # noqa: F403
from backend.errors.money import *  # noqa: F403
from backend.errors.shop import *  # noqa: F403


def _tree(root: type[AppError]) -> dict[str, type[AppError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[AppError]] = _tree(AppError)
"""Every error by its code; how a pure rule's rejection becomes an error."""
