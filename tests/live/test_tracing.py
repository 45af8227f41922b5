"""Traces, as a collector gets them from a server process; and a server that is asked for none."""

import asyncio
import gzip
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from backend.kit import mongo
from backend.kit.embedded import Child, free_port
from backend.local import parse, server_command
from backend.settings import Settings
from tests.carts import eventually, processes
from tests.world import Trip, gateway_event, guest, open_store, signed, start_session, stock


class Collector:
    """Takes OTLP over HTTP, as a real collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resource: dict[str, str] = {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:-2])
                assert head.startswith(b"POST /v1/traces ")
                assert fields["content-type"] == "application/x-protobuf"
                body = await reader.readexactly(int(fields["content-length"]))
                self._take(gzip.decompress(body) if fields.get("content-encoding") == "gzip" else body)
                told = ExportTraceServiceResponse().SerializeToString()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told))
        except asyncio.IncompleteReadError:
            writer.close()

    def _take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def of(self, trace: str) -> dict[str, Span]:
        """The spans of a trace by name."""
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace}


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    collector = Collector()
    async with await asyncio.start_server(collector.answer, "127.0.0.1") as listener:
        yield collector, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def server(
    settings: Settings, project: Path, tmp_path: Path, **changes: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A process of its own, until the block ends."""
    told = {
        name.upper(): str(value)
        for name, value in msgspec.structs.asdict(msgspec.structs.replace(settings, **changes)).items()
    }
    port = free_port()
    command = server_command(parse(["--port", str(port)]), None)
    environment = {**os.environ, **told, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    child = Child("server", command, tmp_path / "server.log", project, environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as web:
            async with asyncio.timeout(30):
                while not await answers(web):
                    assert child.exit_code is None, child.output()
                    await asyncio.sleep(0.1)
            yield web
    finally:
        await asyncio.to_thread(child.stop)


async def answers(web: httpx.AsyncClient) -> bool:
    try:
        return (await web.get("/health/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def paid(settings: Settings, database: mongo.Database, web: httpx.AsyncClient, trace: str) -> Trip:
    """A trip that is paid by a webhook which belongs to this trace."""
    async with processes(database, settings) as [services]:
        store, products = await open_store(services), await stock(services, 1_000)
    host = await guest(web, "Asha")
    session = await start_session(host, store)
    trip = Trip(host, store, products, session["session_id"], {})
    await trip.add(products[0])
    quote = await host.post("/checkout/calculate", {"session_id": trip.session_id})
    trip = trip._replace(quote=quote)
    event = signed(gateway_event(await trip.initiate()), datetime.now(UTC))
    event["headers"]["traceparent"] = f"00-{trace}-{secrets.token_hex(8)}-01"
    assert (await web.post("/payment/webhook/sandbox", **event)).json() == {"outcome": "paid"}
    return trip


@pytest.mark.usefixtures("sandbox")
class TestTraces:
    async def test_lead_from_a_request_to_its_commands_and_to_what_the_outbox_did_for_it(
        self,
        settings: Settings,
        database: mongo.Database,
        collector: tuple[Collector, str],
        project: Path,
        tmp_path: Path,
    ) -> None:
        seen, url = collector
        trace = secrets.token_hex(16)
        async with server(settings, project, tmp_path, qless_otlp_url=url) as web:
            trip = await paid(settings, database, web, trace)
            await eventually(lambda: "outbox cart_paid" in seen.of(trace))
        found = seen.of(trace)
        request = found["POST /payment/webhook/{gateway}"]
        told = {each.key: each.value for each in request.attributes}
        assert told["http.response.status_code"].int_value == 200
        assert told["qless.request_id"].string_value.startswith("req_")
        assert found["insert webhook_events"].parent_span_id == request.span_id
        assert {"insert orders", "insert exit_passes", "commitTransaction"} <= found.keys()
        assert found["outbox cart_paid"].trace_id == request.trace_id
        assert seen.resource["service.name"] == "q-less"
        every = "".join(map(str, seen.spans))
        for secret in (trip.shopper.token, trip.session_id, trip.shopper.user_id, "Asha", "asha@upi"):
            assert secret not in every


IMPORTED = """
import sys
from backend.app import from_environment
from_environment()
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))])
"""


class TestWithoutTraces:
    def test_nothing_that_makes_them_is_imported(self, settings: Settings, project: Path) -> None:
        """redis-py imports what of OpenTelemetry is installed for its own metrics, which are off."""
        told = {name.upper(): str(value) for name, value in msgspec.structs.asdict(settings).items()}
        done = subprocess.run(
            [sys.executable, "-c", IMPORTED],
            cwd=project,
            env=told,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "[]\n"

    def test_a_process_that_cannot_send_them_says_so(self, settings: Settings, project: Path) -> None:
        told = {name.upper(): str(value) for name, value in msgspec.structs.asdict(settings).items()}
        program = "import sys; sys.modules['opentelemetry.sdk'] = None\n" + IMPORTED
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=project,
            env={**told, "QLESS_OTLP_URL": "http://127.0.0.1:4318"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == "QLESS_OTLP_URL is set: install requirements-otel.txt, or leave it empty.\n"
