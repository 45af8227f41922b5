"""The plain build's till: quote, payment, webhook, exit pass and gate, as plainly as the rest of it.

What must be whole is one transaction, as in ours; a pass is signed by Ed25519 and used up by one update. There are no
rules beyond that, no points, no outbox, no audit of who stood at the gate but a row a scan.
"""

import hashlib
import hmac
import json
import os
import secrets
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, HTTPException, Request
from motor.motor_asyncio import AsyncIOMotorClient
from pydantic import BaseModel

from scripts.benchmarks import plain
from scripts.benchmarks.plain import Json, User

TAX_PERCENT = 18
PASS_LIFE_S = 1800


class AddIn(BaseModel):
    session_id: str
    barcode: str


class QuoteIn(BaseModel):
    session_id: str


class PayIn(BaseModel):
    quote_id: str
    signature: str


class PassIn(BaseModel):
    order_id: str


class ScanIn(BaseModel):
    store_id: str
    gate_id: str
    token: str
    nonce: str


class Till:
    """Quotes, payments, orders and passes in MongoDB."""

    def __init__(self, mongodb_url: str, database: str, webhook_secret: str) -> None:
        self._client: AsyncIOMotorClient[Json] = AsyncIOMotorClient(mongodb_url, w="majority", journal=True)
        self._database = self._client[database]
        self._secret = webhook_secret.encode()
        self._key = Ed25519PrivateKey.generate()

    async def quote(self, session_id: str, user_id: str) -> Json:
        cart = await self._database.sessions.find_one({"_id": session_id, "participants": user_id})
        if cart is None:
            raise HTTPException(404, "No such cart.")
        lines = []
        for barcode, item in cart["items"].items():
            total = item["price_minor"] * item["qty"]
            tax = round(total * TAX_PERCENT / (100 + TAX_PERCENT))
            lines.append({"barcode": barcode, **item, "total_minor": total, "tax_minor": tax})
        quote = {
            "quote_id": secrets.token_hex(12),
            "session_id": session_id,
            "lines": lines,
            "total_minor": sum(line["total_minor"] for line in lines),
            "tax_minor": sum(line["tax_minor"] for line in lines),
            "expires_at": time.time() + 600,
        }
        await self._database.quotes.insert_one({"_id": quote["quote_id"], "user_id": user_id, **quote})
        return {**quote, "signature": self._sign(json.dumps(quote).encode())}

    def _sign(self, message: bytes) -> str:
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    async def initiate(self, quote_id: str, user_id: str) -> Json:
        quote = await self._database.quotes.find_one({"_id": quote_id, "user_id": user_id})
        if quote is None:
            raise HTTPException(404, "No such quote.")
        payment_id = secrets.token_hex(12)
        told = {"amount_minor": quote["total_minor"], "currency": "INR", "status": "pending"}
        row = {"_id": payment_id, "quote_id": quote_id, "user_id": user_id, "order_id": None, **told}
        await self._database.payments.insert_one(row)
        return {"payment_id": payment_id, "pay_url": f"/pay/{payment_id}", **told}

    async def receive(self, headers: Any, body: bytes) -> Json:
        """A webhook: its signature, then one transaction."""
        message = f"{headers['x-sandbox-timestamp']}.{headers['x-sandbox-event-id']}.".encode() + body
        if not hmac.compare_digest(self._sign(message), headers["x-sandbox-signature"]):
            raise HTTPException(401, "The signature is wrong.")
        event = json.loads(body)
        async with await self._client.start_session() as session:
            await session.with_transaction(lambda _: self._settle(event, session))
        return {"outcome": "paid"}

    async def _settle(self, event: Json, session: Any) -> None:
        payment_id = event["order"]["reference"]
        amount, order_id = event["payment"]["amount_minor"], secrets.token_hex(12)
        await self._database.events.insert_one({"_id": event["id"], "kind": event["event"]}, session=session)
        payment = await self._database.payments.find_one_and_update(
            {"_id": payment_id, "status": "pending", "amount_minor": amount},
            {"$set": {"status": "captured", "order_id": order_id}},
            session=session,
        )
        if payment is None:
            raise HTTPException(409, "The payment does not wait for this.")
        order = {"_id": order_id, "payment_id": payment_id, "total_minor": amount, "paid_at": time.time()}
        await self._database.orders.insert_one(order, session=session)
        await self._database.passes.insert_one({"_id": order_id, "status": "issued"}, session=session)

    async def payment(self, payment_id: str) -> Json:
        found = await self._database.payments.find_one({"_id": payment_id})
        if found is None:
            raise HTTPException(404, "No such payment.")
        return {"order_id": found["order_id"], "status": found["status"]}

    def sign_pass(self, order_id: str) -> str:
        now = int(time.time())
        claims = {"sub": order_id, "aud": "store_bench", "iat": now, "exp": now + PASS_LIFE_S}
        return jwt.encode(claims, self._key, "EdDSA")

    async def verify(self, scan: ScanIn, user_id: str) -> Json:
        """Used up by one update; a row a scan."""
        try:
            order_id = jwt.decode(
                scan.token, self._key.public_key(), algorithms=["EdDSA"], audience=scan.store_id
            )["sub"]
        except jwt.PyJWTError:
            return {"verdict": "refuse", "code": "not_a_pass"}
        used = await self._database.passes.find_one_and_update(
            {"_id": order_id, "status": "issued"}, {"$set": {"status": "used", "gate_id": scan.gate_id}}
        )
        verdict = "open" if used else "refuse"
        row = {"_id": f"{scan.gate_id}:{scan.nonce}", "by": user_id, "order_id": order_id, "verdict": verdict}
        await self._database.scans.insert_one(row)
        return {"verdict": verdict, "code": "ok" if used else "already_used"}


def add_routes(app: FastAPI, till: Till) -> None:
    @app.post("/auth/login")
    async def login() -> Json:
        claims = {"sub": "guard", "exp": int(time.time()) + 3600}
        return {"access_token": jwt.encode(claims, plain.KEY, "HS256")}

    @app.post("/cart/add")
    async def add(data: AddIn, user: User) -> Json:
        product = await app.state.storage.product(data.barcode)
        return plain.bill(await app.state.storage.add(data.session_id, user, product, 1))

    @app.post("/checkout/calculate")
    async def calculate(data: QuoteIn, user: User) -> Json:
        return await till.quote(data.session_id, user)

    @app.post("/payment/initiate")
    async def initiate(data: PayIn, user: User) -> Json:
        return await till.initiate(data.quote_id, user)

    @app.post("/payment/webhook/sandbox")
    async def webhook(request: Request) -> Json:
        return await till.receive(request.headers, await request.body())

    @app.get("/payment/{payment_id}")
    async def payment(payment_id: str, user: User) -> Json:
        return await till.payment(payment_id)

    @app.post("/exit-pass/generate")
    async def generate(data: PassIn, user: User) -> Json:
        return {"token": till.sign_pass(data.order_id)}

    @app.post("/gate/verify")
    async def verify(data: ScanIn, user: User) -> Json:
        return await till.verify(data, user)


def from_environment() -> FastAPI:
    """What `uvicorn --factory` runs."""
    environ = os.environ
    app = plain.create_app(environ["MONGODB_URL"], environ["REDIS_URL"], environ["BENCH_DATABASE"])
    till = Till(environ["MONGODB_URL"], environ["BENCH_DATABASE"], environ["QLESS_SANDBOX_WEBHOOK_SECRETS"])
    add_routes(app, till)
    return app
