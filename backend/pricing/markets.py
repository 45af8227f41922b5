"""Markets as data: their currency, and their taxes with the dates from which they hold."""

from collections.abc import Mapping
from datetime import date

import msgspec


class TaxPeriod(msgspec.Struct, frozen=True):
    """The rates of each tax class in basis points, from a day on until the next period begins."""

    valid_from: date
    rates_bp: Mapping[str, int]


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """A country to sell in. Its periods stand newest first; days before the last of them have no rates."""

    code: str
    name: str
    currency: str
    tax_name: str
    tax_included: bool
    periods: tuple[TaxPeriod, ...]


# India, "GST 2.0": 0, 5, 18 and 40 % from 2025-09-22, contained in the printed price.
_GST_2025 = TaxPeriod(date(2025, 9, 22), {"exempt": 0, "merit": 500, "standard": 1800, "demerit": 4000})

MARKETS: Mapping[str, Market] = {
    "IN": Market(
        code="IN",
        name="India",
        currency="INR",
        tax_name="GST",
        tax_included=True,
        periods=(_GST_2025,),
    ),
}


def tax_rate_bp(market: str, tax_class: str, on: date) -> int:
    """The rate of a tax class on a day of the store's own calendar.

    Raises:
        ValueError: no such market or tax class, or the day is before the first known rates.
    """
    if market not in MARKETS:
        raise ValueError(f"there is no market {market!r}")
    for period in MARKETS[market].periods:
        if period.valid_from <= on:
            if tax_class not in period.rates_bp:
                raise ValueError(f"{market} has no tax class {tax_class!r} on {on}")
            return period.rates_bp[tax_class]
    raise ValueError(f"no tax rates of {market} are known for {on}")
