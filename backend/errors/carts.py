"""The family and its cart."""

from backend.errors.base import Conflict, Forbidden, NotFound, TooMany, Unavailable


class HostOnly(Forbidden):
    code = "host_only"
    title = "Only the host of the cart may do this"


class AdultsOnly(Forbidden):
    code = "adults_only"
    title = "Only an adult of the cart may do this"


class ApprovalNeeded(Forbidden):
    code = "approval_needed"
    title = "This is more than the allowance; scan it again, and it waits for an adult's approval"


class SessionNotFound(NotFound):
    code = "session_not_found"
    title = "There is no such shopping session for you"


class JoinLinkInvalid(NotFound):
    code = "join_link_invalid"
    title = "The join link is wrong, expired or revoked; ask the host for a new one"


class LineNotFound(NotFound):
    code = "line_not_found"
    title = "The cart has no such line"


class MemberNotFound(NotFound):
    code = "member_not_found"
    title = "The cart has no such member"


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


class TooManySessions(Conflict):
    code = "too_many_sessions"
    title = "You host as many open carts as one may; pay or leave one of them"


class CartBusy(TooMany):
    code = "cart_busy"
    title = "Too many commands wait on this cart"


class CommitDelayed(Unavailable):
    code = "commit_delayed"
    title = "The command could not be stored in time; send it again with the same id"
