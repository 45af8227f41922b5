"""A small shop for tests of the API: one store, products with real check digits, people who shop and work there."""

from typing import Any

import httpx
from litestar import Litestar

from backend.accounts import Role, StoreRole
from backend.catalog import Product
from backend.catalog.barcodes import check_digit
from backend.kit.ids import new_id
from backend.lifespan import Services
from backend.stores import Store

PASSWORD = "correct horse 42"


def services_of(app: Litestar) -> Services:
    services: Services = app.state.services
    return services


async def open_store(services: Services, **fields: Any) -> Store:
    """A new store in India."""
    given: dict[str, Any] = {
        "store_id": new_id("s")[-14:],
        "name": "Test Store",
        "merchant_id": "mer_test",
        "city": "Bengaluru",
        "currency": "INR",
        "time_zone": "Asia/Kolkata",
        "market": "IN",
        **fields,
    }
    store = Store(**given)
    await services.stores.put(store)
    return store


_numbers = iter(range(1, 10**6))


async def stock(services: Services, *prices_minor: int) -> list[Product]:
    """New products at these prices, each with an EAN-13 of its own."""
    return [await services.catalog.put(make_product(price)) for price in prices_minor]


def make_product(price_minor: int, **fields: Any) -> Product:
    payload = f"29{int(new_id('x')[-6:], 36) % 10**6:06d}{next(_numbers) % 10**4:04d}"
    barcode = payload + str(check_digit(payload))
    given: dict[str, Any] = {
        "product_id": new_id("prd"),
        "barcode": barcode,
        "codes": ("0" + barcode,),
        "name": f"Thing {barcode}",
        "brand": "Test",
        "category": "snacks",
        "pack_size": "",
        "price_minor": price_minor,
        "currency": "INR",
        "tax_class": "merit",
        "hsn": "1905",
        **fields,
    }
    return Product(**given)


class Person:
    """Somebody with a token, and their way into the API."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, Any]) -> None:
        self._client = client
        self.token: str = tokens["access_token"]
        self.user_id: str = tokens["user"]["user_id"]

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return await self._client.request(method, path, headers=headers, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """The answer of a POST that succeeds."""
        response = await self.call("POST", path, json=body, **more)
        assert response.status_code < 300, response.text
        return response.json() if response.content else None

    async def get(self, path: str) -> Any:
        response = await self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        """The status and code of a POST that is refused."""
        return refusal(await self.call("POST", path, json=body, **more))


def refusal(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    return response.status_code, problem["code"]


async def guest(client: httpx.AsyncClient, name: str = "Guest") -> Person:
    response = await client.post("/auth/guest", json={"name": name})
    assert response.status_code == 201, response.text
    return Person(client, response.json())


async def staff_member(
    services: Services, client: httpx.AsyncClient, store_id: str, role: Role = Role.GATE
) -> Person:
    """Somebody who works at the store."""
    email = f"{new_id('staff')}@example.com"
    await services.accounts.create_staff(email, PASSWORD, "Staff", (StoreRole(store_id, role),))
    response = await client.post("/auth/login", json={"email": email, "password": PASSWORD})
    return Person(client, response.json())


async def start_session(host: Person, store: Store, *, limit_minor: int | None = None) -> dict[str, Any]:
    body = {"store_id": store.store_id, "budget_limit_minor": limit_minor}
    session: dict[str, Any] = await host.post("/session/start", body)
    return session
