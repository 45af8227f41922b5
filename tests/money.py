"""R15, judged from what MongoDB holds and from nothing of the server: every order, payment and refund against the ledger."""

from collections import defaultdict
from typing import Any

from backend.kit import mongo

Row = dict[str, Any]


async def judge_money(database: mongo.Database) -> list[str]:
    """What does not add up, in words; nothing if all does."""
    orders = await database["orders"].find().to_list()
    payments = await database["payments"].find().to_list()
    refunds = await database["refunds"].find().to_list()
    entries = await database["money_ledger"].find().to_list()
    passes = {row["_id"] async for row in database["exit_passes"].find({}, {"_id": 1})}
    points = defaultdict[str, int](int)
    async for row in database["points_ledger"].find():
        points[row["order_id"]] += row["points"]
    return [
        *(finding for order in orders for finding in _of_order(order, entries, passes, points)),
        *(finding for payment in payments for finding in _of_payment(payment, refunds, entries)),
        *_of_refunds(refunds, entries),
    ]


def _of_order(order: Row, entries: list[Row], passes: set[str], points: dict[str, int]) -> list[str]:
    """Sum of lines - discount (+ tax that is not in the price) = total = what came in - what went back."""
    totals, name = order["totals"], order["_id"]
    findings = []
    if totals["subtotal_minor"] != sum(line["total_minor"] for line in order["lines"]):
        findings.append(f"{name}: the lines are not the subtotal.")
    if totals["subtotal_minor"] - totals["discount_minor"] != totals["total_minor"]:
        findings.append(f"{name}: subtotal and discount are not the total.")
    kept = sum(entry["amount_minor"] for entry in entries if entry["order_id"] == name)
    refunded = order.get("refunded_minor", 0)
    if kept != totals["total_minor"] - refunded:
        findings.append(f"{name}: {kept} came in and stayed for {totals['total_minor']} - {refunded}.")
    expected = "paid" if not refunded else "refunded" if not kept else "partially_refunded"
    if order["status"] != expected:
        findings.append(f"{name}: is {order['status']}, and {refunded} went back.")
    if name not in passes:
        findings.append(f"{name}: has no pass.")
    share = order["points"] * (totals["total_minor"] - refunded) // totals["total_minor"]
    if points[name] != share:
        findings.append(f"{name}: has {points[name]} points, and {share} are its share.")
    return findings


def _of_payment(payment: Row, refunds: list[Row], entries: list[Row]) -> list[str]:
    """Every paisa that came in is an order's, has gone back, or is on its way back; else a person looks at it."""
    name = payment["_id"]
    net = sum(entry["amount_minor"] for entry in entries if entry["payment_id"] == name)
    of_it = [refund for refund in refunds if refund["payment_id"] == name]
    own = [refund for refund in of_it if refund["cause"] != "second_capture"]
    on_its_way = sum(refund["amount_minor"] for refund in own if refund["status"] in {"requested", "pending"})
    gone = sum(refund["amount_minor"] for refund in own if refund["status"] == "processed")
    second = sum(
        refund["amount_minor"]
        for refund in of_it
        if refund["cause"] == "second_capture" and refund["status"] != "processed"
    )
    findings = []
    if (payment["refunding_minor"], payment["refunded_minor"]) != (on_its_way, gone):
        findings.append(f"{name}: its refunds are {on_its_way} and {gone}, it says otherwise.")
    if net - second != payment["captured_minor"] - gone and payment["status"] != "integrity_failure":
        findings.append(f"{name}: the ledger has {net}, {second} of it to go back as captured twice.")
    if payment["captured_minor"] > gone + on_its_way and not (
        payment["order_id"] or payment["status"] == "integrity_failure"
    ):
        findings.append(f"{name}: is {payment['status']} and keeps money for nothing.")
    return findings


def _of_refunds(refunds: list[Row], entries: list[Row]) -> list[str]:
    """Exactly what was processed is in the ledger."""
    entered = {
        entry["_id"]: -entry["amount_minor"] for entry in entries if entry["_id"].startswith("refund:")
    }
    processed = {
        f"refund:{refund['_id']}": refund["amount_minor"]
        for refund in refunds
        if refund["status"] == "processed"
    }
    differing = entered.items() ^ processed.items()
    return [f"{name} of {amount} is not in both ledger and refunds." for name, amount in sorted(differing)]
