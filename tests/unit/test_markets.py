"""Markets: the right rate on the right day, and a clear no where none is known."""

from datetime import date

import pytest

from backend.kit.money import DIGITS
from backend.pricing import MARKETS, tax_rate_bp

FIRST_DAY = date(2025, 9, 22)


class TestTaxRate:
    @pytest.mark.parametrize(
        ("tax_class", "rate_bp"), [("exempt", 0), ("merit", 500), ("standard", 1800), ("demerit", 4000)]
    )
    @pytest.mark.parametrize("on", [FIRST_DAY, date(2026, 11, 20)])
    def test_india_since_the_reform(self, tax_class: str, rate_bp: int, on: date) -> None:
        assert tax_rate_bp("IN", tax_class, on) == rate_bp

    def test_refuses_a_day_before_the_first_known_rates(self) -> None:
        with pytest.raises(ValueError, match="no tax rates of IN are known for 2025-09-21"):
            tax_rate_bp("IN", "merit", date(2025, 9, 21))

    def test_refuses_an_unknown_tax_class(self) -> None:
        with pytest.raises(ValueError, match="IN has no tax class 'luxury'"):
            tax_rate_bp("IN", "luxury", FIRST_DAY)

    def test_refuses_an_unknown_market(self) -> None:
        with pytest.raises(ValueError, match="there is no market 'XX'"):
            tax_rate_bp("XX", "merit", FIRST_DAY)


class TestMarkets:
    @pytest.mark.parametrize("code", MARKETS)
    def test_is_complete(self, code: str) -> None:
        market = MARKETS[code]
        starts = [period.valid_from for period in market.periods]
        assert market.code == code
        assert market.currency in DIGITS
        assert starts == sorted(starts, reverse=True)
        assert starts

    def test_india_has_its_tax_in_the_price(self) -> None:
        india = MARKETS["IN"]
        assert (india.currency, india.tax_name, india.tax_included) == ("INR", "GST", True)
