"""What Prometheus gets of a shopping trip, what it never gets, and who can read it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from litestar import Litestar
from prometheus_client.parser import text_string_to_metric_families

from backend import documents, errors
from backend.app import create_app
from backend.exits.rules import Reason
from backend.kit import mongo
from backend.kit.embedded import EmbeddedMongo, free_port
from backend.kit.ids import new_id
from backend.kit.outbox import OutboxDocument
from backend.live import CloseCode
from backend.payments.settle import Outcome
from backend.settings import Settings
from tests import monitoring
from tests.factories import FakeClock
from tests.phones import phone_at
from tests.support import running, serving
from tests.world import (
    Trip,
    deliver,
    gateway_event,
    guest,
    open_store,
    pay,
    services_of,
    signed,
    staff_member,
    start_session,
    stock,
)

pytestmark = pytest.mark.usefixtures("sandbox")

Sample = tuple[str, frozenset[tuple[str, str]]]


class Figures(dict[Sample, float]):
    """The samples of one scrape."""

    @classmethod
    def read(cls, text: str) -> "Figures":
        families = text_string_to_metric_families(text)
        return cls(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
            }
        )

    def of(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.items() if found == name and wanted <= has)


class Served(NamedTuple):
    app: Litestar
    address: str
    metrics: str

    async def scrape(self) -> Figures:
        return Figures.read(await self.text())

    async def text(self) -> str:
        async with httpx.AsyncClient() as client:
            response = await client.get(self.metrics)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        return response.text


@pytest.fixture
async def served(settings: Settings, database: mongo.Database, clock: FakeClock) -> AsyncIterator[Served]:
    own = msgspec.structs.replace(settings, qless_metrics_port=free_port())
    app = create_app(own, clock)
    async with serving(app) as address:
        yield Served(app, address, f"http://127.0.0.1:{app.state.metrics_port}/metrics")
    await documents.bind(database)


@pytest.fixture
async def web(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.address, timeout=30) as client:
        yield client


async def shopped(served: Served, web: httpx.AsyncClient) -> tuple[Trip, dict[str, Any]]:
    """A trip with a known and an unknown scan, paid and through the gate; and its pass."""
    services = services_of(served.app)
    store = await open_store(services)
    products = await stock(services, 1_000)
    host = await guest(web, "Asha")
    session = await start_session(host, store)
    async with phone_at(served.address, session["session_id"], host.token) as phone:
        await phone.scan(products[0].barcode)
        await phone.scan(products[0].barcode)
        assert (await phone.command("add", barcode="4006381333931"))["code"] == "product_not_found"
        assert (await served.scrape()).of("qless_sockets_open") == 1
    quote = await host.post("/checkout/calculate", {"session_id": session["session_id"]})
    trip = Trip(host, store, products, session["session_id"], quote)
    order_id = await pay(served.app, web, trip)
    issued = await host.post("/exit-pass/generate", {"order_id": order_id})
    guard = await staff_member(services, web, store.store_id)
    for nonce in ("n1", "n2"):
        body = {"store_id": store.store_id, "gate_id": "g1", "token": issued["token"], "nonce": nonce}
        await guard.post("/gate/verify", body)
    return trip, issued


class TestFigures:
    async def test_of_a_trip_are_counted_where_they_happen(
        self, served: Served, web: httpx.AsyncClient
    ) -> None:
        before = await served.scrape()
        await shopped(served, web)
        after = await served.scrape()

        def grew(name: str, **labels: str) -> float:
            return after.of(name, **labels) - before.of(name, **labels)

        commands = "qless_cart_commands_total"
        assert grew(commands, command="add_item", outcome="acknowledged") == 2
        assert grew(commands, command="add_item", outcome="product_not_found") == 1
        assert grew(commands, command="mark_paid", outcome="acknowledged") == 1
        assert grew("qless_cart_answer_seconds_count") == grew(commands) - 1
        assert grew("qless_cart_commit_events_sum") == grew(commands, outcome="acknowledged")
        assert grew("qless_cart_commit_seconds_count") == grew("qless_cart_commit_wait_seconds_count") > 0
        assert grew("qless_catalog_reads_total", level="mongodb", found="yes") == 1
        assert grew("qless_catalog_reads_total", level="memory", found="yes") == 1
        assert grew("qless_catalog_reads_total", found="no") == 1
        assert grew("qless_sockets_closed_total", code="1000") == 1
        assert grew("qless_gateway_events_total", source="webhook", outcome="paid") == 1
        assert grew("qless_payments_ended_total", status="captured") == 1
        assert grew("qless_webhook_seconds_count") == 1
        assert grew("qless_gate_verdicts_total", kind="verify", verdict="open", code="ok") == 1
        assert grew("qless_gate_verdicts_total", verdict="refuse", code="already_used") == 1
        assert grew("qless_outbox_handled_total", kind="cart_paid", result="done") == 1
        assert grew("qless_http_requests_total", route="/gate/verify", status="200") == 2
        assert grew("qless_http_request_seconds_count", route="/gate/verify", method="POST") == 2
        assert after.of("qless_storage_up") == after.of("qless_bus_connected") == 1
        assert after.of("qless_cart_rooms") >= 1
        assert after.of("process_resident_memory_bytes") > 10**7
        await asyncio.sleep(0.3)
        assert (await served.scrape()).of("qless_event_loop_lag_seconds_count") > 0

    async def test_of_webhooks_have_their_lag_and_what_was_refused(
        self, served: Served, web: httpx.AsyncClient
    ) -> None:
        before = await served.scrape()
        event = gateway_event(
            {"payment_id": "pay_x", "amount_minor": 1, "currency": "INR", "pay_url": "/pay/x"}
        )
        now = services_of(served.app).clock.now()
        event["created_at"] = (now - timedelta(seconds=42)).isoformat()
        forged = signed(event, now, secret="a stranger's secret")
        assert (await web.post("/payment/webhook/sandbox", **forged)).status_code == 400
        for outcome in ("unknown_payment", "duplicate"):
            assert await deliver(served.app, web, event) == outcome
        after = await served.scrape()
        for outcome in ("unknown_payment", "duplicate", "webhook_unsigned"):
            events = "qless_gateway_events_total"
            assert after.of(events, outcome=outcome) - before.of(events, outcome=outcome) == 1
        lag = "qless_webhook_lag_seconds"
        assert after.of(f"{lag}_count") - before.of(f"{lag}_count") == 1
        assert after.of(f"{lag}_sum") - before.of(f"{lag}_sum") == pytest.approx(42, abs=0.01)

    async def test_of_the_outbox_tell_how_long_the_oldest_row_waits(
        self, served: Served, clock: FakeClock
    ) -> None:
        """Since it was due for the first time: a row that fails is due later again and again."""
        before = (await served.scrape()).of("qless_outbox_pending_rows")
        wanted_at, due_at = clock.now() - timedelta(days=30), clock.now() + timedelta(seconds=300)
        row = OutboxDocument(
            id=new_id("out"), kind="cart_paid", payload={}, due_at=due_at, wanted_at=wanted_at
        )
        await row.insert()
        try:
            figures = await served.scrape()
        finally:
            await row.delete()
        assert figures.of("qless_outbox_pending_rows") == before + 1
        assert figures.of("qless_outbox_oldest_age_seconds") == 30 * 24 * 3600

    async def test_are_told_while_mongodb_hangs(
        self, settings: Settings, database: mongo.Database, tmp_path: Path
    ) -> None:
        with EmbeddedMongo(tmp_path / "mongodb") as server:
            own = msgspec.structs.replace(settings, mongodb_url=server.url, qless_metrics_port=free_port())
            app = create_app(own)
            async with running(app):
                served = Served(app, "", f"http://127.0.0.1:{app.state.metrics_port}/metrics")
                assert (await served.scrape()).of("qless_storage_up") == 1
                assert server.child
                os.kill(server.child.pid, signal.SIGSTOP)
                began = time.monotonic()
                figures = await served.scrape()
                took_s = time.monotonic() - began
                os.kill(server.child.pid, signal.SIGCONT)
        await documents.bind(database)
        assert took_s < 4
        assert figures.of("qless_storage_up") == 0
        assert figures.of("process_resident_memory_bytes") > 0

    async def test_name_nobody_and_no_cart(self, served: Served, web: httpx.AsyncClient) -> None:
        trip, issued = await shopped(served, web)
        await web.request("PROPFIND", "/")
        await web.get(f"/session/{trip.session_id}/{trip.shopper.token}")
        text = await served.text()
        ids = trip.session_id, trip.shopper.user_id, trip.store.store_id, trip.products[0].barcode
        for secret in (*ids, "Asha", trip.shopper.token, issued["token"], issued["pass_id"], "PROPFIND"):
            assert secret not in text
        assert len(text.splitlines()) < 3_000


class TestDashboardAndRules:
    async def test_ask_for_labels_and_values_that_are_there(
        self, served: Served, web: httpx.AsyncClient
    ) -> None:
        """Prometheus takes a wrong label for no data, and a warning about no data never comes."""
        await shopped(served, web)
        labels: dict[str, set[str]] = {}
        for name, has in await served.scrape():
            labels.setdefault(name, set()).update(label for label, _ in has)
        for expression in monitoring.expressions():
            metrics = monitoring.selected(expression)
            known = monitoring.BY_PROMETHEUS.union(*(labels.get(found.metric, set()) for found in metrics))
            assert monitoring.grouped_by(expression) <= known, expression
            for found in metrics:
                if found.metric in labels:
                    asked = set(found.labels) - monitoring.BY_PROMETHEUS
                    assert asked <= labels[found.metric], expression

    def test_name_codes_that_exist(self) -> None:
        known = {*errors.BY_CODE, *Outcome, *Reason}
        for expression in monitoring.expressions():
            for found in monitoring.selected(expression):
                asked = found.labels.get("outcome", found.labels.get("code", ""))
                for value in filter(None, asked.split("|")):
                    assert value in known or int(value) in set(CloseCode), expression


class TestAddress:
    async def test_is_not_the_shops(self, served: Served, web: httpx.AsyncClient) -> None:
        assert (await web.get("/metrics")).status_code == 404
        assert "/metrics" not in (await web.get("/schema/openapi.json")).json()["paths"]

    async def test_has_nothing_else(self, served: Served) -> None:
        async with httpx.AsyncClient() as client:
            assert (await client.get(served.metrics.replace("/metrics", "/"))).status_code == 404
            assert (await client.post(served.metrics)).status_code == 405
            with pytest.raises(httpx.TransportError):
                await client.get(served.metrics, headers={"x": "y" * 20_000})
        assert (await served.scrape()).of("qless_storage_up") == 1

    async def test_of_several_processes_are_the_next_ports(
        self, settings: Settings, database: mongo.Database
    ) -> None:
        own = msgspec.structs.replace(settings, qless_metrics_port=free_port())
        one, other = create_app(own), create_app(own)
        async with serving(one), serving(other):
            assert one.state.metrics_port == own.qless_metrics_port
            assert own.qless_metrics_port < other.state.metrics_port < own.qless_metrics_port + 64
            async with httpx.AsyncClient() as client:
                for app in (one, other):
                    answer = await client.get(f"http://127.0.0.1:{app.state.metrics_port}/metrics")
                    assert answer.status_code == 200
        await documents.bind(database)

    async def test_is_none_unless_configured(self, app: Litestar) -> None:
        assert app.state.metrics_port is None
