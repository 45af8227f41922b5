"""What the names on the socket mean, each once: fields, lists of values, events.

A name that means something else in one struct stands here a second time, as `Struct.field`. The socket's
description is made of this, and a test asks for every name that is in it.
"""

from backend.carts.state import BudgetRule

_RULE = BudgetRule()

GLOSSARY: dict[str, str] = {
    # Of frames
    "type": "Which frame it is.",
    "id": "The command's, made by whoever sends it: 1 to 64 printable ASCII characters, a member's own, never reused.",
    "seq": "Number of the cart's event: 1, 2, 3 and so on without a gap; of a snapshot, that of the last event in it.",
    "since": "The last `seq` that the phone has. Without it the answer is a `snapshot`.",
    "token": "The access token, as it is sent over HTTP.",
    "event": "What happened.",
    "by": "User id of the member whose command it was; `till` for what a payment did.",
    "left": "User id of the member who is in the cart no longer.",
    "undoes": "The `seq` of the event that this one takes back.",
    "of_member": "Whose allowance the limit is; absent for the cart's or a category's.",
    "of_category": "The category that is limited.",
    "member": "The member's user id.",
    "category": "The category, by its name.",
    "role": "The member's role from now on.",
    "payer": "User id of the member whose payment holds the cart.",
    "code": "Stable name of the error, the same as over HTTP.",
    "detail": "This very error, in words for the developer or the shopper.",
    "retryable": "Whether the very same frame, with the same `id`, may succeed later.",
    "members": "User ids, each once however many phones it has.",
    "kind": "What it is about: `join_link`, `payment_captured`, `payment_ended`, `refund_started` or `refund_processed`.",
    "data": "Of a payment its `payment_id`, and what else belongs to the `kind`: `order_id`, `reason` or "
    "`amount_minor`; of a `join_link` its `url`, `token` and `expires_at`.",
    # Of the cart
    "session_id": "The shopping session, and so its cart.",
    "store_id": "The shop.",
    "host_user_id": "User id of the host: who started the session, was made host, or follows one who left.",
    "participants": "Who is in the cart, in the order they joined.",
    "items": "The lines, in the order they were first scanned, those that wait for approval among them.",
    "allowances": "What a member's lines cost against what the member may spend, by user id; in an event those that "
    "changed, null for one that ended.",
    "category_budgets": "What a category's lines cost against its limit, by category; in an event those that changed, "
    "null for one that ended.",
    "budget": "The bill against the family's limit; null where none is set.",
    "started_at": "RFC 3339, UTC.",
    "changed_at": "When the last event was; RFC 3339, UTC.",
    "user_id": "The member, in every session the same.",
    "name": "As the member wrote it.",
    "joined_at": "RFC 3339, UTC.",
    "CartStatus": "Shoppers change an `active` cart alone. It is `locked` while a payment holds it; `completed` "
    "(paid) is for ever; `abandoned` too when all have left, else an adult may restore it.",
    "MemberRole": "The `host` sets budgets, roles and who is in the cart; an `adult` shops, approves and pays; what a "
    "`child` scans beyond its allowance waits for approval.",
    # Of a line
    "line_id": "The line, within its cart.",
    "product_id": "The product, as in the catalogue.",
    "barcode": "EAN-8, EAN-13, UPC-A, UPC-E or GTIN-14, its check digit included.",
    "Line.barcode": "The product's own, whichever of its codes was scanned.",
    "Line.name": "The product's, when it was scanned.",
    "qty": "How many.",
    "unit_price_minor": "Price of one when it was scanned.",
    "added_by": "User id of the member who scanned it.",
    "tax_rate_bp": "Rate of tax in basis points: 500 is 5 %.",
    "waiting": "Whether the line waits for an adult's approval, outside the bill and every budget.",
    "Line.category": "The product's, when it was scanned.",
    # Of money
    "total_minor": "What is paid, in minor units.",
    "tax_minor": "The tax in it or, where prices are net, upon it.",
    "subtotal_minor": "Sum of the lines, before anything is taken off.",
    "discount_minor": "What is taken off that sum.",
    "currency": "ISO 4217; says what the minor units are.",
    "limit_minor": "The family's budget in minor units.",
    "SetBudgetFrame.limit_minor": "The limit in minor units; null takes it away.",
    "SessionStarted.limit_minor": "The family's budget in minor units; null for none.",
    "BudgetSet.limit_minor": "The limit in minor units; null when it was taken away.",
    "spent_minor": "What is spent against the limit: the payable total, or a member's or a category's part of it.",
    "remaining_minor": "Limit less what is spent; negative when it is overspent.",
    "BudgetStatus": f"`WARNING` from {_RULE.warning_percent} % of the limit, `DANGER` above {_RULE.danger_percent} %, "
    f"unless the store says otherwise. A flag falls {_RULE.fall_percent} % lower than it rises, so as not to flicker.",
    # Of the way in; the socket leaves it out
    "url": "The join link; its token stands in the fragment.",
    "JoinOut.token": "What follows `#` in the join link.",
    "expires_at": "RFC 3339, UTC.",
    "qr_svg": "The link as a QR code, an SVG image.",
    # Events
    "session_started": "The host began to shop: `member` is the host.",
    "member_joined": "`member` entered the cart.",
    "member_left": "`left` left the cart; `host_user_id` is the host from now on, or the last member left and the cart "
    "is abandoned.",
    "member_removed": "The host showed `left` out; the join link has ended.",
    "role_set": "`member` has another role.",
    "host_handed_over": "`host_user_id` is the host from now on, the one before an adult.",
    "join_link_renewed": "The join link has ended; the host may have made another.",
    "item_added": "A scan: `item` is the line as it stands now, new or with a larger quantity.",
    "quantity_set": "`item` is the line as it stands now.",
    "item_removed": "`item` is the line as it was.",
    "item_approved": "An adult approved a child's line: `item` is part of the bill from now on.",
    "item_declined": "An adult declined a child's line: `item` is the line as it was.",
    "budget_set": "The host limited the cart, or a member (`of_member`), or a category (`of_category`), or ended that.",
    "checkout_locked": "A payment of `payer`'s holds the cart: commands are refused with `cart_locked` until it ends.",
    "checkout_unlocked": "The payment came to nothing: the cart is the shoppers' again.",
    "session_abandoned": "Nothing had happened for hours; any adult may restore the session.",
    "session_restored": "An adult took the session up again, as it was.",
    "cart_paid": "The cart is paid for, and closed for ever.",
}
