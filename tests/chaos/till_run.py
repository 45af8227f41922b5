"""R1 as a whole: shoppers pay and leave while servers, mongod and Redis are killed; then the books are judged."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from tests.chaos import diary
from tests.chaos.accounting import COLLECTIONS, Document, Evidence, captures, judge_accounts, stuck
from tests.chaos.buyer import Buyer, Counters, Patient, Somebody
from tests.chaos.checker import Cart, judge_answers, judge_log, judge_model, judge_order, seq_of
from tests.chaos.killing import kill_everything
from tests.chaos.machines import Machines, running
from tests.chaos.paying import majority
from tests.chaos.phone import Failed
from tests.chaos.shopping import Goods, goods_of
from tests.chaos.simulator import NEWEST, Json, Relay, Simulator, simulating
from tests.chaos.trips import Staff, trip
from tests.money import judge_money

BUYERS = 8
KILLS_A_ROUND = 10
"""Of each kind; then everybody finishes, everything is judged, and the next round has new carts."""
SETTLES_WITHIN_S = 60.0
"""After the last kill nothing is stuck any more."""
PAYMENT_TTL_S = 20
"""So short that who walks off is noticed within the run."""
REFUSALS = frozenset({"cart_locked", "cart_closed", "line_not_found"})


@dataclass
class Outcome:
    """What a run went through, and what is wrong."""

    counters: Counters = field(default_factory=Counters)
    killed: Counter[str] = field(default_factory=Counter)
    books: dict[str, Json] = field(default_factory=dict)
    """The gateway's orders."""
    rows: Mapping[str, Sequence[Document]] = field(default_factory=dict)
    webhooks: Counter[str] = field(default_factory=Counter)
    scans: int = 0
    quiet_after_s: list[float] = field(default_factory=list)
    """Of each round: from the last kill until nothing was stuck."""
    findings: list[str] = field(default_factory=list)

    @property
    def figures(self) -> dict[str, object]:
        """In the order to be read."""
        happened = self.counters.happened
        kinds = Counter(name.partition("-")[0] for name in self.killed.elements())
        refunds = Counter(f"{row['cause']} {row['status']}" for row in self.rows.get("refunds", ()))
        return {
            "kills": _listed(kinds),
            "checkouts": happened.pop("checkouts", 0),
            "captures": len(captures(self.books.values())),
            "orders": len(self.rows.get("orders", ())),
            "passes": happened.pop("passes", 0),
            "refunds": _listed(refunds),
            "gate": _listed(_taken_out(happened, "gate ")),
            "webhooks": _listed(self.webhooks),
            "asked_again": self.counters.asked_again,
            "scans_acknowledged": self.scans,
            "also": _listed(happened),
            "slowest_payment_s": round(max(self.counters.settled_after_s, default=0), 1),
            "quiet_after_s": round(max(self.quiet_after_s, default=0), 1),
            "findings": len(self.findings),
        }


def _taken_out(happened: Counter[str], prefix: str) -> Counter[str]:
    names = [name for name in happened if name.startswith(prefix)]
    return Counter({name.removeprefix(prefix): happened.pop(name) for name in names})


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counted.items())) or "none"


def _finding(error: BaseException) -> str:
    """Somebody was left without what was promised; anything else is not judged but raised."""
    if not isinstance(error, Failed):
        raise error
    return str(error)


class TillRun:
    """Two servers, the gateway, and people who buy."""

    def __init__(self, machines: Machines, simulator: Simulator, relay: Relay, folder: Path) -> None:
        self.outcome = Outcome()
        self._machines = machines
        self._simulator = simulator
        self._relay = relay
        self._folder = folder

    async def open(self) -> None:
        """Sign the staff in, and learn what there is to buy."""
        relay_to = self._machines.urls
        self._relay.servers = relay_to
        self._goods: Goods = (await goods_of(relay_to[0])).only(60)
        self._staff = Staff(await self._sign_in("gate"), await self._sign_in("supervisor"))

    async def _sign_in(self, role: str) -> Somebody:
        web = Patient(self._machines.urls, Random(0), self.outcome.counters)
        credentials = {"email": f"{role}@demo.qless.example", "password": self._machines.password}
        answer = await web.ask(None, "POST", "/auth/login", credentials)
        await web.close()
        return Somebody(answer.body["user"]["user_id"], answer.body["access_token"])

    async def round(self, kills: int, seed: str, seconds: float) -> None:
        """Kill, let everybody finish, and judge all that there is.

        Args:
            seconds: how long there may be kills.
        """
        over = asyncio.Event()
        dice = Random(seed)
        buyers = [
            Buyer(
                f"{seed.replace(' ', '-')}-b{n}",
                self._machines.urls,
                self._simulator,
                self._goods.barcodes,
                self._folder,
                f"{seed} {n}",
                self.outcome.counters,
            )
            for n in range(BUYERS)
        ]
        buying = [asyncio.create_task(self._buy(buyer, over)) for buyer in buyers]
        try:
            until = time.monotonic() + seconds
            self.outcome.killed += await kill_everything(self._machines, kills, dice, until)
            last_kill = time.monotonic()
            over.set()
            left_alone = await asyncio.gather(*buying, return_exceptions=True)
            self.outcome.findings += [_finding(error) for error in left_alone if error is not None]
            await self._quiet(last_kill)
        finally:
            for task in buying:
                task.cancel()
            await asyncio.gather(*buying, return_exceptions=True)
        await self._judge(buyers)

    async def _buy(self, buyer: Buyer, over: asyncio.Event) -> None:
        try:
            while not over.is_set():
                await trip(buyer, self._staff)
        finally:
            await buyer.web.close()

    async def _note_books(self) -> None:
        """What the gateway says of this round's orders; nothing changes about those of the rounds before."""
        newest = {order["order_id"]: order for order in await self._simulator.newest_orders()}
        fresh = newest.keys() - self.outcome.books.keys()
        assert len(fresh) < NEWEST, "a round had more orders than the gateway lists"
        self.outcome.books |= newest

    async def _rows(self) -> dict[str, list[Document]]:
        """All documents of what is judged, as a majority has them."""
        async with majority(self._machines) as database:
            return {name: await database[name].find().to_list() for name in COLLECTIONS}

    async def _quiet(self, last_kill: float) -> None:
        """Wait until nothing is stuck; what still is after a minute is a finding."""
        while True:
            await self._note_books()
            left = stuck(await self._rows(), self.outcome.books.values(), datetime.now(UTC))
            passed = time.monotonic() - last_kill
            if not left or passed > SETTLES_WITHIN_S:
                break
            await asyncio.sleep(0.5)
        self.outcome.quiet_after_s.append(passed)
        self.outcome.findings += left
        if passed > SETTLES_WITHIN_S:
            self.outcome.findings.append(f"{passed:.0f} s after the last kill not all was settled.")

    async def _judge(self, buyers: Sequence[Buyer]) -> None:
        outcome = self.outcome
        outcome.rows = await self._rows()
        outcome.webhooks = self._relay.answers
        books = list(outcome.books.values())
        evidence = Evidence(outcome.counters.told, books, outcome.rows, self._relay.taken)
        outcome.findings += judge_accounts(evidence)
        async with majority(self._machines) as database:
            outcome.findings += await judge_money(database)
        self._judge_carts({each for buyer in buyers for each in buyer.session_ids})

    def _judge_carts(self, session_ids: set[str]) -> None:
        """Every acknowledged scan is in its cart's log, and what was in the cart is in its order."""
        logs: dict[str, list[Document]] = {each: [] for each in session_ids}
        for document in sorted(self.outcome.rows["cart_events"], key=seq_of):
            if document["_id"]["s"] in logs:
                logs[document["_id"]["s"]].append(document)
        orders = {order["session_id"]: order for order in self.outcome.rows["orders"]}
        diaries: dict[str, list[diary.Diary]] = {each: [] for each in session_ids}
        for each in diary.read_all(self._folder):
            if each.session_id in diaries:
                diaries[each.session_id].append(each)
        for session_id, log in logs.items():
            cart = Cart(log, diaries[session_id])
            findings = [
                *judge_log(log),
                *judge_model(cart, self._goods.prices),
                *judge_answers(cart, REFUSALS),
            ]
            if session_id in orders:
                findings += judge_order(cart, orders[session_id])
            self.outcome.findings += [f"{session_id}: {finding}" for finding in findings]
            self.outcome.scans += sum(
                record["is"] == "got" and record["frame"]["type"] == "ack"
                for each in cart.diaries
                for record in each.records
            )


async def run_till(
    folder: Path, kills: int, seed: int, lasts_s: float, seconds: float = float("inf")
) -> Outcome:
    """So many kills of each kind while people pay and leave; what became of everything.

    Args:
        lasts_s: when the run is ended, should it hang.
        seconds: how long there may be kills.

    Raises:
        TimeoutError: the run hung.
    """
    ends = time.monotonic() + seconds
    async with simulating(folder) as (simulator, relay):
        told = {**simulator.told, "QLESS_PAYMENT_TTL_S": str(PAYMENT_TTL_S)}
        async with running(folder, told, lasts_s) as machines:
            run = TillRun(machines, simulator, relay, folder)
            await run.open()
            for number in range(0, kills, KILLS_A_ROUND):
                left = ends - time.monotonic()
                if left <= 0 or run.outcome.findings:
                    break
                await run.round(min(KILLS_A_ROUND, kills - number), f"{seed} {number}", left)
            return run.outcome
