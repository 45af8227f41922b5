"""What a store is."""

import msgspec

MAX_STORE_ID = 14
"""Characters of a store's id: it stands in every exit pass, whose QR code must stay readable."""


class BudgetRule(msgspec.Struct, frozen=True):
    """Where a budget's flag rises, in percent of the limit; it falls `fall_percent` points lower."""

    warning_percent: int = 80
    danger_percent: int = 100
    fall_percent: int = 2


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A shop as configured.

    Attributes:
        time_zone: IANA name; its calendar decides on taxes and on the day's closing.
        market: key of `pricing.MARKETS`.
        points_rate_bp: share of a bill given back in points, in basis points; a point is worth a major unit.
        spot_check_percent: share of paid carts that are looked into at the exit.
    """

    store_id: str
    name: str
    merchant_id: str
    city: str
    currency: str
    time_zone: str
    market: str
    budget: BudgetRule = BudgetRule()
    points_rate_bp: int = 100
    spot_check_percent: int = 0
