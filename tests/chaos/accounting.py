"""Judges money and gate after a run, from what clients were told, the raw documents, and the gateway's own books.

It shares no code with the server and with the gateway. It asks

- of each capture in the gateway's books: it is exactly one order with exactly one pass, or all of it went back;
- of the ledger: it is the gateway's captures and refunds, one entry each, and nothing else;
- of the gate: one scan of all opened for an order, and exactly for the orders whose pass is used up;
- of what clients were told: it is so, once for each of their keys;
- of the webhooks that were answered with 2xx: each is in the inbox;
- of everything: nothing waits, is locked or is on its way (`stuck`).

Each finding is a sentence; none means that nothing was wrong.

Clients tell, each a dictionary:

    {"is": "initiated", "key", "payment_id", "session_id"}
    {"is": "payment", "payment_id", "status", "order_id"}           as it was shown last
    {"is": "pass", "order_id", "pass_id"}
    {"is": "scan", "order_id", "path", "gate_id", "nonce", "verdict", "code"}
    {"is": "refund", "key", "payment_id", "refund_id", "amount_minor"}
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

Document = dict[str, Any]

WAITING = {"created", "pending", "authorized", "refunding"}
ON_ITS_WAY = {"requested", "pending"}
COLLECTIONS = (
    "orders",
    "payments",
    "refunds",
    "exit_passes",
    "money_ledger",
    "webhook_events",
    "outbox",
    "cart_events",
)


class Evidence(NamedTuple):
    """What is left of a run.

    Attributes:
        told: what clients were told, of all clients.
        books: the gateway's orders, with their payments and refunds.
        rows: all documents of each of `COLLECTIONS`.
        taken: ids of the gateway's events that were answered with 2xx.
    """

    told: Sequence[Document]
    books: Sequence[Document]
    rows: Mapping[str, Sequence[Document]]
    taken: Collection[str]

    def of(self, kind: str) -> Iterator[Document]:
        """What was told of one kind."""
        return (each for each in self.told if each["is"] == kind)


def judge_accounts(evidence: Evidence) -> list[str]:
    """Everything that is wrong once all has come to its end, but what is `stuck`."""
    return [
        *judge_captures(evidence),
        *judge_orders(evidence),
        *judge_ledger(evidence),
        *judge_gate(evidence),
        *judge_told(evidence),
        *judge_inbox(evidence),
    ]


def captures(books: Iterable[Document]) -> dict[str, tuple[str, int]]:
    """Of each captured payment of the gateway: whose reference it is under, and how much came in."""
    return {
        payment["payment_id"]: (order["reference"], payment["amount_minor"])
        for order in books
        for payment in order["payments"]
        if payment["status"] == "captured"
    }


def gone_back(books: Iterable[Document]) -> dict[str, dict[str, int]]:
    """Of each payment of the gateway: its processed refunds, by our reference."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for order in books:
        for refund in order["refunds"]:
            if refund["status"] == "processed":
                found[refund["payment_id"]][refund["reference"]] = refund["amount_minor"]
    return found


def judge_captures(evidence: Evidence) -> list[str]:
    """Each capture bought one order with a pass, or went back."""
    findings = []
    back = gone_back(evidence.books)
    bought = _orders_by_capture(evidence)
    passes = Counter(row["_id"] for row in evidence.rows["exit_passes"])
    for capture, (reference, amount) in captures(evidence.books).items():
        orders = bought.get(capture, [])
        returned = sum(back[capture].values()) if capture in back else 0
        if len(orders) > 1:
            findings.append(f"{capture} of {reference} made {len(orders)} orders.")
        if not orders and returned != amount:
            findings.append(
                f"{capture} of {reference} took {amount}, made no order, and {returned} went back."
            )
        if returned > amount:
            findings.append(f"{capture} of {reference} took {amount}, and {returned} went back.")
        for order in orders:
            if order["totals"]["total_minor"] != amount:
                findings.append(f"{order['_id']} is of {order['totals']['total_minor']}; {amount} came in.")
            if passes[order["_id"]] != 1:
                findings.append(f"{order['_id']} has {passes[order['_id']]} passes.")
    return findings


def _orders_by_capture(evidence: Evidence) -> dict[str, list[Document]]:
    of_payment = {row["_id"]: row["gateway_payment_id"] for row in evidence.rows["payments"]}
    found: dict[str, list[Document]] = defaultdict(list)
    for order in evidence.rows["orders"]:
        found[of_payment.get(order["payment_id"]) or ""].append(order)
    return found


def judge_orders(evidence: Evidence) -> list[str]:
    """No order for nothing, none twice, no pass without one."""
    paid = captures(evidence.books)
    findings = [
        f"{order['_id']} is of {order['payment_id']}, which was not captured."
        for capture, orders in _orders_by_capture(evidence).items()
        for order in orders
        if paid.get(capture, ("", 0))[0] != order["payment_id"]
    ]
    for field in ("checkout_id", "session_id"):
        times = Counter(order[field] for order in evidence.rows["orders"])
        findings += [f"{name} became {n} orders." for name, n in times.items() if n > 1]
    known = {order["_id"] for order in evidence.rows["orders"]}
    lost = [row["_id"] for row in evidence.rows["exit_passes"] if row["_id"] not in known]
    return [*findings, *(f"There is a pass of {name}, which is no order." for name in lost)]


def judge_ledger(evidence: Evidence) -> list[str]:
    """The ledger is the gateway's books, payment by payment."""
    expected: Counter[str] = Counter()
    for capture, (_, amount) in captures(evidence.books).items():
        expected[f"capture:sandbox:{capture}"] += amount
    for refunds in gone_back(evidence.books).values():
        for reference, amount in refunds.items():
            expected[f"refund:{reference}"] -= amount
    found: Counter[str] = Counter()
    for row in evidence.rows["money_ledger"]:
        found[row["_id"]] += row["amount_minor"]
    return [
        f"The ledger has {found.get(name)} of {name}; the gateway has {expected.get(name)}."
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def judge_gate(evidence: Evidence) -> list[str]:
    """One scan opens for an order; the same scan has one answer; a pass is used up by who was told `open`."""
    findings = []
    answers: dict[tuple[str, ...], set[tuple[str, str]]] = defaultdict(set)
    opened: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for scan in evidence.of("scan"):
        name = (scan["path"], scan["gate_id"], scan["nonce"])
        answers[name].add((scan["verdict"], scan["code"]))
        if scan["verdict"] == "open":
            opened[scan["order_id"]].add(name)
    findings += [f"{name} was answered {told}." for name, told in answers.items() if len(told) > 1]
    used = {row["_id"] for row in evidence.rows["exit_passes"] if row["status"] == "used"}
    for order_id in sorted(opened.keys() | used):
        scans = opened.get(order_id, set())
        if len(scans) > 1:
            findings.append(f"{order_id} opened a gate {len(scans)} times: {sorted(scans)}.")
        if scans and order_id not in used:
            findings.append(f"{order_id} opened a gate and its pass is not used up.")
        if not scans:
            findings.append(f"The pass of {order_id} is used up and nobody was let out.")
    return findings


def judge_told(evidence: Evidence) -> list[str]:
    """What a client was told is so; a key had one effect; what nobody asked for is not there."""
    findings = []
    payments = {row["_id"]: row for row in evidence.rows["payments"]}
    orders = {row["_id"] for row in evidence.rows["orders"]}
    for told in evidence.of("payment"):
        row = payments.get(told["payment_id"])
        if row is None:
            findings.append(f"{told['payment_id']} was shown as {told['status']} and is not there.")
        elif told["order_id"] and (told["order_id"], True) != (row["order_id"], row["order_id"] in orders):
            findings.append(f"{told['payment_id']} was told to be {told['order_id']}, and is not.")
        elif told["status"] not in {each["status"] for each in row["history"]}:
            findings.append(f"{told['payment_id']} was shown as {told['status']}, which it never was.")
    passes = {row["_id"] for row in evidence.rows["exit_passes"]}
    given = {told["order_id"] for told in evidence.of("pass")}
    findings += [f"{name} was given a pass, and has none." for name in sorted(given - passes)]
    for kind, made in (("initiated", "payment_id"), ("refund", "refund_id")):
        effects: dict[str, set[str]] = defaultdict(set)
        for told in evidence.of(kind):
            effects[told["key"]].add(told[made])
        findings += [f"The key {key} made {ids}." for key, ids in effects.items() if len(ids) > 1]
    return [*findings, *_judge_refunds(evidence)]


def _judge_refunds(evidence: Evidence) -> list[str]:
    findings = []
    asked = {row["_id"]: row for row in evidence.rows["refunds"] if row["cause"] == "asked"}
    told = {each["refund_id"]: each for each in evidence.of("refund")}
    for refund_id in sorted(asked.keys() | told.keys()):
        if refund_id not in asked:
            findings.append(f"{refund_id} was answered and is not there.")
        elif refund_id not in told:
            findings.append(f"{refund_id} is a refund that nobody was told of.")
        else:
            fields = ("payment_id", "amount_minor")
            if [asked[refund_id][field] for field in fields] != [told[refund_id][field] for field in fields]:
                findings.append(f"{refund_id} is not what was answered.")
    return findings


def judge_inbox(evidence: Evidence) -> list[str]:
    """2xx was said after the commit."""
    inbox = {row["_id"] for row in evidence.rows["webhook_events"]}
    lost = sorted(event for event in evidence.taken if f"sandbox:{event}" not in inbox)
    return [f"{event} was answered with 2xx and is not in the inbox." for event in lost]


def stuck(rows: Mapping[str, Sequence[Document]], books: Iterable[Document], now: datetime) -> list[str]:
    """What has not come to its end yet.

    The row that undoes the lock of a late success a minute later is no sign of trouble before its time.
    """
    entered = {row["_id"] for row in rows["money_ledger"]}
    return [
        *(
            f"{capture} of {reference} is not in the ledger."
            for capture, (reference, _) in captures(books).items()
            if f"capture:sandbox:{capture}" not in entered
        ),
        *(
            f"{row['_id']} is {row['status']} since {row['history'][-1]['at']:%H:%M:%S}."
            for name, states in (("payments", WAITING), ("refunds", ON_ITS_WAY))
            for row in rows[name]
            if row["status"] in states
        ),
        *(f"The cart {session_id} is locked." for session_id in _locked(rows["cart_events"])),
        *(
            f"The outbox has {row['kind']} of {row['payload']}, tried {row['attempts']} times."
            for row in rows["outbox"]
            if row.get("pending") and (row["attempts"] or row["due_at"] <= now)
        ),
    ]


def _locked(events: Iterable[Document]) -> list[str]:
    state: dict[str, str] = {}
    for event in sorted(events, key=lambda each: (each["_id"]["s"], each["_id"]["n"])):
        name = event["event"]["name"]
        if name in {"checkout_locked", "checkout_unlocked", "cart_paid"}:
            state[event["_id"]["s"]] = name
    return [session_id for session_id, name in state.items() if name == "checkout_locked"]
