"""A small shop for tests of the API: one store, products with real check digits, people who shop and work there."""

import hashlib
import hmac
import json
import secrets
from datetime import datetime
from typing import Any, NamedTuple

import httpx
from litestar import Litestar

from backend.accounts import Role, StoreRole
from backend.catalog import Product
from backend.catalog.barcodes import check_digit
from backend.kit.ids import new_id
from backend.lifespan import Services
from backend.stores import Store

PASSWORD = "correct horse 42"
SANDBOX_SECRET = "sandbox-webhook-secret-of-the-tests"


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
        self.user_id: str = tokens["user"]["user_id"]
        self._take(tokens)

    def _take(self, tokens: dict[str, Any]) -> None:
        self.token: str = tokens["access_token"]
        self._refresh_token: str = tokens["refresh_token"]

    async def refresh(self) -> None:
        """Get a fresh access token."""
        response = await self._client.post("/auth/refresh", json={"refresh_token": self._refresh_token})
        assert response.status_code == 200, response.text
        self._take(response.json())

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


class Trip(NamedTuple):
    """A shopper with a filled cart and its quote."""

    shopper: Person
    store: Store
    products: list[Product]
    session_id: str
    quote: dict[str, Any]

    async def initiate(self) -> dict[str, Any]:
        payment: dict[str, Any] = await self.shopper.post("/payment/initiate", self.to_pay)
        return payment

    @property
    def to_pay(self) -> dict[str, str]:
        return {"quote_id": self.quote["quote_id"], "signature": self.quote["signature"]}

    async def session(self) -> dict[str, Any]:
        session: dict[str, Any] = await self.shopper.get(f"/session/{self.session_id}")
        return session

    async def add(self, product: Product) -> None:
        await self.shopper.post("/cart/add", {"session_id": self.session_id, "barcode": product.barcode})


async def ready_to_pay(app: Litestar, api: httpx.AsyncClient, *prices_minor: int, **of_store: Any) -> Trip:
    """A cart with one of each product, quoted."""
    services = services_of(app)
    store = await open_store(services, **of_store)
    products = await stock(services, *(prices_minor or (1000, 2500)))
    shopper = await guest(api, "Asha")
    session = await start_session(shopper, store)
    trip = Trip(shopper, store, products, session["session_id"], {})
    for product in products:
        await trip.add(product)
    quote = await shopper.post("/checkout/calculate", {"session_id": trip.session_id})
    return trip._replace(quote=quote)


def gateway_event(payment: dict[str, Any], kind: str = "payment.captured", **changes: Any) -> dict[str, Any]:
    """An event as the sandbox gateway sends it; `changes` go into its payment, `order_id` into its order."""
    order_id = payment["pay_url"].rsplit("/", 1)[1]
    money = {"amount_minor": payment["amount_minor"], "currency": payment["currency"]}
    return {
        "id": f"evt_{secrets.token_hex(8)}",
        "event": kind,
        "created_at": "2026-11-20T12:00:00Z",
        "order": {
            "order_id": changes.pop("order_id", order_id),
            "reference": changes.pop("reference", payment["payment_id"]),
            "status": "paid",
            **money,
        },
        "payment": {
            "payment_id": f"upi_{order_id}",
            "status": "captured",
            "vpa": "asha@upi",
            "created_at": "2026-11-20T12:00:00Z",
            **money,
            **changes,
        },
    }


def refund_event(payment: dict[str, Any], refund: dict[str, Any], kind: str) -> dict[str, Any]:
    """An event of a refund as the sandbox gateway sends it."""
    event = gateway_event(payment, kind, payment_id=refund["payment_id"])
    return {**event, "refund": refund}


def signed(event: dict[str, Any], at: datetime, secret: str = SANDBOX_SECRET) -> dict[str, Any]:
    """An event as a request: the raw body and its three headers."""
    body = json.dumps(event).encode()
    timestamp = str(int(at.timestamp()))
    message = f"{timestamp}.{event['id']}.".encode() + body
    return {
        "content": body,
        "headers": {
            "x-sandbox-event-id": event["id"],
            "x-sandbox-timestamp": timestamp,
            "x-sandbox-signature": hmac.new(secret.encode(), message, hashlib.sha256).hexdigest(),
        },
    }


async def deliver(app: Litestar, api: httpx.AsyncClient, event: dict[str, Any]) -> str:
    """Deliver an event; what became of it."""
    response = await api.post("/payment/webhook/sandbox", **signed(event, services_of(app).clock.now()))
    assert response.status_code == 200, response.text
    outcome: str = response.json()["outcome"]
    return outcome


async def settled(app: Litestar) -> None:
    """Carry out what the outbox has for now."""
    outbox = services_of(app).outbox
    while any([await outbox.work_one(kind) for kind in outbox.kinds]):
        pass


async def pay(app: Litestar, api: httpx.AsyncClient, trip: Trip) -> str:
    """Pay a trip; the order's id."""
    payment = await trip.initiate()
    assert await deliver(app, api, gateway_event(payment)) == "paid"
    await settled(app)
    paid = await trip.shopper.get(f"/payment/{payment['payment_id']}")
    order_id: str = paid["order_id"]
    return order_id
