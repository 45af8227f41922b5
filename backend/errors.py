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

from enum import StrEnum
from typing import ClassVar


class Category(StrEnum):
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNPROCESSABLE = "unprocessable"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"


class AppError(Exception):
    """An answer that the caller can act on.

    Attributes:
        code: stable name, part of the API.
        title: what the code means, the same in every occurrence.
        category: what kind of no it is.
        retryable: whether the very same request may succeed later.
        retry_after_s: when that may be, if it is.
        detail: this occurrence, in words for the developer or the shopper.
        errors: for invalid input, one `{field, message}` for each fault.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request cannot be fulfilled"
    category: ClassVar[Category] = Category.INVALID
    retryable: ClassVar[bool] = False
    retry_after_s: int = 1

    def __init__(self, detail: str = "", errors: list[dict[str, str]] | None = None) -> None:
        self.detail = detail or f"{self.title}."
        self.errors = errors or []
        super().__init__(self.detail)


class InvalidInput(AppError):
    code = "invalid_request"
    title = "The request is not valid"


class MalformedBody(InvalidInput):
    code = "malformed_body"
    title = "The body is not the JSON that this endpoint takes"


class InvalidField(InvalidInput):
    code = "invalid_field"
    title = "A field has a wrong type or value, or is not known"


class InvalidBarcode(InvalidInput):
    code = "invalid_barcode"
    title = "This is not an EAN-8, EAN-13, UPC-A, UPC-E or GTIN-14"


class InvalidCheckDigit(InvalidInput):
    code = "invalid_check_digit"
    title = "The barcode's check digit is wrong; scan it again"


class InvalidContact(InvalidInput):
    code = "invalid_contact"
    title = "This is not a phone number or e-mail address that can be reached"


class WeakPassword(InvalidInput):
    code = "weak_password"
    title = "The password is too easy to guess"


class WebhookUnsigned(InvalidInput):
    code = "webhook_unsigned"
    title = "The webhook's signature, time or form is wrong"


class NotAuthenticated(AppError):
    code = "not_authenticated"
    title = "Sign in first"
    category = Category.UNAUTHENTICATED


class WrongCredentials(NotAuthenticated):
    code = "wrong_credentials"
    title = "The name or the password is wrong"


class TokenExpired(NotAuthenticated):
    code = "token_expired"
    title = "The access token has expired; refresh it"


class RefreshReused(NotAuthenticated):
    code = "refresh_reused"
    title = "This refresh token was used before; the login has been ended"


class Forbidden(AppError):
    code = "forbidden"
    title = "Your role does not allow this"
    category = Category.FORBIDDEN


class HostOnly(Forbidden):
    code = "host_only"
    title = "Only the host of the cart may do this"


class AdultsOnly(Forbidden):
    code = "adults_only"
    title = "Only an adult of the cart may do this"


class ApprovalNeeded(Forbidden):
    code = "approval_needed"
    title = "This is more than the allowance; scan it again, and it waits for an adult's approval"


class NotFound(AppError):
    code = "not_found"
    title = "There is no such thing here"
    category = Category.NOT_FOUND


class ProductNotFound(NotFound):
    code = "product_not_found"
    title = "No product carries this barcode"


class StoreNotFound(NotFound):
    code = "store_not_found"
    title = "There is no such store"


class SessionNotFound(NotFound):
    code = "session_not_found"
    title = "There is no such shopping session for you"


class JoinLinkInvalid(NotFound):
    code = "join_link_invalid"
    title = "The join link is wrong, expired or revoked; ask the host for a new one"


class QuoteNotFound(NotFound):
    code = "quote_not_found"
    title = "There is no such quote for you"


class PaymentNotFound(NotFound):
    code = "payment_not_found"
    title = "There is no such payment for you"


class OrderNotFound(NotFound):
    code = "order_not_found"
    title = "There is no such order for you"


class LineNotFound(NotFound):
    code = "line_not_found"
    title = "The cart has no such line"


class MemberNotFound(NotFound):
    code = "member_not_found"
    title = "The cart has no such member"


class GatewayNotFound(NotFound):
    code = "gateway_not_found"
    title = "There is no such payment gateway"


class Conflict(AppError):
    code = "conflict"
    title = "The state has changed"
    category = Category.CONFLICT


class ContactTaken(Conflict):
    code = "contact_taken"
    title = "An account with this phone or e-mail exists; sign in"


class AlreadyRegistered(Conflict):
    code = "already_registered"
    title = "This account has a sign-in already"


class LastManager(Conflict):
    code = "last_manager"
    title = "The store would have no manager left; make another one first"


class CartClosed(Conflict):
    code = "cart_closed"
    title = "The cart is paid or abandoned; start a new session"


class CartLocked(Conflict):
    code = "cart_locked"
    title = "The cart is being paid; wait for the payment to end"


class CartFull(Conflict):
    code = "cart_full"
    title = "The cart cannot take more; pay and start a new session"


class CartEmpty(Conflict):
    code = "cart_empty"
    title = "There is nothing in the cart to pay for"


class FamilyFull(Conflict):
    code = "family_full"
    title = "The cart has as many members as it can take"


class LastAdult(Conflict):
    code = "last_adult"
    title = "Children cannot be left alone in the cart; make another the host, or remove them first"


class NotWaiting(Conflict):
    code = "not_waiting"
    title = "The line does not wait for approval; it was approved already"


class ItemsWaiting(Conflict):
    code = "items_waiting"
    title = "Approve or decline what the children added before paying"


class NothingToUndo(Conflict):
    code = "nothing_to_undo"
    title = "There is nothing of yours to undo"


class QuantityTooLarge(Conflict):
    code = "quantity_too_large"
    title = "A line cannot hold that many"


class MoneyTooLarge(Conflict):
    code = "money_too_large"
    title = "The cart's total would be larger than can be charged"


class QuoteStale(Conflict):
    code = "quote_stale"
    title = "The cart changed after this quote; calculate again"


class QuoteExpired(Conflict):
    code = "quote_expired"
    title = "The quote has expired; calculate again"


class QuoteTampered(Conflict):
    code = "quote_tampered"
    title = "The quote's signature does not match"


class PaymentNotCancellable(Conflict):
    code = "payment_not_cancellable"
    title = "The payment was made, or is being made; it can only be refunded"


class RefundExceedsPayment(Conflict):
    code = "refund_exceeds_payment"
    title = "The refund is above what is left of the payment"


class GatewayRefused(Conflict):
    code = "gateway_refused"
    title = "The payment provider refuses this"


class InProgress(Conflict):
    code = "in_progress"
    title = "The same request is still being carried out; send it again for its answer"
    retryable = True


class PassUsed(Conflict):
    code = "pass_used"
    title = "The exit pass of this order has been used"


class PassRevoked(Conflict):
    code = "pass_revoked"
    title = "The exit pass of this order was withdrawn"


class TooManySessions(Conflict):
    code = "too_many_sessions"
    title = "You host as many open carts as one may; pay or leave one of them"


class Unprocessable(AppError):
    code = "contradiction"
    title = "The request contradicts an earlier one"
    category = Category.UNPROCESSABLE


class IdReused(Unprocessable):
    code = "id_reused"
    title = "This id was used for another command"


class TooMany(AppError):
    code = "too_many"
    title = "Too many requests; slow down"
    category = Category.TOO_MANY
    retryable = True


class CartBusy(TooMany):
    code = "cart_busy"
    title = "Too many commands wait on this cart"


class TooManyTries(TooMany):
    code = "too_many_tries"
    title = "Too many tries; wait before the next"

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail or f"{self.title}: {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class Unavailable(AppError):
    code = "unavailable"
    title = "The server cannot do this right now; try again"
    category = Category.UNAVAILABLE
    retryable = True


class CommitDelayed(Unavailable):
    code = "commit_delayed"
    title = "The command could not be stored in time; send it again with the same id"


class GatewayUnavailable(Unavailable):
    code = "gateway_unavailable"
    title = "The payment provider does not answer; try again"


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    title = "The database does not answer; try again"


def _tree(root: type[AppError]) -> dict[str, type[AppError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[AppError]] = _tree(AppError)
"""Every error by its code; how a pure rule's rejection becomes an error."""
