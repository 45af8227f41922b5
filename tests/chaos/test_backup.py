"""A backup taken while families scan, pay and leave is a database that a server could go on with."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

from backend.carts import CartLog
from backend.carts.events import Entry
from backend.carts.rules import apply
from backend.carts.state import CartState
from backend.kit import mongo
from tests.chaos.machines import ROOT, Machines, running
from tests.chaos.paying import shop_pay_and_leave
from tests.chaos.rounds import Plan, Size, shop_through
from tests.chaos.shopping import Crowd, goods_of

RESTORED = "restored"
SIZE = Size(carts=4, members=3, pause_s=0.1)
PAYERS = 4


async def command(machines: Machines, action: str, file: Path, database: str) -> str:
    """What an operator runs; what it says."""
    told = {"MONGODB_URL": machines.mongo.url, "QLESS_DATABASE": database}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.backup", action, str(file)),
        cwd=ROOT,
        env=os.environ | told,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode().strip()


async def pay_again_and_again(machines: Machines, barcodes: list[str], n: int, over: asyncio.Event) -> int:
    trips = 0
    while not over.is_set():
        await shop_pay_and_leave(machines, barcodes, n + trips)
        trips += 1
    return trips


def replay(entries: list[Entry]) -> CartState | None:
    state = None
    for entry in entries:
        state = apply(state, entry)
    return state


async def check_carts(before: mongo.Database, after: mongo.Database) -> int:
    """Every restored cart is what its log had been at some seq; no snapshot is ahead of its log. How many events."""
    session_ids = await after["cart_events"].distinct("_id.s")
    events = 0
    for session_id in session_ids:
        restored, whole = [await CartLog(each).tail(session_id, 0) for each in (after, before)]
        assert [entry.seq for entry in restored] == list(range(1, len(restored) + 1))
        assert restored == whole[: len(restored)]
        assert replay(restored) == replay(whole[: len(restored)]) is not None
        events += len(restored)
        snapshot = await after["sessions"].find_one({"_id": session_id})
        assert snapshot is None or snapshot["seq"] <= len(restored)
    assert await after["sessions"].count_documents({"_id": {"$nin": session_ids}}) == 0
    return events


async def check_money(after: mongo.Database) -> int:
    """Each order has its pass, its payment and its money, and what is owed for it stands in the outbox; how many."""
    orders = await after["orders"].find().to_list()
    ids = {order["_id"] for order in orders}
    assert ids == {issued["_id"] async for issued in after["exit_passes"].find()}
    for order in orders:
        payment = await after["payments"].find_one({"order_id": order["_id"]})
        assert payment
        assert payment["status"] == "captured"
        entered = await after["money_ledger"].find({"order_id": order["_id"]}).to_list()
        assert sum(entry["amount_minor"] for entry in entered) == order["totals"]["total_minor"]
        paid = await after["cart_events"].find_one(
            {"_id.s": order["session_id"], "event.order_id": order["_id"]}
        )
        owed = await after["outbox"].find_one(
            {"kind": "cart_paid", "payload.order_id": order["_id"], "pending": True}
        )
        assert paid or owed
    assert await after["payments"].count_documents({"status": "captured", "order_id": None}) == 0
    assert ids >= set(await after["money_ledger"].distinct("order_id")) - {None}
    return len(orders)


async def test_backup_under_load(plan: Plan, told: Mapping[str, str], tmp_path: Path) -> None:
    files: list[Path] = []
    said: list[str] = []
    async with running(tmp_path, told, plan.lasts_s) as machines:
        barcodes = (await goods_of(machines.urls[0])).barcodes[:3]

        async def trouble(_: Crowd) -> None:
            over = asyncio.Event()
            payers = [
                asyncio.create_task(pay_again_and_again(machines, barcodes, n, over)) for n in range(PAYERS)
            ]
            for number in range(plan.count(2, 10)):
                await asyncio.sleep(1.5)
                files.append(tmp_path / f"{number}.zip")
                said.append(await command(machines, "save", files[-1], machines.database))
            over.set()
            await asyncio.gather(*payers)

        await shop_through(machines, SIZE, f"{plan.seed}", tmp_path / "diaries", trouble)
        events = orders = 0
        async with AsyncMongoClient[dict[str, Any]](machines.mongo.url, tz_aware=True) as client:
            for number, file in enumerate(files):
                name = f"{RESTORED}_{number}"
                await command(machines, "restore", file, name)
                events += await check_carts(client[machines.database], client[name])
                orders += await check_money(client[name])
    assert events
    assert orders
    plan.tell("backup", n=f"{len(files)} under load", events=events, orders=orders, wrong=0, last=said[-1])
