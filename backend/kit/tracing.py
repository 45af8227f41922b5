"""Spans for OpenTelemetry, where `start` was called; otherwise nothing is imported and a span costs a function call.

Spans have names, codes and durations, as the log has: no bodies, no queries, no commands, nothing that names a person.
The scans of sockets have none: many share one commit, and what they cost is in the metrics.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pymongo import monitoring

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

EXPORT_WITHIN_S = 5

_tracer: "Tracer | None" = None
_OFF: AbstractContextManager[None] = nullcontext()


class TracingMissing(Exception):
    """Traces are asked for and OpenTelemetry is not installed."""


def start(url: str, process: str) -> Callable[[], None]:
    """Send spans to this OTLP/HTTP address from now on; what ends it sends what is left.

    Raises:
        TracingMissing: OpenTelemetry's packages are not installed.
    """
    global _tracer
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise TracingMissing from None
    resource = Resource.create({"service.name": "q-less", "service.instance.id": f"{process}-{os.getpid()}"})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=EXPORT_WITHIN_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracer = provider.get_tracer("q-less")

    def stop() -> None:
        global _tracer
        _tracer = None
        provider.shutdown()

    return stop


def span(name: str, parent: str = "") -> "AbstractContextManager[Span | None]":
    """A span of the block; None while nothing is traced.

    Args:
        parent: a `traceparent` (W3C Trace Context) from elsewhere, instead of the span around.
    """
    return _OFF if _tracer is None else _span(_tracer, name, parent)


@contextmanager
def _span(tracer: "Tracer", name: str, parent: str) -> "Iterator[Span]":
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    with tracer.start_as_current_span(name, context) as current:
        yield current


def traceparent() -> str:
    """The span around, to be continued elsewhere; empty where there is none."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


class MongoSpans(monitoring.CommandListener):
    """A span a command within another span: its name and collection, nothing of what it holds."""

    def __init__(self) -> None:
        self._open: dict[int, Span] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if _tracer is None or not traceparent():
            return
        about = event.command.get(event.command_name)
        name = f"{event.command_name} {about}" if isinstance(about, str) else event.command_name
        self._open[event.request_id] = _tracer.start_span(name, attributes={"db.system.name": "mongodb"})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._end(event.request_id, None)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._end(event.request_id, event.failure)

    def _end(self, request_id: int, failure: Any) -> None:
        found = self._open.pop(request_id, None)
        if found is None:
            return
        if failure is not None:
            found.set_attribute("error.type", str(failure.get("codeName", "unknown")))
        found.end()
