"""Stores against a real MongoDB, and `/stores` and `/markets` over HTTP."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide

from backend.errors import StoreNotFound
from backend.problems import EXCEPTION_HANDLERS
from backend.stores import MAX_STORE_ID, ROUTES, BudgetRule, Store, Stores
from tests.factories import FakeClock

pytestmark = pytest.mark.usefixtures("database")


def make_store(store_id: str, name: str = "Corner Shop") -> Store:
    return Store(
        store_id=store_id,
        name=name,
        merchant_id="mer_1",
        city="Pune",
        currency="INR",
        time_zone="Asia/Kolkata",
        market="IN",
        budget=BudgetRule(warning_percent=70),
        spot_check_percent=5,
    )


@pytest.fixture
def stores(clock: FakeClock) -> Stores:
    return Stores(clock)


@pytest.fixture
async def api(stores: Stores) -> AsyncIterator[httpx.AsyncClient]:
    app = Litestar(
        ROUTES,
        dependencies={"stores": Provide(lambda: stores, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        logging_config=None,
    )
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


class TestGet:
    async def test_gives_what_was_put(self, stores: Stores) -> None:
        store = make_store("sto_given")
        await stores.put(store)
        assert await stores.get("sto_given") == store

    async def test_takes_no_id_that_would_make_passes_too_long(self, stores: Stores) -> None:
        await stores.put(make_store("s" * MAX_STORE_ID))
        with pytest.raises(ValueError, match="14 characters"):
            await stores.put(make_store("s" * (MAX_STORE_ID + 1)))

    async def test_refuses_an_unknown_store(self, stores: Stores) -> None:
        with pytest.raises(StoreNotFound):
            await stores.get("sto_nowhere")

    async def test_another_process_sees_a_change_after_five_seconds(
        self, stores: Stores, clock: FakeClock
    ) -> None:
        before, after = make_store("sto_moved"), make_store("sto_moved", name="Corner Shop, moved")
        await stores.put(before)
        await stores.get("sto_moved")
        await Stores(clock).put(after)
        clock.advance(seconds=4.9)
        assert await stores.get("sto_moved") == before
        clock.advance(seconds=0.1)
        assert await stores.get("sto_moved") == after

    async def test_the_process_that_changed_it_sees_it_at_once(self, stores: Stores) -> None:
        await stores.put(make_store("sto_own"))
        await stores.get("sto_own")
        await stores.put(make_store("sto_own", name="Renamed"))
        assert (await stores.get("sto_own")).name == "Renamed"


class TestPeek:
    async def test_gives_only_a_fresh_copy(self, stores: Stores, clock: FakeClock) -> None:
        await stores.put(make_store("sto_peeked"))
        assert stores.peek("sto_peeked") is None
        store = await stores.get("sto_peeked")
        assert stores.peek("sto_peeked") == store
        clock.advance(seconds=5)
        assert stores.peek("sto_peeked") is None


class TestRoutes:
    async def test_lists_stores_by_name(self, api: httpx.AsyncClient, stores: Stores) -> None:
        for store_id, name in [("sto_b", "Zebra"), ("sto_c", "Apple"), ("sto_a", "Apple")]:
            await stores.put(make_store(store_id, name))
        listed = [store["store_id"] for store in (await api.get("/stores")).json()]
        assert [store_id for store_id in listed if store_id in {"sto_a", "sto_b", "sto_c"}] == [
            "sto_a",
            "sto_c",
            "sto_b",
        ]

    async def test_shows_a_store_without_its_spot_checks(
        self, api: httpx.AsyncClient, stores: Stores
    ) -> None:
        store = make_store("sto_shown")
        await stores.put(store)
        shown = (await api.get("/stores/sto_shown")).json()
        expected = msgspec.to_builtins(store)
        del expected["spot_check_percent"]
        assert shown == expected

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [("/stores/sto_nowhere", 404, "store_not_found"), ("/stores/$ne", 400, "invalid_request")],
    )
    async def test_refuses(self, api: httpx.AsyncClient, path: str, status: int, code: str) -> None:
        response = await api.get(path)
        assert (response.status_code, response.json()["code"]) == (status, code)

    async def test_shows_markets_with_dated_taxes(self, api: httpx.AsyncClient) -> None:
        (india,) = (await api.get("/markets")).json()
        assert india == {
            "code": "IN",
            "name": "India",
            "currency": "INR",
            "tax_name": "GST",
            "tax_included": True,
            "periods": [
                {
                    "valid_from": "2025-09-22",
                    "rates_bp": {"exempt": 0, "merit": 500, "standard": 1800, "demerit": 4000},
                }
            ],
        }
