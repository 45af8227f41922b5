"""The weekly shop on the stack that `scripts/run` starts: one process, then two."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from backend.kit.embedded import free_port
from tests.drawing import draw, read_qr
from tests.phones import Frame, Phone, pick_up
from tests.world import Person, guest

SHOPPER = "+919000000001"
GATE = "gate@demo.qless.example"
ITEMS = 40


class Stack(NamedTuple):
    """A running Q-Less as a newcomer has it."""

    address: str
    password: str
    workers: int


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, project: Path
) -> Iterator[Stack]:
    """`python -m backend` on free ports with a data folder of its own."""
    data = tmp_path_factory.mktemp("data")
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k not in {"MONGODB_URL", "REDIS_URL"}}
    command = [sys.executable, "-m", "backend", "--port", str(port), "--data", str(data)]
    command += ["--workers", str(request.param)]
    process = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        assert process.poll() is None, "the stack did not start"
        password = json.loads((data / "secrets.json").read_text())["demo_password"]
        yield Stack(f"http://127.0.0.1:{port}", password, request.param)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode == 0


@pytest.fixture
async def web(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.address, timeout=20) as client:
        yield client


async def sign_in(web: httpx.AsyncClient, stack: Stack, **contact: str) -> Person:
    response = await web.post("/auth/login", json={**contact, "password": stack.password})
    assert response.status_code == 200, response.text
    return Person(web, response.json())


async def demo_barcodes(web: httpx.AsyncClient) -> list[tuple[str, int]]:
    """Barcode and price of forty products of the demo store."""
    answer = await web.get("/products", params={"page_size": 100})
    products = answer.json()["items"]
    assert len(products) >= 60
    return [(product["barcode"], product["price_minor"]) for product in products[:ITEMS]]


async def spread_over(
    stack: Stack, session_id: str, family: list[Person], cleanup: AsyncExitStack
) -> list[Phone]:
    """A phone for each member; with two processes, some at each."""
    phones: list[Phone] = []
    for person in family:
        for _ in range(40):
            phone = await pick_up(stack.address, session_id, person.token)
            processes = {other.served_by for other in [*phones, phone]}
            if len(processes) == stack.workers or len(phones) + 1 < stack.workers:
                break
            await phone.hang_up()
        phones.append(phone)
        cleanup.push_async_callback(phone.hang_up)
    assert len({phone.served_by for phone in phones}) == stack.workers
    return phones


async def scan_all(phone: Phone, barcodes: list[str]) -> None:
    for barcode in barcodes:
        await phone.scan(barcode)


async def drop_out_and_come_back(
    phone: Phone, stack: Stack, session_id: str, person: Person, barcodes: list[str]
) -> Phone:
    """Scan half, send one more and lose the network before its answer; come back, send it again, scan the rest."""
    half = len(barcodes) // 2
    await scan_all(phone, barcodes[:half])
    last = {"type": "add", "id": "before-the-tunnel", "barcode": barcodes[half]}
    await phone.send(last)
    phone.drop()
    await asyncio.sleep(0.3)
    back = await pick_up(stack.address, session_id, person.token, phone)
    await back.send(last)
    await back.until(lambda frame: frame["type"] == "ack" and frame["id"] == "before-the-tunnel")
    await scan_all(back, barcodes[half + 1 :])
    return back


def flags(phone: Phone) -> list[str]:
    """The budget's flags in the order they were shown, without repetition."""
    shown = [frame["budget"]["status"] for frame in phone.frames if frame["type"] == "event"]
    return [flag for n, flag in enumerate(shown) if n == 0 or shown[n - 1] != flag]


async def shop_together(
    stack: Stack, web: httpx.AsyncClient, host: Person, cleanup: AsyncExitStack
) -> tuple[str, list[Phone]]:
    """Four phones scan forty products at once; every screen ends the same."""
    goods = await demo_barcodes(web)
    total = sum(price for _, price in goods)
    session = await host.post(
        "/session/start", {"store_id": "store_demo_blr", "budget_limit_minor": total * 10 // 11}
    )
    session_id = session["session_id"]
    family = [host, *[await guest(web, name) for name in ("Asha", "Ravi", "Meera")]]
    for member in family[1:]:
        await member.post("/session/join", {"token": session["join"]["token"]})
    phones = await spread_over(stack, session_id, family, cleanup)
    share = [[barcode for barcode, _ in goods[n::4]] for n in range(4)]
    async with asyncio.TaskGroup() as scanning:
        for n, phone in enumerate(phones[:3]):
            scanning.create_task(scan_all(phone, share[n]))
        tunnel = drop_out_and_come_back(phones[3], stack, session_id, family[3], share[3])
        coming_back = scanning.create_task(tunnel)
    phones[3] = coming_back.result()
    cleanup.push_async_callback(phones[3].hang_up)
    last = max(phone.seq for phone in phones)
    await asyncio.gather(*(phone.reaches(last) for phone in phones))
    for phone in phones:
        assert phone.lines == phones[0].lines
        assert phone.gaps == 0
        assert (phone.totals["total_minor"], len(phone.lines)) == (total, ITEMS)
    assert {line["added_by"] for line in phones[0].lines.values()} == {member.user_id for member in family}
    assert flags(phones[0]) == ["SAFE", "WARNING", "DANGER"]
    return session_id, phones


async def pay_in_the_simulator(
    web: httpx.AsyncClient, host: Person, session_id: str, phones: list[Phone]
) -> str:
    """Quote, initiate, approve as the UPI app would; the order's id comes to the payer alone."""
    quote = await host.post("/checkout/calculate", {"session_id": session_id})
    to_pay = {"quote_id": quote["quote_id"], "signature": quote["signature"]}
    payment = await host.post("/payment/initiate", to_pay)
    assert f"tr={payment['payment_id']}" in payment["upi_uri"]
    assert [text[:10] for text in read_qr(draw(payment["qr_svg"]))] == ["upi://pay?"]
    approved = await web.post(payment["pay_url"] + "/approve")
    assert approved.status_code == 200
    notice = await phones[0].until(lambda frame: frame["type"] == "notice")
    assert (notice["kind"], notice["data"]["payment_id"]) == ("payment_captured", payment["payment_id"])
    for phone in phones:
        await phone.until(lambda frame: frame["type"] == "event" and frame["event"] == "cart_paid")
    assert not [frame for phone in phones[1:] for frame in phone.frames if frame["type"] == "notice"]
    order_id: str = notice["data"]["order_id"]
    order = await host.get(f"/orders/{order_id}")
    assert order["totals"] == quote["totals"]
    assert sum(line["total_minor"] for line in order["lines"]) == payment["amount_minor"]
    return order_id


async def test_a_family_shops_pays_and_leaves(stack: Stack, web: httpx.AsyncClient) -> None:
    host = await sign_in(web, stack, phone=SHOPPER)
    points = (await host.get("/rewards/balance"))["points"]
    async with AsyncExitStack() as cleanup:
        session_id, phones = await shop_together(stack, web, host, cleanup)
        order_id = await pay_in_the_simulator(web, host, session_id, phones)

    issued = await host.post("/exit-pass/generate", {"order_id": order_id})
    (read,) = read_qr(draw(issued["qr_svg"]))
    guard = await sign_in(web, stack, email=GATE)
    scan: Frame = {"store_id": "store_demo_blr", "gate_id": "gate-1", "token": read, "nonce": "n1"}
    first = await guard.post("/gate/verify", scan)
    second = await guard.post("/gate/verify", {**scan, "nonce": "n2", "gate_id": "gate-2"})
    assert (first["verdict"], first["order"]["item_count"]) == ("open", ITEMS)
    assert (second["verdict"], second["code"]) == ("refuse", "already_used")

    order = await host.get(f"/orders/{order_id}")
    assert (await host.get("/rewards/balance"))["points"] == points + order["points"] > points
    history = await host.get("/orders/history")
    assert history["items"][0]["order_id"] == order_id
