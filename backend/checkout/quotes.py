"""The signed quote: what the cart costs, once, for ten minutes."""

from datetime import datetime, timedelta

import msgspec

from backend import errors
from backend.accounts import Principal
from backend.carts import Carts, CartState
from backend.checkout import store
from backend.checkout.schemas import Checkout, Quote, QuoteLine, QuoteOut, TaxLine
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.secrets import Keyring, same
from backend.pricing import price
from backend.settings import Settings

KEPT_UNPAID = timedelta(days=4)
"""A UPI payment may succeed up to three days late and then needs its quote."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Quotes:
    """Makes quotes and recognises its own."""

    def __init__(self, settings: Settings, clock: Clock, keyring: Keyring, carts: Carts) -> None:
        self._ttl = timedelta(seconds=settings.qless_quote_ttl_s)
        self._clock = clock
        self._keyring = keyring
        self._carts = carts

    async def calculate(self, principal: Principal, session_id: str) -> QuoteOut:
        """Quote the cart as it is now. Locks nothing; may be repeated."""
        state = await self._carts.payable(principal, session_id)
        now = self._clock.now()
        quote = draw_up(state, new_id("quo"), now + self._ttl)
        await store.keep(quote, principal.user_id, forget_at=now + KEPT_UNPAID)
        return QuoteOut(**msgspec.structs.asdict(quote), signature=self._sign(quote))

    async def open(self, principal: Principal, quote_id: str, signature: str) -> Checkout:
        """The checkout of a quote that the caller may pay now.

        Raises:
            QuoteNotFound, QuoteTampered, QuoteExpired: why not.
        """
        checkout = await self.get(quote_id)
        if checkout.user_id != principal.user_id:
            raise errors.QuoteNotFound
        if not same(self._sign(checkout.quote), signature):
            raise errors.QuoteTampered
        if checkout.quote.expires_at <= self._clock.now():
            raise errors.QuoteExpired
        return checkout

    async def get(self, quote_id: str) -> Checkout:
        checkout = await store.find(quote_id)
        if checkout is None:
            raise errors.QuoteNotFound
        return checkout

    def _sign(self, quote: Quote) -> str:
        return self._keyring.sign("quote", _encode(quote))


def draw_up(state: CartState, quote_id: str, expires_at: datetime) -> Quote:
    """The bill of a cart, priced anew as a whole."""
    bill = price(state.lines.values(), state.totals.currency)
    lines = [
        QuoteLine(
            line_id=line.line_id,
            product_id=line.product_id,
            barcode=line.barcode,
            name=line.name,
            qty=line.qty,
            unit_price_minor=line.unit_price_minor,
            total_minor=amounts.total_minor,
            tax_rate_bp=line.tax_rate_bp,
            taxable_minor=amounts.total_minor - amounts.tax_minor,
            tax_minor=amounts.tax_minor,
            added_by=line.added_by,
        )
        for line, amounts in zip(state.lines.values(), bill.amounts, strict=True)
    ]
    return Quote(
        quote_id=quote_id,
        session_id=state.session_id,
        store_id=state.store_id,
        seq=state.seq,
        lines=lines,
        taxes=_by_rate(lines),
        totals=bill.totals,
        expires_at=expires_at,
    )


def _by_rate(lines: list[QuoteLine]) -> list[TaxLine]:
    rates = sorted({line.tax_rate_bp for line in lines})
    return [
        TaxLine(
            tax_rate_bp=rate,
            taxable_minor=sum(line.taxable_minor for line in lines if line.tax_rate_bp == rate),
            tax_minor=sum(line.tax_minor for line in lines if line.tax_rate_bp == rate),
        )
        for rate in rates
    ]
