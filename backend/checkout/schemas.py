"""Quotes and orders on the wire."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from backend.kit.money import Totals
from backend.kit.schema import Id, Input, Output


class CalculateIn(Input, frozen=True):
    """Quote the cart as it is now."""

    session_id: Annotated[Id, Meta(examples=["ses_06gznf69d7p1h8psm4pr"])]


class QuoteLine(Output, frozen=True):
    """A line as it will be charged. `taxable_minor + tax_minor = total_minor` where tax is in the price."""

    line_id: str
    product_id: str
    barcode: str
    name: str
    qty: int
    unit_price_minor: int
    total_minor: int
    tax_rate_bp: Annotated[int, Meta(description="Basis points: 1800 is 18 %.")]
    taxable_minor: int
    tax_minor: int
    added_by: str


class TaxLine(Output, frozen=True):
    """What is taxed at one rate."""

    tax_rate_bp: int
    taxable_minor: int
    tax_minor: int


class Quote(Output, frozen=True):
    """What the signature covers."""

    quote_id: str
    session_id: str
    store_id: str
    seq: Annotated[int, Meta(description="The cart's; an event after it makes the quote stale.")]
    lines: list[QuoteLine]
    taxes: list[TaxLine]
    totals: Totals
    expires_at: datetime


class QuoteOut(Quote, frozen=True):
    """Send `quote_id` and `signature` back to pay exactly this."""

    signature: str


class Checkout(Output, frozen=True):
    """A quote that somebody is paying; not on the wire."""

    quote: Quote
    user_id: str
    due_minor: int
    captured_minor: int


class StatusChange(Output, frozen=True):
    status: str
    at: datetime


class OrderOut(Output, frozen=True):
    """`status`: paid, partially_refunded, refunded."""

    order_id: str
    session_id: str
    store_id: str
    status: str
    history: list[StatusChange]
    lines: list[QuoteLine]
    totals: Totals
    payment_id: str
    points: int
    paid_at: datetime
    refunded_minor: int


class OrderSummary(Output, frozen=True):
    order_id: str
    store_id: str
    status: str
    item_count: int
    total_minor: int
    currency: str
    paid_at: datetime


class HistoryOut(Output, frozen=True):
    """Newest first."""

    items: list[OrderSummary]
    page: int
    page_size: int
    total: int
