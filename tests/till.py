"""What tests of payments do at the real simulator, and how they look at what became of the money."""

from typing import Any

import httpx
from litestar import Litestar

from backend.kit import mongo
from backend.settings import Settings
from tests.world import Trip, deliver, gateway_event, refund_event, services_of, settled

Json = dict[str, Any]


class Till:
    """The simulator as its driver, its shoppers and the server's reconciler see it."""

    def __init__(self, app: Litestar, api: httpx.AsyncClient, settings: Settings) -> None:
        self._app = app
        self._api = api
        headers = {"authorization": f"Bearer {settings.qless_sandbox_api_key}"}
        self._http = httpx.AsyncClient(base_url=settings.qless_sandbox_url, headers=headers)

    async def close(self) -> None:
        await self._http.aclose()

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        response = await self._http.request(method, path, json=body)
        assert response.is_success, response.text
        answer: Json = response.json()
        return answer

    async def faults(self, payment: Json, **fields: object) -> None:
        """The faults of one order, all others healed."""
        await self._call("PUT", f"/v1/orders/{order_of(payment)}/faults", fields)

    async def all_faults(self, **fields: object) -> None:
        """The faults of the whole simulator; heal them again."""
        await self._call("PUT", "/v1/faults", fields)

    async def approve(self, payment: Json) -> str:
        """Pay at the UPI app; the simulator's id of the payment."""
        made = await self._call("POST", f"/pay/{order_of(payment)}/approve")
        return str(made["payment_id"])

    async def decline(self, payment: Json) -> str:
        made = await self._call("POST", f"/pay/{order_of(payment)}/decline")
        return str(made["payment_id"])

    async def expire(self, payment: Json) -> None:
        await self._call("POST", f"/v1/orders/{order_of(payment)}/expire")

    async def settle_payment(self, gateway_payment_id: str, status: str) -> None:
        await self._call("POST", f"/v1/payments/{gateway_payment_id}/settle", {"status": status})

    async def settle_refund(self, refund: Json, status: str) -> None:
        await self._call("POST", f"/v1/refunds/{refund['refund_id']}/settle", {"status": status})

    async def order(self, payment: Json) -> Json:
        """The order as the merchant's API tells it."""
        return await self._call("GET", f"/v1/orders/{order_of(payment)}")

    async def order_under(self, reference: str) -> Json:
        return await self._call("GET", f"/v1/orders?reference={reference}")

    async def refunds(self, payment: Json) -> list[Json]:
        found: list[Json] = (await self.order(payment))["refunds"]
        return found

    async def pay(self, trip: Trip) -> Json:
        """Initiate, approve, and have the webhook settle it; the payment as initiated, with `gateway_payment_id`."""
        payment = await trip.initiate()
        gateway_payment_id = await self.approve(payment)
        assert await self.told(payment, gateway_payment_id) == "paid"
        await settled(self._app)
        return {**payment, "gateway_payment_id": gateway_payment_id}

    async def told(
        self, payment: Json, gateway_payment_id: str, kind: str = "payment.captured", **more: Any
    ) -> str:
        """Deliver the webhook of a payment; what became of it."""
        return await deliver(
            self._app, self._api, gateway_event(payment, kind, payment_id=gateway_payment_id, **more)
        )

    async def told_of_refund(self, payment: Json, refund: Json, kind: str, **changes: Any) -> str:
        """Deliver the webhook of a refund as the simulator has it."""
        return await deliver(self._app, self._api, {**refund_event(payment, {**refund, **changes}, kind)})

    async def look(self) -> int:
        """Have the reconciler ask about what is due for it; about how many payments."""
        looks = await services_of(self._app).reconciler.look_at_due()
        await settled(self._app)
        return looks


def order_of(payment: Json) -> str:
    """The simulator's order of a payment."""
    return str(payment["pay_url"]).rsplit("/", 1)[1]


async def ledger_of(database: mongo.Database, payment: Json) -> list[int]:
    """The amounts entered for a payment, in the order of their times."""
    rows = database["money_ledger"].find({"payment_id": payment["payment_id"]})
    return [row["amount_minor"] async for row in rows.sort([("at", 1), ("amount_minor", -1)])]
