"""A valid request for each route of the access table: what succeeds for whoever may.

`REQUESTS` holds one function a row. It is given the row's scene and who is about to ask, and may first make
what the request needs, such as a line to remove.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import httpx

from backend.kit.ids import new_id
from tests.contract.access import Who
from tests.contract.scene import CUSTOMER, Json, Scene
from tests.world import PASSWORD, gateway_event, services_of, signed


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        about: the id in it of what must look to strangers as if it did not exist.
        shows: fields of the answer when it succeeds.
        hides: what nobody but the owner may find in the answer.
    """

    method: str
    path: str
    json: Json | None = None
    about: str = ""
    shows: Json = field(default_factory=dict)
    hides: str = ""
    more: Json = field(default_factory=dict)


async def send(scene: Scene, who: Who, ask: Ask) -> httpx.Response:
    """The answer to one of the ten."""
    headers = dict(ask.more.get("headers", {}))
    if who in scene.people:
        headers["authorization"] = f"Bearer {scene.people[who].token}"
    content = ask.more.get("content")
    return await scene.shop.api.request(ask.method, ask.path, json=ask.json, content=content, headers=headers)


Requests = Callable[[Scene, Who], Awaitable[Ask]]
REQUESTS: dict[str, Requests] = {}


def request_for(name: str) -> Callable[[Requests], Requests]:
    """Take a function as the request of the row of this name."""

    def take(make: Requests) -> Requests:
        REQUESTS[name] = make
        return make

    return take


def _open(name: str, path: str) -> None:
    """A route that takes nothing but its path, and is about nothing that anybody owns."""

    async def make(scene: Scene, who: Who) -> Ask:
        product = scene.shop.products[0]
        return Ask(
            "GET",
            path.format(
                store_id=scene.shop.store.store_id, barcode=product.barcode, category=product.category
            ),
        )

    REQUESTS[name] = make


_open("me", "/auth/me")
_open("listStores", "/stores")
_open("getStore", "/stores/{store_id}")
_open("listMarkets", "/markets")
_open("listProducts", "/products")
_open("searchProducts", "/products/search?q=thing")
_open("listFeaturedProducts", "/products/featured")
_open("listProductsOfCategory", "/products/category/{category}")
_open("getProduct", "/products/{barcode}")
_open("search", "/search?q=thing")
_open("listCategories", "/categories")
_open("exitKeys", "/.well-known/jwks.json")
_open("live", "/health/live")
_open("ready", "/health/ready")


@request_for("register")
async def _(scene: Scene, who: Who) -> Ask:
    """The shop's guest is to stay one: another registers."""
    if who is Who.GUEST:
        scene.people[who] = await scene.shop.another(who)
    body = {"name": "Asha", "email": f"{new_id('asha')}@example.com", "password": PASSWORD}
    return Ask("POST", "/auth/register", body)


@request_for("login")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("POST", "/auth/login", {"email": CUSTOMER, "password": PASSWORD})


@request_for("guest")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("POST", "/auth/guest", {"name": "Ravi"})


@request_for("refresh")
async def _(scene: Scene, who: Who) -> Ask:
    tokens = (await scene.shop.api.post("/auth/guest")).json()
    return Ask("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})


@request_for("logout")
async def _(scene: Scene, who: Who) -> Ask:
    """The shop's people are needed again: others of their kind sign out for them."""
    if who in scene.shop.people:
        scene.people[who] = await scene.shop.another(who)
    return Ask("POST", "/auth/logout")


@request_for("listLogins")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("GET", "/auth/logins", hides=await scene.another_login())


@request_for("endOtherLogins")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("DELETE", "/auth/logins")


@request_for("endLogin")
async def _(scene: Scene, who: Who) -> Ask:
    login_id = await scene.another_login()
    return Ask("DELETE", f"/auth/logins/{login_id}", about=login_id)


@request_for("changePassword")
async def _(scene: Scene, who: Who) -> Ask:
    """Guests have none."""
    return Ask("PUT", "/auth/password", {"old": PASSWORD, "new": PASSWORD})


@request_for("setPassword")
async def _(scene: Scene, who: Who) -> Ask:
    clerk = await scene.new_clerk()
    body = {"email": clerk["email"], "code": clerk["code"]["code"], "new": PASSWORD}
    return Ask("POST", "/auth/password", body)


@request_for("listStaff")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("GET", scene.at_store("staff"), about=scene.shop.store.store_id)


@request_for("addStaff")
async def _(scene: Scene, who: Who) -> Ask:
    body = {"email": f"{new_id('clerk')}@example.com", "name": "Meera", "role": "cashier"}
    return Ask("POST", scene.at_store("staff"), body, about=scene.shop.store.store_id)


def _elsewhere(scene: Scene, ask: Ask) -> Ask:
    """The same asked of the other store."""
    ours, theirs = scene.shop.store.store_id, scene.shop.elsewhere.store_id
    return replace(ask, path=ask.path.replace(ours, theirs))


def _staff_member(name: str, method: str, tail: str = "", body: Json | None = None) -> None:
    """A route about somebody who works at the store of the cart, and the same asked of the other store."""

    async def make(scene: Scene, who: Who) -> Ask:
        user_id = (await scene.new_clerk())["user_id"]
        return Ask(method, scene.at_store("staff", user_id) + tail, body, about=user_id)

    async def make_theirs(scene: Scene, who: Who) -> Ask:
        return _elsewhere(scene, await make(scene, who))

    REQUESTS[name], REQUESTS[f"{name}+theirs"] = make, make_theirs


_staff_member("setStaffRole", "PUT", body={"role": "supervisor"})
_staff_member("removeStaff", "DELETE")
_staff_member("giveCode", "POST", "/code")


@request_for("listDevices")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("GET", scene.at_store("devices"), about=scene.shop.store.store_id)


@request_for("addDevice")
async def _(scene: Scene, who: Who) -> Ask:
    body = {"name": "Scanner by the left door", "gate_id": "gate-1"}
    return Ask("POST", scene.at_store("devices"), body, about=scene.shop.store.store_id)


@request_for("revokeDevice")
async def _(scene: Scene, who: Who) -> Ask:
    body = {"name": "Scanner", "gate_id": "gate-1"}
    device = await scene.people[Who.MANAGER].post(scene.at_store("devices"), body)
    return Ask("DELETE", scene.at_store("devices", device["device_id"]), about=device["device_id"])


@request_for("revokeDevice+theirs")
async def _(scene: Scene, who: Who) -> Ask:
    return _elsewhere(scene, await REQUESTS["revokeDevice"](scene, who))


@request_for("getProduct+session")
async def _(scene: Scene, who: Who) -> Ask:
    path = f"/products/{scene.barcode}?session_id={scene.session_id}"
    return Ask("GET", path, about=scene.session_id)


@request_for("startSession")
async def _(scene: Scene, who: Who) -> Ask:
    body = {"store_id": scene.shop.store.store_id, "budget_limit_minor": 1000}
    user_id = scene.people[who].user_id if who in scene.people else None
    return Ask("POST", "/session/start", body, shows={"host_user_id": user_id})


@request_for("joinSession")
async def _(scene: Scene, who: Who) -> Ask:
    """By the link that they know: whoever was shown out knows the one of before."""
    token = scene.old_join_token if who is Who.REMOVED else scene.join_token
    return Ask("POST", "/session/join", {"token": token}, about=token)


@request_for("getSession")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("GET", f"/session/{scene.session_id}", about=scene.session_id)


@request_for("renewJoinLink")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("POST", f"/session/{scene.session_id}/join-link", about=scene.session_id)


@request_for("endJoinLink")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("DELETE", f"/session/{scene.session_id}/join-link", about=scene.session_id)


@request_for("restoreSession")
async def _(scene: Scene, who: Who) -> Ask:
    await scene.abandon()
    return Ask(
        "POST", f"/session/{scene.session_id}/restore", about=scene.session_id, shows={"status": "active"}
    )


@request_for("addItem")
async def _(scene: Scene, who: Who) -> Ask:
    body = {"session_id": scene.session_id, "barcode": scene.barcode}
    return Ask("POST", "/cart/add", body, about=scene.session_id)


@request_for("removeItem")
async def _(scene: Scene, who: Who) -> Ask:
    body = {"session_id": scene.session_id, "line_id": await scene.line_of(scene.owner)}
    return Ask("POST", "/cart/remove", body, about=scene.session_id)


@request_for("calculate")
async def _(scene: Scene, who: Who) -> Ask:
    await scene.line_of(scene.owner)
    return Ask("POST", "/checkout/calculate", {"session_id": scene.session_id}, about=scene.session_id)


@request_for("initiatePayment")
async def _(scene: Scene, who: Who) -> Ask:
    to_pay = (await scene.trip()).to_pay
    return Ask("POST", "/payment/initiate", to_pay, about=to_pay["quote_id"], shows={"status": "pending"})


@request_for("cancelPayment")
async def _(scene: Scene, who: Who) -> Ask:
    payment_id = (await scene.payment())["payment_id"]
    return Ask("POST", f"/payment/{payment_id}/cancel", about=payment_id, shows={"status": "cancelled"})


@request_for("refundPayment")
async def _(scene: Scene, who: Who) -> Ask:
    payment_id = (await scene.owner.get(f"/orders/{await scene.order()}"))["payment_id"]
    body = {"amount_minor": 100, "reason": "One was broken"}
    headers = {"idempotency-key": new_id("key")}
    return Ask("POST", f"/payment/refund/{payment_id}", body, payment_id, more={"headers": headers})


@request_for("getPayment")
async def _(scene: Scene, who: Who) -> Ask:
    payment_id = (await scene.payment())["payment_id"]
    return Ask("GET", f"/payment/{payment_id}", about=payment_id)


async def _webhook(scene: Scene, path: str) -> Ask:
    event = gateway_event(await scene.payment(), "payment.failed", status="failed")
    return Ask("POST", path, more=signed(event, services_of(scene.shop.app).clock.now()))


@request_for("receiveSandboxWebhook")
async def _(scene: Scene, who: Who) -> Ask:
    return await _webhook(scene, "/payment/webhook")


@request_for("receiveWebhook")
async def _(scene: Scene, who: Who) -> Ask:
    return await _webhook(scene, "/payment/webhook/sandbox")


@request_for("orderHistory")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("GET", "/orders/history", hides=await scene.order())


@request_for("rewardsBalance")
async def _(scene: Scene, who: Who) -> Ask:
    return Ask("GET", "/rewards/balance", hides=await scene.order())


@request_for("getOrder")
async def _(scene: Scene, who: Who) -> Ask:
    order_id = await scene.order()
    return Ask("GET", f"/orders/{order_id}", about=order_id)


@request_for("generatePass")
async def _(scene: Scene, who: Who) -> Ask:
    order_id = await scene.order()
    return Ask("POST", "/exit-pass/generate", {"order_id": order_id}, about=order_id)


@request_for("revokePass")
async def _(scene: Scene, who: Who) -> Ask:
    order_id = await scene.another_order()
    body = {"order_id": order_id, "reason": "Refunded at the till"}
    return Ask("POST", "/exit-pass/revoke", body, about=order_id, shows={"status": "revoked"})


@request_for("verifyPass")
async def _(scene: Scene, who: Who) -> Ask:
    scan = await scene.scan_of(await scene.another_order())
    return Ask("POST", "/gate/verify", scan, about=scan["store_id"], shows={"verdict": "open"})


@request_for("verifyPass+theirs")
async def _(scene: Scene, who: Who) -> Ask:
    scan = await scene.scan_of(await scene.another_order())
    body = {**scan, "store_id": scene.shop.elsewhere.store_id}
    return Ask("POST", "/gate/verify", body, shows={"verdict": "refuse", "order": None})


@request_for("releasePass")
async def _(scene: Scene, who: Who) -> Ask:
    scan = await scene.checked()
    return Ask("POST", "/gate/release", scan, about=scan["store_id"], shows={"verdict": "open"})


@request_for("gateEvents")
async def _(scene: Scene, who: Who) -> Ask:
    store_id = scene.shop.store.store_id
    return Ask("GET", f"/stores/{store_id}/gate/events", about=store_id)


@request_for("rotateExitKeys")
async def _(scene: Scene, who: Who) -> Ask:
    store_id = scene.shop.store.store_id
    body = {"store_id": store_id, "compromised": False}
    return Ask("POST", "/exit-keys/rotate", body, about=store_id)
