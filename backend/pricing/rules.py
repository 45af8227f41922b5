"""What a cart costs: one pure function over its items."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol

from backend.kit.money import Totals, divide_half_up


class Item(Protocol):
    """What pricing needs to know of a line."""

    @property
    def qty(self) -> int: ...
    @property
    def unit_price_minor(self) -> int: ...
    @property
    def tax_rate_bp(self) -> int: ...


class Amounts(NamedTuple):
    """A line's money in minor units: what it costs, and the tax contained in that."""

    total_minor: int
    tax_minor: int


class Bill(NamedTuple):
    """The amounts of each item in the order given, and the totals of all."""

    amounts: list[Amounts]
    totals: Totals


def price(items: Iterable[Item], currency: str) -> Bill:
    """Price a whole cart whose prices contain the tax.

    The sum of the lines is the bill, to the last minor unit.
    """
    amounts: list[Amounts] = []
    total = tax = 0
    for item in items:
        line = price_line(item.unit_price_minor, item.qty, item.tax_rate_bp)
        amounts.append(line)
        total += line[0]
        tax += line[1]
    return Bill(amounts, Totals(total, 0, tax, total, currency))


@lru_cache(maxsize=65_536)
def price_line(unit_price_minor: int, qty: int, tax_rate_bp: int) -> Amounts:
    """What a line costs whose price contains the tax.

    The tax is `total - total * 10000 / (10000 + rate)`, rounded half up to the minor unit (CGST Act, section 15
    with rule 35).
    """
    total = unit_price_minor * qty
    return Amounts(total, total - divide_half_up(total * 10_000, 10_000 + tax_rate_bp))
