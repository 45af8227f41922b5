"""What the gateway refuses: nothing was changed, and the code says why."""


class GatewayError(Exception):
    """The gateway does not do this.

    ├── asked for wrongly (400): ExpiryPassed, OldSecretMissing
    ├── unknown (404): OrderNotFound, PaymentNotFound, RefundNotFound, WebhookNotFound
    └── not as things stand (409): AlreadyPaid, OrderClosed, OrderExpired, PaymentSettled, PaymentUnderWay,
        ReferenceReused, RefundExceedsPayment, RefundSettled
    """

    status = 409
    code: str
    detail: str


class ExpiryPassed(GatewayError):
    """A new order would be expired from its start."""

    status = 400
    code = "expiry_passed"
    detail = "`expires_at` must lie in the future."


class OldSecretMissing(GatewayError):
    """Webhooks are to be signed with an older secret that the gateway was not given."""

    status = 400
    code = "old_secret_missing"
    detail = "There is no older secret: set SANDBOX_OLD_WEBHOOK_SECRET at the start."


class OrderNotFound(GatewayError):
    """No order goes by this id or reference."""

    status = 404
    code = "order_not_found"
    detail = "There is no such order. The sandbox forgets its orders when it restarts."


class PaymentNotFound(GatewayError):
    """No payment goes by this id."""

    status = 404
    code = "payment_not_found"
    detail = "There is no such payment. The sandbox forgets its payments when it restarts."


class RefundNotFound(GatewayError):
    """No refund goes by this id or reference."""

    status = 404
    code = "refund_not_found"
    detail = "There is no such refund. The sandbox forgets its refunds when it restarts."


class WebhookNotFound(GatewayError):
    """No event goes by this id."""

    status = 404
    code = "webhook_not_found"
    detail = "There is no such event. The sandbox forgets its events when it restarts."


class AlreadyPaid(GatewayError):
    """The order was captured before."""

    code = "already_paid"
    detail = "This order is paid already."


class OrderClosed(GatewayError):
    """The merchant stopped taking payments for the order."""

    code = "order_closed"
    detail = "The merchant closed this order."


class OrderExpired(GatewayError):
    """The order's time passed before it was paid."""

    code = "order_expired"
    detail = "The time to pay this order is over."


class PaymentSettled(GatewayError):
    """The payment is captured, or failed already."""

    code = "payment_settled"
    detail = "This payment is settled already. A failed one can still be captured."


class PaymentUnderWay(GatewayError):
    """A payment of the order is authorized and not captured yet."""

    code = "payment_under_way"
    detail = "A payment of this order is under way. Wait for what becomes of it."


class ReferenceReused(GatewayError):
    """The reference names an order or refund with other contents."""

    code = "reference_reused"
    detail = "This reference was used before with another body. Take a new reference."


class RefundExceedsPayment(GatewayError):
    """The refund is above what was captured by the payment and not yet refunded."""

    code = "refund_exceeds_payment"
    detail = "The refund is above what is left of the captured payment."


class RefundSettled(GatewayError):
    """The refund is processed or failed, for good."""

    code = "refund_settled"
    detail = "This refund is settled already."
