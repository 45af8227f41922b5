"""A shopper from the first scan through the gate, who asks again until there is an answer, at one server or the other."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.chaos.phone import ChaosPhone, Failed
from tests.chaos.shopping import STORE, shop
from tests.chaos.simulator import Simulator
from tests.chaos.till import HttpShopper

Json = dict[str, Any]

PATIENCE_S = 150.0
"""Longer than any outage of a run, and than what it takes to settle after it."""
AGAIN = {"in_progress", "too_many_tries"}
"""Codes of refusals that pass by themselves."""
UNDER_WAY = {"created", "pending", "authorized"}
GATES = 4


class Answer(NamedTuple):
    status: int
    body: Json

    @property
    def code(self) -> str:
        """Why it was refused; empty if it was not."""
        return str(self.body.get("code", "")) if self.status >= 300 else ""


@dataclass
class Somebody:
    user_id: str
    token: str


class Counters:
    """What all clients went through together."""

    def __init__(self) -> None:
        self.told: list[Json] = []
        """What they were told, as `accounting` reads it."""
        self.settled_after_s: list[float] = []
        """From the approval of a payment until its payer was told how it ended."""
        self.happened: Counter[str] = Counter()
        self.asked_again = 0


class Patient:
    """Sends a request until it is answered: no answer, 503 and `AGAIN` are none."""

    def __init__(self, servers: Sequence[str], dice: random.Random, counters: Counters) -> None:
        self._servers = [httpx.AsyncClient(base_url=url, timeout=20) for url in servers]
        self._dice = dice
        self._counters = counters

    async def ask(
        self, who: Somebody | None, method: str, path: str, body: Json | None = None, key: str | None = None
    ) -> Answer:
        """The answer, which may be a refusal.

        Raises:
            Failed: there never was one, or it says that the server does not know what it does.
        """
        headers = {"authorization": f"Bearer {who.token}"} if who else {}
        if key is not None:
            headers["idempotency-key"] = key
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                response = await self._dice.choice(self._servers).request(
                    method, path, json=body, headers=headers
                )
            except httpx.TransportError:
                pass
            else:
                answer = Answer(response.status_code, response.json() if response.content else {})
                if answer.status >= 500 and answer.status != 503:
                    raise Failed(f"{method} {path} was answered with {response.text}")
                if answer.status != 503 and answer.code not in AGAIN:
                    return answer
            self._counters.asked_again += 1
            await asyncio.sleep(self._dice.uniform(0.05, 0.4))
        raise Failed(f"{method} {path} was never answered.")

    async def close(self) -> None:
        for server in self._servers:
            await server.aclose()


class Buyer:
    """Makes trips, one after the other; what it is told goes into `counters.told`."""

    def __init__(
        self,
        name: str,
        servers: Sequence[str],
        simulator: Simulator,
        barcodes: Sequence[str],
        folder: Path,
        seed: str,
        counters: Counters,
    ) -> None:
        self.name = name
        self.dice = random.Random(seed)
        self.simulator = simulator
        self.counters = counters
        self.web = Patient(servers, random.Random(f"{seed} web"), counters)
        self.session_ids: list[str] = []
        self.session_id = ""
        self._servers = servers
        self._barcodes = barcodes
        self._folder = folder
        self._me: Somebody | None = None
        self._made = 0

    def key(self) -> str:
        """A new key or nonce."""
        self._made += 1
        return f"{self.name}-{self._made}"

    def note(self, what: str, **more: object) -> None:
        self.counters.told.append({"is": what, "by": self.name, **more})

    @property
    def me(self) -> Somebody:
        assert self._me
        return self._me

    async def begin(self) -> None:
        """Come into the shop with a new cart and scan a few things, by socket or without."""
        if self._me is None:
            made = await self._must("POST", "/auth/guest", {"name": self.name}, who=None)
            self._me = Somebody(made["user"]["user_id"], made["access_token"])
        session = await self._must("POST", "/session/start", {"store_id": STORE, "budget_limit_minor": None})
        self.session_id = session["session_id"]
        self.session_ids.append(self.session_id)
        things = self.dice.randint(1, 4)
        if self.dice.random() < 0.5:
            await self.scan_without_socket(things)
            return
        seed = f"{self.dice.random()}"
        servers = self.dice.sample(self._servers, len(self._servers))
        phone = ChaosPhone(self.name, self.me, self.session_id, servers, self._folder, seed)
        try:
            await shop(phone, random.Random(seed), self._barcodes, things)
            await phone.do("add", barcode=self._barcodes[0], qty=1)
        finally:
            await phone.hang_up()

    async def scan_without_socket(self, things: int) -> None:
        name = f"{self.name}-{self.key()}"
        seed = f"{self.dice.random()}"
        till = HttpShopper(name, self.me, self.session_id, list(self._servers), self._folder, seed)
        try:
            for _ in range(things):
                await till.do("add", barcode=self.dice.choice(self._barcodes), qty=self.dice.randint(1, 3))
        finally:
            await till.hang_up()

    async def _must(self, method: str, path: str, body: Json | None = None, **more: Any) -> Json:
        """The answer to what cannot be refused."""
        answer = await self.web.ask(more.pop("who", self._me), method, path, body, **more)
        if answer.code:
            raise Failed(f"{self.name}: {method} {path} was refused: {answer.body}")
        return answer.body

    async def start(self) -> Json:
        """Quote the cart and lock it; a payment that waits to be made.

        Raises:
            Failed: there never was one.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            quote = await self.web.ask(
                self.me, "POST", "/checkout/calculate", {"session_id": self.session_id}
            )
            if not quote.code:
                payment = await self._initiate(quote.body)
                if payment is not None:
                    return payment
            elif quote.code != "cart_locked":
                raise Failed(f"{self.name} was not given a quote: {quote.body}")
            await asyncio.sleep(self.dice.uniform(0.05, 0.3))
        raise Failed(f"{self.name} could not start to pay.")

    async def _initiate(self, quote: Json) -> Json | None:
        """None where the cart went on, or is still locked by what came to nothing."""
        key = self.key()
        to_pay = {"quote_id": quote["quote_id"], "signature": quote["signature"]}
        answer = await self.web.ask(self.me, "POST", "/payment/initiate", to_pay, key)
        if answer.code in {"quote_stale", "cart_locked"}:
            return None
        if answer.code:
            raise Failed(f"{self.name} could not start to pay: {answer.body}")
        self.counters.happened["checkouts"] += 1
        self.note("initiated", key=key, payment_id=answer.body["payment_id"], session_id=self.session_id)
        return answer.body if answer.body["status"] in UNDER_WAY and answer.body["pay_url"] else None

    async def becomes(self, payment: Json, but: Collection[str] = UNDER_WAY) -> Json:
        """Wait until the payment is in another state than these.

        Raises:
            Failed: it stays there.
        """
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            seen = await self._must("GET", f"/payment/{payment['payment_id']}")
            if seen["status"] not in but:
                told = {field: seen[field] for field in ("payment_id", "status", "order_id")}
                self.note("payment", **told)
                return seen
            await asyncio.sleep(self.dice.uniform(0.1, 0.4))
        raise Failed(f"{self.name}: {payment['payment_id']} stays {seen['status']}.")

    async def cancel(self, payment: Json) -> bool:
        """Give the payment up; False where its money is on its way."""
        answer = await self.web.ask(self.me, "POST", f"/payment/{payment['payment_id']}/cancel")
        if answer.code and answer.code != "payment_not_cancellable":
            raise Failed(f"{self.name} could not cancel: {answer.body}")
        if not answer.code:
            self.note(
                "payment", payment_id=payment["payment_id"], status=answer.body["status"], order_id=None
            )
            self.counters.happened["cancelled"] += 1
        return not answer.code

    async def leave(self, guard: Somebody, order_id: str) -> None:
        """Ask for the pass and go through the gate, with the same scan twice at once; then try it at another."""
        issued = await self.web.ask(
            self.me, "POST", "/exit-pass/generate", {"order_id": order_id}, self.key()
        )
        if issued.code in {"pass_revoked", "pass_used"}:
            return
        if issued.code:
            raise Failed(f"{self.name} has no pass of {order_id}: {issued.body}")
        self.note("pass", order_id=order_id, pass_id=issued.body["pass_id"])
        self.counters.happened["passes"] += 1
        scan = {"store_id": STORE, "token": issued.body["token"]}
        for _ in range(2):
            asked = {**scan, "gate_id": f"gate-{self.dice.randint(1, GATES)}", "nonce": self.key()}
            await asyncio.gather(
                *(self._scan(guard, order_id, asked) for _ in range(self.dice.randint(1, 2)))
            )

    async def _scan(self, guard: Somebody, order_id: str, scan: Json) -> None:
        verdict = await self._must("POST", "/gate/verify", scan, who=guard)
        self.counters.happened[f"gate {verdict['verdict']}"] += 1
        told = {field: verdict[field] for field in ("verdict", "code")}
        where = {field: scan[field] for field in ("gate_id", "nonce")}
        self.note("scan", order_id=order_id, path="/gate/verify", **where, **told)

    async def refund(self, supervisor: Somebody, payment: Json, *, whole: bool) -> None:
        """Have a supervisor give money back, and wait until it is there or was refused."""
        key, part = self.key(), max(1, payment["amount_minor"] // 3)
        body: Json = {"reason": "A bottle was broken"} | ({} if whole else {"amount_minor": part})
        path = f"/payment/refund/{payment['payment_id']}"
        told = await self._must("POST", path, body, who=supervisor, key=key)
        fields = ("payment_id", "refund_id", "amount_minor")
        self.note("refund", key=key, **{field: told[field] for field in fields})
        again = await self._must("POST", path, body, who=supervisor, key=key)
        self.note("refund", key=key, **{field: again[field] for field in fields})
        self.counters.happened["whole refunds" if whole else "part refunds"] += 1
        await self.becomes(payment, but={"refunding"})
