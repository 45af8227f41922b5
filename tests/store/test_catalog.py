"""The catalogue against a real MongoDB and Redis: look-ups, changes, searches, endpoints, the demo store."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide

from backend import demo
from backend.accounts import Accounts, Principal, Role
from backend.accounts.schemas import LoginIn
from backend.catalog import ROUTES, Catalog, Product, WhatIf, WhatIfBudget
from backend.errors import Conflict, InvalidBarcode, InvalidCheckDigit, InvalidField, ProductNotFound
from backend.kit import mongo
from backend.kit.secrets import Keyring
from backend.middleware import Authentication
from backend.problems import EXCEPTION_HANDLERS
from backend.settings import Settings
from backend.stores import Stores
from tests.factories import FakeClock
from tests.store.catalog_processes import (
    EAN,
    EAN_8,
    OTHER_EAN,
    UPC_A,
    UPC_E,
    Process,
    make_product,
    watched_products,
)

PASSWORD = "blue mangoes at dawn"


@pytest.fixture(autouse=True)
async def no_products(database: mongo.Database, mongodb_url: str) -> AsyncIterator[None]:
    async with watched_products(database, mongodb_url):
        yield


@pytest.fixture
async def catalog(redis_url: str, clock: FakeClock) -> AsyncIterator[Catalog]:
    process = await Process(redis_url, clock).listen()
    yield process.catalog
    await process.stop()


class TestFind:
    async def test_by_any_code_in_any_notation(self, catalog: Catalog) -> None:
        product = await catalog.put(make_product(EAN, EAN_8, UPC_A))
        for text in (EAN, f"0{EAN}", EAN_8, UPC_A, f"0{UPC_A}", UPC_E, f" {EAN}\n"):
            assert await catalog.find(text) == product

    async def test_an_ean_8_goes_before_the_upc_e_with_the_same_digits(self, catalog: Catalog) -> None:
        upc = await catalog.put(make_product("00000116"))
        assert await catalog.find("00000116") == upc
        ean = await catalog.put(make_product(EAN, codes=("00000000000116",)))
        assert await catalog.find("00000116") == ean

    @pytest.mark.parametrize(
        ("text", "error"),
        [("hello", InvalidBarcode), ("8901262010024", InvalidCheckDigit), (EAN, ProductNotFound)],
    )
    async def test_refuses(self, catalog: Catalog, text: str, error: type[Exception]) -> None:
        with pytest.raises(error):
            await catalog.find(text)


class TestPut:
    async def test_raises_the_revision(self, catalog: Catalog) -> None:
        first = await catalog.put(make_product())
        second = await catalog.put(msgspec.structs.replace(first, price_minor=6500))
        assert (first.revision, second.revision) == (1, 2)
        assert await catalog.find(EAN) == second

    async def test_of_many_changes_to_one_revision_one_wins(self, catalog: Catalog) -> None:
        product = await catalog.put(make_product())
        changes = [msgspec.structs.replace(product, price_minor=price) for price in range(10)]
        results = await asyncio.gather(*map(catalog.put, changes), return_exceptions=True)
        winners = [result for result in results if isinstance(result, Product)]
        assert len(winners) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 9
        assert await catalog.find(EAN) == winners[0]

    @pytest.mark.parametrize(
        "product", [make_product(), make_product(OTHER_EAN, EAN), make_product(EAN_8, revision=1)]
    )
    async def test_refuses_what_exists_or_does_not(self, catalog: Catalog, product: Product) -> None:
        held = await catalog.put(make_product())
        with pytest.raises(Conflict):
            await catalog.put(product)
        assert await catalog.find(EAN) == held


class TestSearch:
    @pytest.fixture(autouse=True)
    async def goods(self, catalog: Catalog) -> None:
        await catalog.put(make_product(EAN, featured=True))
        await catalog.put(
            make_product(OTHER_EAN, name="Nescafé Café Crème", brand="Nestlé", category="coffee")
        )
        await catalog.put(make_product(EAN_8, name="Lay's Classic दूध", brand="Lay's", category="snacks"))

    @pytest.mark.parametrize(
        ("q", "barcodes"),
        [
            ("butter", [EAN]),
            ("BUTT amu", [EAN]),
            ("utter", []),
            ("butter nestle", []),
            ("nescafe", [OTHER_EAN]),
            ("NESTLÉ cafe\u0301", [OTHER_EAN]),
            ("coffee", [OTHER_EAN]),
            ("creme", [OTHER_EAN]),
            ("lays", [EAN_8]),
            ("Lay\u2019s", [EAN_8]),
            ("दूध", [EAN_8]),
            ("c", [EAN_8, OTHER_EAN]),
            (".*", None),
            ("a b c d e f g h i", None),
        ],
    )
    async def test_every_word_begins_a_word(
        self, catalog: Catalog, q: str, barcodes: list[str] | None
    ) -> None:
        if barcodes is None:
            with pytest.raises(InvalidField):
                await catalog.search(q)
        else:
            assert [product.barcode for product in (await catalog.search(q)).items] == barcodes

    async def test_pages_are_by_name_and_know_the_total(self, catalog: Catalog) -> None:
        pages = [await catalog.page(page, 2) for page in (1, 2, 3)]
        names = [[product.name for product in page.items] for page in pages]
        assert names == [["Amul Butter", "Lay's Classic दूध"], ["Nescafé Café Crème"], []]
        assert {page.total for page in pages} == {3}

    async def test_uses_an_index(self, database: mongo.Database) -> None:
        plan = await database["products"].find({"search_terms": {"$regex": "^butt"}}).explain()
        assert "by_word" in str(plan["queryPlanner"]["winningPlan"])


class TestRoutes:
    @pytest.fixture
    async def api(self, catalog: Catalog) -> AsyncIterator[httpx.AsyncClient]:
        await catalog.put(make_product(EAN, featured=True))
        await catalog.put(make_product(OTHER_EAN, name="Amul Cheese"))

        async def preview(_: Principal | None, session_id: str, product: Product) -> WhatIf | None:
            budget = WhatIfBudget(limit_minor=1, spent_minor=2, remaining_minor=-1, status="DANGER")
            what_if = WhatIf(
                total_minor=product.price_minor,
                waiting=False,
                budget=budget,
                allowance=None,
                category_budget=None,
            )
            return what_if if session_id == "ses_1" else None

        app = Litestar(
            ROUTES,
            dependencies={
                "catalog": Provide(lambda: catalog, sync_to_thread=False),
                "preview_add": Provide(lambda: preview, sync_to_thread=False),
            },
            middleware=[Authentication],
            exception_handlers=EXCEPTION_HANDLERS,
            logging_config=None,
        )
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client

    @pytest.mark.parametrize(
        ("path", "names"),
        [
            ("/products", ["Amul Butter", "Amul Cheese"]),
            ("/products?page=2&page_size=1", ["Amul Cheese"]),
            ("/products/search?q=chee", ["Amul Cheese"]),
            ("/products/featured", ["Amul Butter"]),
            ("/products/category/dairy", ["Amul Butter", "Amul Cheese"]),
            ("/products/category/toys", []),
        ],
    )
    async def test_lists(self, api: httpx.AsyncClient, path: str, names: list[str]) -> None:
        assert [item["name"] for item in (await api.get(path)).json()["items"]] == names

    async def test_a_product_has_the_promised_fields(self, api: httpx.AsyncClient) -> None:
        product = (await api.get(f"/products/{EAN}")).json()
        promised = {"barcode", "name", "brand", "category", "price_minor", "currency", "images"}
        assert promised <= product.keys()
        assert (product["price_minor"], product["what_if"]) == (6000, None)

    async def test_says_what_a_scan_would_do(self, api: httpx.AsyncClient) -> None:
        product = (await api.get(f"/products/{EAN}?session_id=ses_1")).json()
        assert product["what_if"]["total_minor"] == 6000
        assert product["what_if"]["budget"]["status"] == "DANGER"
        assert (await api.get(f"/products/{EAN}?session_id=ses_2")).json()["what_if"] is None

    async def test_search_finds_products_and_their_categories(self, api: httpx.AsyncClient) -> None:
        found = (await api.get("/search?q=amul")).json()
        assert (found["products"]["total"], found["categories"]) == (2, [{"name": "dairy", "count": 2}])
        assert (await api.get("/categories")).json() == [{"name": "dairy", "count": 2}]

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/products/search", 400, "invalid_request"),
            ("/products/search?q=", 400, "invalid_request"),
            (f"/products/search?q={'x' * 81}", 400, "invalid_request"),
            ("/products/search?q=%21%21", 400, "invalid_field"),
            ("/products?page=0", 400, "invalid_request"),
            ("/products?page_size=101", 400, "invalid_request"),
            ("/products?page=two", 400, "invalid_request"),
            ("/products/hello", 400, "invalid_barcode"),
            ("/products/8901262010024", 400, "invalid_check_digit"),
            (f"/products/{EAN_8}", 404, "product_not_found"),
            (f"/products/{EAN}?session_id=%24ne", 400, "invalid_request"),
        ],
    )
    async def test_refuses(self, api: httpx.AsyncClient, path: str, status: int, code: str) -> None:
        response = await api.get(path)
        assert (response.status_code, response.json()["code"]) == (status, code)


class TestDemoStore:
    async def test_seeding_twice_is_seeding_once(
        self, settings: Settings, catalog: Catalog, clock: FakeClock
    ) -> None:
        accounts = Accounts(settings, clock, Keyring(settings.qless_secret))
        stores = Stores(clock)
        for _ in range(2):
            await demo.seed(stores, catalog, accounts, PASSWORD)
        assert (await catalog.page()).total >= 80
        assert (await catalog.find("80177173")).revision == 1
        assert (await stores.get("store_demo_blr")).time_zone == "Asia/Kolkata"
        for role in Role:
            staff = LoginIn(password=PASSWORD, email=f"{role}@demo.qless.example")
            assert (await accounts.login(staff)).user.roles[0].role == role
