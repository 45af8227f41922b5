"""Quotes, payments, orders and the pass."""

from backend.errors.base import Conflict, InvalidInput, NotFound, Unavailable


class WebhookUnsigned(InvalidInput):
    code = "webhook_unsigned"
    title = "The webhook's signature, time or form is wrong"


class QuoteNotFound(NotFound):
    code = "quote_not_found"
    title = "There is no such quote for you"


class PaymentNotFound(NotFound):
    code = "payment_not_found"
    title = "There is no such payment for you"


class OrderNotFound(NotFound):
    code = "order_not_found"
    title = "There is no such order for you"


class GatewayNotFound(NotFound):
    code = "gateway_not_found"
    title = "There is no such payment gateway"


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


class PassUsed(Conflict):
    code = "pass_used"
    title = "The exit pass of this order has been used"


class PassRevoked(Conflict):
    code = "pass_revoked"
    title = "The exit pass of this order was withdrawn"


class GatewayUnavailable(Unavailable):
    code = "gateway_unavailable"
    title = "The payment provider does not answer; try again"
