"""Stores and markets on the wire."""

from datetime import date
from typing import Annotated

from msgspec import Meta

from backend.kit.schema import Output

Currency = Annotated[str, Meta(description="ISO 4217.", examples=["INR"])]
MarketCode = Annotated[str, Meta(description="ISO 3166-1, of one of `GET /markets`.", examples=["IN"])]


class BudgetRuleOut(Output, frozen=True):
    """Where a budget's flag rises, in percent of its limit; it falls `fall_percent` points lower."""

    warning_percent: Annotated[int, Meta(examples=[80])]
    danger_percent: Annotated[int, Meta(examples=[100])]
    fall_percent: Annotated[int, Meta(examples=[2])]


class StoreOut(Output, frozen=True):
    """A shop."""

    store_id: Annotated[str, Meta(examples=["store_demo_blr"])]
    name: Annotated[str, Meta(examples=["Q-Less Demo Store, Bengaluru"])]
    merchant_id: Annotated[str, Meta(examples=["mer_demo"])]
    city: Annotated[str, Meta(examples=["Bengaluru"])]
    currency: Currency
    time_zone: Annotated[str, Meta(description="IANA name.", examples=["Asia/Kolkata"])]
    market: MarketCode
    budget: BudgetRuleOut
    points_rate_bp: Annotated[
        int,
        Meta(
            description="Share of a bill given back, in basis points; a point is worth a major unit.",
            examples=[100],
        ),
    ]


class TaxPeriodOut(Output, frozen=True):
    """Tax rates from a day on, until the next period begins."""

    valid_from: Annotated[date, Meta(examples=["2025-09-22"])]
    rates_bp: Annotated[
        dict[str, int],
        Meta(description="Basis points by tax class.", examples=[{"exempt": 0, "merit": 500}]),
    ]


class MarketOut(Output, frozen=True):
    """A country to sell in, with its taxes, the newest period first."""

    code: MarketCode
    name: Annotated[str, Meta(examples=["India"])]
    currency: Currency
    tax_name: Annotated[str, Meta(examples=["GST"])]
    tax_included: Annotated[bool, Meta(description="Whether prices contain the tax.", examples=[True])]
    periods: tuple[TaxPeriodOut, ...]
