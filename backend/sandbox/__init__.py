"""A payment provider with UPI that moves no money: what the shop pays against in the demo and in tests.

It stands for somebody else's server. It runs as a process of its own, imports nothing of the shop and shares no store
with it; the shop knows it by this protocol alone. Orders live in memory: a restart forgets every one of them, and one
process must serve them all. Start it with ``uvicorn --factory backend.sandbox.app:from_environment``.

An order's status only moves forward::

    created --decline--> attempted --decline--> attempted
       |                     |
       +---------------------+---- approve -----> paid
       |                     +---- close -------> closed
       |                     +---- expires_at --> expired

``paid``, ``closed`` and ``expired`` are final. One order is captured at most once, however many approvals come at once.

Money is an integer in paise, in fields that end in ``_minor``; times are RFC 3339 in UTC. Bodies are decoded strictly,
and an empty body counts as ``{}``. Every error is ``application/problem+json {type, title, status, detail, code}``.

The merchant's side, under ``Authorization: Bearer <API key>``:

- ``POST /v1/orders {reference, amount_minor, currency, note?, expires_at}`` answers 201 and the order; the same body
  again 200 and the same order; another body under that reference 409 ``reference_reused``.
- ``GET /v1/orders/{order_id}`` and ``GET /v1/orders?reference=`` answer the order ``{order_id, reference, amount_minor,
  currency, note, status, payee_vpa, payee_name, merchant_code, pay_url, expires_at, payments[], refunds[]}``.
- ``POST /v1/orders/{order_id}/close`` stops taking payments and answers the order; a final order stays as it is.
- ``POST /v1/orders/{order_id}/refunds {reference, amount_minor}`` answers 201 and the refund ``{refund_id, reference,
  order_id, payment_id, amount_minor, status}``; repeated as above; 409 ``refund_exceeds_payment`` past what is left of
  the capture. A reference names one refund among all orders.

The shopper's side needs no key, for the order's id cannot be guessed (128 random bits):

- ``GET /pay/{order_id}`` is the UPI app's page.
- ``POST /pay/{order_id}/approve {vpa?}`` and ``/decline {vpa?}`` answer the payment ``{payment_id, status,
  amount_minor, currency, vpa, created_at}``, captured or failed; 409 ``already_paid``, ``order_closed`` or
  ``order_expired``.

``GET /health/live`` answers 200 while the process serves.

Webhooks tell the merchant: ``POST {id, event, created_at, order, payment, refund?}``, event ``payment.captured``,
``payment.failed`` or ``refund.processed``; the order as it was then, ``{order_id, reference, amount_minor, currency,
status}``. Headers: ``x-sandbox-event-id``, ``x-sandbox-timestamp`` (Unix seconds of this try) and
``x-sandbox-signature``, the hex HMAC-SHA256 under the shared secret of ``{timestamp}.{event id}.{body}``. A try
without a 2xx within 5 s is repeated later: the same body, a new timestamp and signature; after the last of the delays
it is given up. Events may arrive more than once and out of order, and those under way are lost when the process ends.
"""
