"""A store with its staff and goods, as the shopping trips of one run use it."""

from collections import Counter
from datetime import timedelta

from backend.catalog import Product
from backend.stores import Store
from tests.shops import Shop
from tests.till import Json, Till
from tests.world import (
    Person,
)

MONTH_S = 30 * 24 * 3600


class Staffed:
    """A store with its staff and goods, for all trips of a run, and the gateway's books of them."""

    def __init__(
        self, shop: Shop, till: Till, store: Store, products: list[Product], supervisor: Person, guard: Person
    ) -> None:
        self.shop = shop
        self.till = till
        self.store = store
        self.products = products
        self.supervisor = supervisor
        self.guard = guard
        self.books: dict[str, Json] = {}
        self.did: Counter[str] = Counter()
        self._fresh_until = shop.clock.now()

    async def refresh(self) -> None:
        """Have the staff signed in for weeks, as time passes quickly here; not more often than anybody may."""
        if self._fresh_until <= self.shop.clock.now():
            for person in (self.supervisor, self.guard):
                await person.refresh()
            self._fresh_until = self.shop.clock.now() + timedelta(seconds=MONTH_S / 2)
