"""One shopping trip: what may be done in which state, what it must come to, and the model that says so."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx

from backend.carts.commands import SetQuantity
from backend.errors import AppError
from tests.chaos.accounting import COLLECTIONS, Evidence, judge_captures, judge_ledger, judge_orders, stuck
from tests.money import judge_money
from tests.property.staffed import Staffed
from tests.till import Json, order_of
from tests.world import (
    Person,
    deliver,
    gateway_event,
    guest,
    refund_event,
    services_of,
    settled,
)

WAITING = {"created", "pending", "authorized"}
UNPAID = {"failed", "expired", "cancelled"}
LEGAL = {
    "created": {"pending", "authorized", "captured", *UNPAID},
    "pending": {"authorized", "captured", *UNPAID},
    "authorized": {"captured", "failed", "expired"},
    "expired": {"failed", "captured"},
    "failed": {"captured"},
    "cancelled": {"captured"},
    "captured": {"refunding"},
    "refunding": {"refunding", "captured", "partially_refunded", "refunded"},
    "partially_refunded": {"refunding"},
    "refunded": set(),
}
"""For each state of a payment, what may follow."""

_keys = (f"trip-{n}" for n in itertools.count())


class Trip:
    """One cart, what should be in it, and what was done about it."""

    def __init__(self, staffed: Staffed, host: Person, session: Json) -> None:
        self.staffed = staffed
        self.shop, self.till = staffed.shop, staffed.till
        self.people = [host]
        self.session_id: str = session["session_id"]
        self.join_token: str = session["join"]["token"]
        self.choices: Iterator[int] = iter(())
        """What to pick in the step under way."""
        self.lines: Counter[tuple[str, str]] = Counter()
        """Pieces by who put them there and barcode."""
        self.status = "active"
        self.quote: Json | None = None
        self.is_quoted = False
        """Whether nothing changed since."""
        self.payments: dict[str, Json] = {}
        """As they were initiated."""
        self.statuses: dict[str, str] = {}
        self.histories: dict[str, list[str]] = {}
        self.order_id: str | None = None
        self.news: list[Json] = []
        """What the gateway would tell."""
        self.delivered: set[str] = set()
        self.token = ""
        self.opened: set[str] = set()
        self.scans: dict[str, tuple[str, Json]] = {}
        """Token and answer by nonce."""

    def pick(self, *among: Any) -> Any:
        return among[next(self.choices) % len(among)]

    @property
    def host(self) -> Person:
        return self.people[0]

    def steps(self) -> list[Callable[[], Awaitable[None]]]:
        """What may be done now; what takes a trip on is there more than once."""
        paid, started = self.order_id is not None, bool(self.payments)
        waiting = any(status in WAITING for status in self.statuses.values())
        may: dict[Callable[[], Awaitable[None]], bool] = {
            self.join: self.status == "active" and len(self.people) == 1,
            self.scan: True,
            self.set_quantity: bool(self.lines),
            self.remove: bool(self.lines),
            self.ask_quote: not paid,
            self.initiate: self.quote is not None,
            self.initiate_without_gateway: self.quote is not None and not paid,
            self.approve: started,
            self.approve_late: started and not waiting,
            self.approve_twice: waiting,
            self.decline: started,
            self.cancel: started,
            self.let_time_pass: started,
            self.hear: bool(self.news),
            self.look: started,
            self.get_pass: paid,
            self.go_through_gate: bool(self.token),
            self.scan_again: bool(self.scans),
            self.revoke: paid,
            self.refund: paid,
        }
        takes_on: dict[Callable[[], Awaitable[None]], bool] = {
            self.scan: started and self.is_quoted and self.status == "active",
            self.cancel: waiting,
            self.ask_quote: bool(self.lines) and self.status == "active" and not self.is_quoted,
            self.initiate: self.is_quoted and not waiting,
            self.approve: waiting,
            self.approve_late: not waiting and not paid,
            self.hear: any(event["id"] not in self.delivered for event in self.news),
            self.get_pass: not self.token,
            self.go_through_gate: not self.opened,
            self.refund: True,
        }
        possible = [step for step, is_possible in may.items() if is_possible]
        return [
            *possible,
            *(step for step in possible if takes_on.get(step) for _ in range(len(possible) // 2)),
        ]

    # The cart.

    async def join(self) -> None:
        member = await guest(self.shop.api, "Ravi")
        await member.post("/session/join", {"token": self.join_token})
        self.people.append(member)

    async def scan(self) -> None:
        who, product = self.pick(*self.people), self.pick(*self.staffed.products)
        qty = self.pick(1, 2, 3)
        body = {"session_id": self.session_id, "barcode": product.barcode, "qty": qty}
        if self._changes(await who.call("POST", "/cart/add", json=body)):
            self.lines[(who.user_id, product.barcode)] += qty

    async def set_quantity(self) -> None:
        """Which phones do by their sockets alone."""
        line, qty = self.pick(*await self._shown()), self.pick(1, 4)
        carts = services_of(self.shop.app).carts
        command = SetQuantity(line["line_id"], qty)
        try:
            await carts.command(self.host.user_id, self.session_id, next(_keys), command)
        except AppError as error:
            refused = error.code
        else:
            refused = ""
            self.is_quoted = False
            self.lines[(line["added_by"], line["barcode"])] = qty
        assert refused == ("" if self.status == "active" else self._refusal())

    async def remove(self) -> None:
        line = self.pick(*await self._shown())
        body = {"session_id": self.session_id, "line_id": line["line_id"]}
        if self._changes(await self.host.call("POST", "/cart/remove", json=body)):
            del self.lines[(line["added_by"], line["barcode"])]

    def _changes(self, answer: httpx.Response) -> bool:
        """Whether the cart took it, as it does if and only if it is active."""
        if answer.status_code == 200:
            assert self.status == "active"
            self.is_quoted = False
            return True
        assert (answer.status_code, answer.json()["code"]) == (409, self._refusal()), answer.text
        return False

    def _refusal(self) -> str:
        return {"locked": "cart_locked", "completed": "cart_closed"}.get(self.status, "nothing")

    async def _shown(self) -> list[Json]:
        items: list[Json] = (await self.host.get(f"/session/{self.session_id}"))["items"]
        return items

    # The till.

    async def ask_quote(self) -> None:
        answer = await self.host.call("POST", "/checkout/calculate", json={"session_id": self.session_id})
        if not answer.is_success:
            expected = self._refusal() if self.lines else "cart_empty"
            assert answer.json()["code"] in {expected, self._refusal()}, answer.text
            return
        self.quote, self.is_quoted = answer.json(), True
        prices = {product.barcode: product.price_minor for product in self.staffed.products}
        total = sum(prices[barcode] * qty for (_, barcode), qty in self.lines.items())
        assert answer.json()["totals"]["total_minor"] == total

    async def initiate(self) -> None:
        answer = await self._initiate()
        if answer.status_code == 201:
            payment = answer.json()
            self.payments.setdefault(payment["payment_id"], payment)
            return
        allowed = {"quote_stale", "quote_expired", "cart_locked", "cart_closed", "cart_empty"}
        assert (answer.status_code, answer.json()["code"] in allowed) == (409, True), answer.text

    async def _initiate(self) -> httpx.Response:
        assert self.quote
        to_pay = {field: self.quote[field] for field in ("quote_id", "signature")}
        headers = {"idempotency-key": next(_keys)}
        return await self.host.call("POST", "/payment/initiate", json=to_pay, headers=headers)

    async def initiate_without_gateway(self) -> None:
        """Nothing comes of it; unless the gateway had been asked before."""
        await self.till.all_faults(api="unavailable")
        try:
            answer = await self._initiate()
        finally:
            await self.till.all_faults()
        if answer.status_code == 201:
            assert answer.json()["payment_id"] in self.payments
        else:
            assert answer.status_code in {409, 503}, answer.text

    def _payment(self) -> Json:
        payment: Json = self.pick(*self.payments.values())
        return payment

    async def approve(self) -> None:
        await self._at_gateway(self._payment(), "approve")

    async def approve_late(self) -> None:
        """Though the gateway should take no payment any more."""
        payment = self._payment()
        await self.till.faults(payment, accept_late=True)
        await self._at_gateway(payment, "approve")

    async def approve_twice(self) -> None:
        payment = self._payment()
        await self.till.faults(payment, approval="captures_twice")
        await self._at_gateway(payment, "approve")

    async def decline(self) -> None:
        await self._at_gateway(self._payment(), "decline")

    async def _at_gateway(self, payment: Json, act: str) -> None:
        """What is news there is told later, or never."""
        known = {each["payment_id"] for each in (await self.till.order(payment))["payments"]}
        async with httpx.AsyncClient() as web:
            answer = await web.post(f"{self.shop.settings.qless_sandbox_url}/pay/{order_of(payment)}/{act}")
        assert answer.status_code in {200, 409}, answer.text
        for made in (await self.till.order(payment))["payments"]:
            if made["payment_id"] not in known:
                kind = f"payment.{made['status']}"
                self.news.append(gateway_event(payment, kind, payment_id=made["payment_id"]))
        await self.till.faults(payment)

    async def cancel(self) -> None:
        payment = self._payment()
        answer = await self.host.call("POST", f"/payment/{payment['payment_id']}/cancel")
        if answer.status_code == 200:
            assert answer.json()["status"] in UNPAID
        else:
            assert (answer.status_code, answer.json()["code"]) == (409, "payment_not_cancellable")

    async def let_time_pass(self) -> None:
        """Some, or until a payment's time is over, or the pass's."""
        self.shop.clock.advance(seconds=self.pick(11, 301, 1_801))
        await services_of(self.shop.app).payments.expire_overdue()

    async def hear(self) -> None:
        """A webhook comes; perhaps not for the first time, perhaps long after others."""
        event = self.pick(*self.news)
        outcome = await deliver(self.shop.app, self.shop.api, event)
        assert (outcome == "duplicate") == (event["id"] in self.delivered), outcome
        assert outcome not in {"unknown_payment", "integrity_failure"}
        self.delivered.add(event["id"])

    async def look(self) -> None:
        """The reconciler asks what webhooks did not tell."""
        self.shop.clock.advance(seconds=self.pick(10, 120))
        await self.till.look()

    # The exit.

    async def get_pass(self) -> None:
        body = {"order_id": self.order_id}
        answer = await self.host.call("POST", "/exit-pass/generate", json=body)
        if answer.status_code == 200:
            assert not self.opened
            self.token = answer.json()["token"]
        else:
            assert answer.json()["code"] in ({"pass_used"} if self.opened else {"pass_revoked"})

    async def go_through_gate(self) -> None:
        nonce = next(_keys)
        answer = await self._scan_pass(self.token, nonce)
        self.scans[nonce] = (self.token, answer)
        if answer["verdict"] == "open":
            self.opened.add(nonce)

    async def scan_again(self) -> None:
        """The answer was lost; the gate asks again, and hears the same."""
        nonce = self.pick(*self.scans)
        token, before = self.scans[nonce]
        assert await self._scan_pass(token, nonce) == before

    async def _scan_pass(self, token: str, nonce: str) -> Json:
        store_id = self.staffed.store.store_id
        body = {"store_id": store_id, "gate_id": "gate-1", "token": token, "nonce": nonce}
        answer: Json = await self.staffed.guard.post("/gate/verify", body)
        return answer

    async def revoke(self) -> None:
        body = {"order_id": self.order_id, "reason": "Asked at the desk"}
        answer = await self.staffed.supervisor.call("POST", "/exit-pass/revoke", json=body)
        assert (answer.status_code == 200) == (not self.opened), answer.text

    async def refund(self) -> None:
        """A part, or all that is left, or more; it may fail at the gateway."""
        payment = next(each for each in self.payments.values() if self._made_the_order(each))
        await self.till.faults(payment, refund=self.pick("processed", "processed", "failed"))
        amount = self.pick({}, {"amount_minor": payment["amount_minor"] // 3 + 1})
        path, headers = f"/payment/refund/{payment['payment_id']}", {"idempotency-key": next(_keys)}
        left = await self._left(payment)
        asked = await self.staffed.supervisor.call(
            "POST", path, json={"reason": "Broken", **amount}, headers=headers
        )
        fits = 0 < amount.get("amount_minor", left) <= left
        assert asked.status_code == (201 if fits else 409), asked.text
        await settled(self.shop.app)
        await self.till.faults(payment)
        known = {event["refund"]["refund_id"] for event in self.news if "refund" in event}
        self.news += [
            refund_event(payment, refund, f"refund.{refund['status']}")
            for refund in await self.till.refunds(payment)
            if refund["refund_id"] not in known and refund["status"] != "pending"
        ]

    def _made_the_order(self, payment: Json) -> bool:
        return self.statuses[payment["payment_id"]] not in WAITING | UNPAID

    async def _left(self, payment: Json) -> int:
        row = await self.shop.database["payments"].find_one({"_id": payment["payment_id"]})
        assert row
        return int(row["captured_minor"] - row["refunding_minor"] - row["refunded_minor"])

    # What must be true whenever nobody is in the middle of something.

    async def check(self) -> None:
        await settled(self.shop.app)
        session = await self.host.get(f"/session/{self.session_id}")
        assert (
            Counter({(item["added_by"], item["barcode"]): item["qty"] for item in session["items"]})
            == +self.lines
        )
        await self._check_payments()
        await self._check_orders()
        waiting = any(status in WAITING for status in self.statuses.values())
        expected = "completed" if self.order_id else "locked" if waiting else "active"
        assert session["status"] == expected
        assert not (self.status == "completed" and session["status"] != "completed")
        self.status = session["status"]
        assert len(self.opened) <= 1
        assert await judge_money(self.shop.database) == []

    async def _check_payments(self) -> None:
        rows = await self.shop.database["payments"].find({"session_id": self.session_id}).to_list()
        for row in rows:
            states = [step["status"] for step in row["history"]]
            for one, other in itertools.pairwise(states):
                assert other in LEGAL[one], states
            assert row["status"] == states[-1]
            before = self.histories.get(row["_id"], [])
            assert states[: len(before)] == before, "history is only added to"
            self.histories[row["_id"]] = states
            self.statuses[row["_id"]] = row["status"]
        assert sum(row["status"] in WAITING for row in rows) <= 1

    async def _check_orders(self) -> None:
        orders = await self.shop.database["orders"].find({"session_id": self.session_id}).to_list()
        assert len(orders) <= 1
        assert self.order_id in {None, *(order["_id"] for order in orders)}
        for order in orders:
            self.order_id = order["_id"]
            bought = Counter({(line["added_by"], line["barcode"]): line["qty"] for line in order["lines"]})
            assert bought == +self.lines

    async def finish(self) -> None:
        """Let time pass, and have the gateway asked, until all is settled; then compare with its books."""
        for _ in range(4):
            self.shop.clock.advance(minutes=70)
            await services_of(self.shop.app).payments.expire_overdue()
            await settled(self.shop.app)
            await self.till.look()
        await self.check()
        for payment in self.payments.values():
            self.staffed.books[order_of(payment)] = await self.till.order(payment)
        database, books = self.shop.database, list(self.staffed.books.values())
        rows = {name: await database[name].find().to_list() for name in COLLECTIONS}
        evidence = Evidence([], books, rows, ())
        assert stuck(rows, books, self.shop.clock.now()) == []
        for judge in (judge_captures, judge_orders, judge_ledger):
            assert judge(evidence) == []
