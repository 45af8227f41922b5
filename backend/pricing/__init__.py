"""What things cost: markets with their dated taxes, and the price of a whole cart.

Everything here is pure: amounts are integers in minor units, the caller names the day, nothing is stored.
"""

from backend.pricing.markets import MARKETS, Market, tax_rate_bp
from backend.pricing.rules import price, price_line

__all__ = ["MARKETS", "Market", "price", "price_line", "tax_rate_bp"]
