"""A store with everybody of the access table in it, and a family's cart for each row."""

import asyncio
from typing import Any, NamedTuple

import httpx
import msgspec
from litestar import Litestar

from backend.accounts import Role
from backend.carts.commands import AbandonSession
from backend.catalog import Product
from backend.kit.ids import new_id
from backend.stores import Store
from tests.contract.access import Who
from tests.phones import phone_at
from tests.world import (
    PASSWORD,
    Person,
    Trip,
    guest,
    open_store,
    pay,
    services_of,
    staff_member,
    start_session,
    stock,
)

Json = dict[str, Any]

CUSTOMER = "customer-of-the-table@example.com"
WORK = {
    Who.CASHIER: Role.CASHIER,
    Who.GATE: Role.GATE,
    Who.MANAGER: Role.MANAGER,
    Who.ELSEWHERE: Role.MANAGER,
}


class Shop(NamedTuple):
    """A server on a real port, its store, another one, and those who were there before the family came."""

    app: Litestar
    address: str
    api: httpx.AsyncClient
    store: Store
    elsewhere: Store
    products: list[Product]
    people: dict[Who, Person]

    async def another(self, who: Who) -> Person:
        """Somebody of this kind, with a login of their own."""
        if who is Who.GUEST:
            return await guest(self.api)
        if who is Who.OTHER:
            return await self.customer(f"{new_id('other')}@example.com")
        store = self.elsewhere if who is Who.ELSEWHERE else self.store
        return await staff_member(services_of(self.app), self.api, store.store_id, WORK[who])

    async def customer(self, email: str) -> Person:
        body = {"name": "Other", "email": email, "password": PASSWORD}
        return Person(self.api, (await self.api.post("/auth/register", json=body)).json())


async def open_shop(app: Litestar, address: str, api: httpx.AsyncClient) -> Shop:
    services = services_of(app)
    store, elsewhere = await open_store(services), await open_store(services)
    products = await stock(services, 1000, 2500)
    shop = Shop(app, address, api, store, elsewhere, products, {})
    shop.people.update({who: await shop.another(who) for who in (Who.GUEST, *WORK)})
    other = shop.people[Who.OTHER] = await shop.customer(CUSTOMER)
    session = await start_session(other, store)
    await other.post("/cart/add", {"session_id": session["session_id"], "barcode": products[0].barcode})
    return shop


async def save_snapshots(shop: Shop) -> None:
    """What the server does every few seconds."""
    now = asyncio.get_running_loop().time()
    await services_of(shop.app).carts.rooms.save_snapshots(now, all_dirty=True)


class Scene:
    """A family's cart in the shop: its host, another adult, and one whom the host has shown out."""

    def __init__(self, shop: Shop, session: Json, family: dict[Who, Person]) -> None:
        self.shop = shop
        self.session_id: str = session["session_id"]
        self.people = {**shop.people, **family}
        self.join_token = ""
        self.old_join_token: str = session["join"]["token"]
        self._payment: Json = {}
        self._order_id = ""
        self._registered = False

    @property
    def owner(self) -> Person:
        return self.people[Who.OWNER]

    @property
    def barcode(self) -> str:
        return self.shop.products[0].barcode

    async def newcomer(self) -> Person:
        """One more adult in the cart."""
        person = await guest(self.shop.api)
        await person.post("/session/join", {"token": self.join_token})
        return person

    async def command(self, who: Person, kind: str, **fields: Any) -> Json:
        """Send one command over a socket of its own; the `ack`."""
        async with phone_at(self.shop.address, self.session_id, who.token) as phone:
            answer = await phone.command(kind, **fields)
        assert answer["type"] == "ack", answer
        return answer

    async def line_of(self, person: Person) -> str:
        """A line that they have just scanned."""
        body = {"session_id": self.session_id, "barcode": self.barcode}
        session = (await person.post("/cart/add", body))["session"]
        lines = [line["line_id"] for line in session["items"] if line["added_by"] == person.user_id]
        line_id: str = lines[-1]
        return line_id

    async def waiting_line(self) -> str:
        """A line that a child has scanned."""
        child = await self.newcomer()
        await self.command(self.owner, "set_role", member=child.user_id, role="child")
        return await self.line_of(child)

    async def trip(self) -> Trip:
        """The owner's cart with something in it, quoted to them."""
        await self.line_of(self.owner)
        quote = await self.owner.post("/checkout/calculate", {"session_id": self.session_id})
        return Trip(self.owner, self.shop.store, self.shop.products, self.session_id, quote)

    async def payment(self) -> Json:
        """The owner's payment of the cart."""
        if not self._payment:
            self._payment = await (await self.trip()).initiate()
        return self._payment

    async def order(self) -> str:
        """A paid order of the owner's."""
        if not self._order_id:
            self._order_id = await self.another_order()
        return self._order_id

    async def another_order(self) -> str:
        """A paid order of the owner's, of another cart than this one, so that it can be done again."""
        session = await start_session(self.owner, self.shop.store)
        trip = Trip(self.owner, self.shop.store, self.shop.products, session["session_id"], {})
        await trip.add(self.shop.products[0])
        quote = await self.owner.post("/checkout/calculate", {"session_id": trip.session_id})
        order_id = await pay(self.shop.app, self.shop.api, trip._replace(quote=quote))
        await save_snapshots(self.shop)  # they tell that the cart is over: one may host ten that are open
        return order_id

    async def another_login(self) -> str:
        """The id of one more login of the owner's, who registers for it."""
        sign_in = {"email": f"{self.owner.user_id}@example.com", "password": PASSWORD}
        if not self._registered:
            await self.owner.post("/auth/register", {**sign_in, "name": "Owner"})
            self._registered = True
        tokens = (await self.shop.api.post("/auth/login", json=sign_in)).json()
        login_id: str = tokens["refresh_token"].partition(".")[0]
        return login_id

    def at_store(self, *parts: str) -> str:
        """A path below the store's."""
        return "/".join(("/stores", self.shop.store.store_id, *parts))

    async def new_clerk(self) -> Json:
        """Somebody whom the manager has just added, as answered."""
        body = {"email": f"{new_id('clerk')}@example.com", "name": "Meera", "role": "cashier"}
        clerk: Json = await self.people[Who.MANAGER].post(self.at_store("staff"), body)
        return clerk

    async def scan_of(self, order_id: str) -> Json:
        """What a gate sends when it sees the order's pass."""
        issued = await self.owner.post("/exit-pass/generate", {"order_id": order_id})
        store_id = self.shop.store.store_id
        return {"store_id": store_id, "gate_id": "gate-1", "token": issued["token"], "nonce": new_id("scan")}

    async def checked(self) -> Json:
        """The scan of a pass to which the gate has said `check`."""
        stores = services_of(self.shop.app).stores
        await stores.put(msgspec.structs.replace(self.shop.store, spot_check_percent=100))
        scan = await self.scan_of(await self.another_order())
        await stores.put(self.shop.store)
        verdict = await self.people[Who.GATE].post("/gate/verify", scan)
        assert verdict["verdict"] == "check"
        return {**scan, "nonce": new_id("scan")}

    async def abandon(self) -> None:
        """What the server does when nothing happened in a cart for hours."""
        services = services_of(self.shop.app)
        await services.carts.till(self.session_id, AbandonSession(services.clock.now()))


async def open_scene(shop: Shop) -> Scene:
    family = {who: await guest(shop.api, who.capitalize()) for who in (Who.OWNER, Who.MEMBER, Who.REMOVED)}
    owner = family[Who.OWNER]
    session = await start_session(owner, shop.store, limit_minor=100_000)
    scene = Scene(shop, session, family)
    for who in (Who.MEMBER, Who.REMOVED):
        await family[who].post("/session/join", {"token": scene.old_join_token})
    await scene.command(owner, "remove_member", member=family[Who.REMOVED].user_id)
    link = await owner.post(f"/session/{scene.session_id}/join-link")
    scene.join_token = link["token"]
    return scene
