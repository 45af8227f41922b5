"""A payment provider with UPI that moves no money: what the shop pays against in the demo and in tests.

It stands for somebody else's server. It runs as a process of its own, imports nothing of the shop and shares no store
with it; the shop knows it by this protocol alone. Orders live in memory: a restart forgets every one of them, and one
process must serve them all. All open orders are kept, and the 10,000 that became final last; an older one is forgotten
with its payments, refunds and events, and its reference is free again. Start it with
``uvicorn --factory backend.sandbox.app:from_environment``.

An order's status only moves forward::

    created --decline--> attempted --decline--> attempted
       |                     |
       +---------------------+---- approve -----> paid
       |                     +---- close -------> closed
       |                     +---- expires_at --> expired

``paid``, ``closed`` and ``expired`` are final. One order is captured at most once, however many approvals come at once.
Only a fault or the driver's hand captures twice, or after close or expiry; the order is ``paid`` then.
A payment is ``authorized``, ``captured`` or ``failed``; a refund is ``pending``, ``processed`` or ``failed``.

Money is an integer in paise, in fields that end in ``_minor``; times are RFC 3339 in UTC. Bodies are decoded strictly,
and an empty body counts as ``{}``. Every error is ``application/problem+json {type, title, status, detail, code}``, and
what it refused changed nothing.

The merchant's side, under ``Authorization: Bearer <API key>``:

- ``POST /v1/orders {reference, amount_minor, currency, note?, expires_at}`` answers 201 and the order; the same body
  again 200 and the same order; another body under that reference 409 ``reference_reused``.
- ``GET /v1/orders/{order_id}`` and ``GET /v1/orders?reference=`` answer the order ``{order_id, reference, amount_minor,
  currency, note, status, payee_vpa, payee_name, merchant_code, pay_url, expires_at, payments[], refunds[]}``.
- ``POST /v1/orders/{order_id}/close`` stops taking payments and answers the order; a final order stays as it is.
- ``POST /v1/payments/{payment_id}/refunds {reference, amount_minor}`` answers 201 and the refund ``{refund_id,
  reference, order_id, payment_id, amount_minor, currency, status}`` with the status it has by then: without a delay it
  is settled at once. The same body again 200 and the same refund, also a failed one; another body, or the reference of
  another payment's refund, 409 ``reference_reused``; 409 ``refund_exceeds_payment`` past what is left of that capture
  (a failed refund gives its amount back). A reference names one refund among all orders.
- ``GET /v1/refunds?reference=`` answers the refund.

The driver's side, under the same key; no fault reaches it:

- ``GET`` and ``PUT /v1/faults`` are the faults of the whole process, ``GET`` and ``PUT /v1/orders/{order_id}/faults``
  those in force for one order. An order's own win over the process's as a whole, until ``DELETE``, which answers 204.
  A ``PUT`` sets all fields, those left out to their harmless defaults: ``{}`` heals. 400 ``old_secret_missing``.
- ``GET /v1/orders?limit=`` answers ``{orders[]}``, the newest first, 200 at most.
- ``POST /v1/orders/{order_id}/expire`` ends the time to pay and answers the order; a final order stays as it is.
- ``POST /v1/payments/{payment_id}/settle {status}`` captures or fails an authorized payment, or captures a failed one
  after all; answers the payment, or 409 ``payment_settled``.
- ``POST /v1/refunds/{refund_id}/settle {status}`` makes a pending refund processed or failed; answers the refund, or
  409 ``refund_settled``.
- ``GET /v1/webhooks?limit=50&order_id=`` answers ``{webhooks[]}``, the newest first, each ``{id, event, order_id,
  reference, created_at, state, tries[]}``: state ``waiting``, ``held``, ``delivered``, ``given_up`` or ``never_sent``,
  and the last 50 tries ``{at, timestamp, signed, wrong, body, status, failure}`` as they were sent.
- ``POST /v1/webhooks/release`` sends what is held, newest event first, each after the first try of the one before;
  answers ``{released}``.
- ``POST /v1/webhooks/{event_id}/resend`` sends an event once more, at once, with contents, time and signature as the
  faults in force have them; answers 202 and the webhook.
- ``GET /console`` is a page over all of this; it needs no key, but asks for it to do anything.

The shopper's side needs no key, for the order's id cannot be guessed (128 random bits):

- ``GET /pay/{order_id}`` is the UPI app's page.
- ``POST /pay/{order_id}/approve {vpa?}`` and ``/decline {vpa?}`` answer the payment ``{payment_id, status,
  amount_minor, currency, vpa, created_at}``; 409 ``already_paid``, ``order_closed``, ``order_expired`` or
  ``payment_under_way`` (one is authorized).

``GET /health/live`` answers 200 while the process serves.

Webhooks tell the merchant: ``POST {id, event, created_at, order, payment?, refund?}``, event ``payment.authorized``,
``payment.captured``, ``payment.failed``, ``refund.processed``, ``refund.failed``, ``order.closed`` or ``order.expired``.
The order is ``{order_id, reference, amount_minor, currency, status}`` as it was then; the payment is absent from
``order.*``, the refund from all but ``refund.*``. Headers: ``x-sandbox-event-id``, ``x-sandbox-timestamp`` (Unix
seconds of this try) and ``x-sandbox-signature``, the hex HMAC-SHA256 under the shared secret of
``{timestamp}.{event id}.{body}``. A try without a 2xx within 5 s is repeated later: the same body, a new timestamp and
signature; after the last of the delays it is given up. Events may arrive more than once and out of order, and those
under way are lost when the process ends. The faults, each a field with its default, are told in ``faults.Faults``.
"""
