"""Money is an integer in minor units; this file holds its only arithmetic that can round."""

import msgspec

MAX_MINOR = 100_000_000_000
"""The largest amount anything in the system may reach: a thousand million rupees."""

DIGITS = {"INR": 2, "USD": 2}
"""Minor digits by ISO 4217 currency."""


def divide_half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` for a positive denominator, halves away from zero."""
    quotient, remainder = divmod(abs(numerator), denominator)
    quotient += 2 * remainder >= denominator
    return quotient if numerator >= 0 else -quotient


def to_major(amount_minor: int, currency: str) -> str:
    """Plain decimal with all its minor digits: 123450 INR is `1234.50`."""
    digits = DIGITS[currency]
    sign = "-" if amount_minor < 0 else ""
    whole, part = divmod(abs(amount_minor), 10**digits)
    return f"{sign}{whole}.{part:0{digits}d}"


class Totals(msgspec.Struct, frozen=True):
    """The figures of a bill in minor units.

    `total_minor` is what is paid. Where tax is in the price, `total = subtotal - discount` and `tax_minor` says
    how much of it is tax; where it comes on top, `total = subtotal - discount + tax`.
    """

    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    currency: str
