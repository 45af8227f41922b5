"""Figures for Prometheus: counters for hot paths, what the process itself does, and where they are read.

A figure belongs to the process and counts from its start; labels have few values and never name a person, a cart or a
payment. What happens often is counted by `Tally` and `Spread`, in the event loop's thread alone: prometheus_client's own
counters lock, and cost five times as much.

They are read from a port of their own that is not the shop's: whoever reaches the shop's address learns nothing. Each
process takes the first port that is free, so that several on one machine are as many targets.
"""

import asyncio
import errno
import gc
import logging
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

MAX_PROCESSES = 64
"""Ports tried, from the one that is configured on."""
MAX_HEAD_BYTES = 8_192
PATIENCE_S = 5.0
LOOP_LAG_EVERY_S = 0.1

Labels = tuple[str, ...]

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, and nobody asks for it


class Tally(Collector):
    """A counter. Whoever counts does `tally.counts[values] += 1`, with a value for each label."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.counts: defaultdict[Labels, int] = defaultdict(int)
        self._described = name, meaning, labels
        REGISTRY.register(self)

    def collect(self) -> Iterable[Metric]:
        name, meaning, labels = self._described
        family = CounterMetricFamily(name, meaning, labels=labels)
        for values, count in self.counts.copy().items():
            family.add_metric(values, count)
        yield family


class Spread(Collector):
    """A histogram without labels; `bounds` are the upper ends of its buckets, the last of which has none."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._described = name, meaning
        REGISTRY.register(self)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[Metric]:
        ends = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        family = HistogramMetricFamily(*self._described)
        family.add_metric([], list(zip(ends, accumulate(self._counts), strict=True)), self._sum)
        yield family


LOOP_LAG_SECONDS = Spread(
    "qless_event_loop_lag_seconds",
    "How much later than asked for the event loop ran something",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
GC_PAUSE_SECONDS = Spread(
    "qless_gc_pause_seconds",
    "How long Python's garbage collector stopped the process each time",
    (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)


async def watch_process() -> None:
    """Measure pauses of the event loop and of the garbage collector, until cancelled."""
    started = 0.0

    def collected(phase: str, _: dict[str, int]) -> None:
        nonlocal started
        if phase == "start":
            started = time.perf_counter()
        else:
            GC_PAUSE_SECONDS.observe(time.perf_counter() - started)

    gc.callbacks.append(collected)
    try:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(LOOP_LAG_EVERY_S)
            LOOP_LAG_SECONDS.observe(max(0.0, time.perf_counter() - asked - LOOP_LAG_EVERY_S))
    finally:
        gc.callbacks.remove(collected)


@asynccontextmanager
async def serving(host: str, port: int, look_up: Callable[[], Awaitable[None]]) -> AsyncIterator[int | None]:
    """Answer `GET /metrics` until the block ends, at the first free port from `port` on; which it is.

    A process serves its shop also where no port is free: it is None, and said in the log.

    Args:
        look_up: sets the figures that are looked up for each answer.
    """
    server = await _listen(host, port, _Scrapes(look_up).answer)
    if server is None:
        log.error("no port for metrics", extra={"host": host, "from": port, "to": port + MAX_PROCESSES - 1})
        yield None
        return
    taken = server.sockets[0].getsockname()[1]
    log.info("metrics served", extra={"host": host, "port": taken})
    try:
        yield taken
    finally:
        server.close()


OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _listen(host: str, port: int, answer: OnConnection) -> asyncio.Server | None:
    for candidate in range(port, min(port + MAX_PROCESSES, 65_536)):
        try:
            return await asyncio.start_server(answer, host, candidate, limit=MAX_HEAD_BYTES)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return None


class _Scrapes:
    """HTTP/1.1 (RFC 9112) for one path: read a request's head, answer, close."""

    def __init__(self, look_up: Callable[[], Awaitable[None]]) -> None:
        self._look_up = look_up

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(PATIENCE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._response(head))
                    await writer.drain()
        finally:
            writer.close()

    async def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        if rest.partition(b" ")[0].partition(b"?")[0] != b"/metrics":
            return _response("404 Not Found", "text/plain", b"The figures are at /metrics.\n")
        if method != b"GET":
            return _response("405 Method Not Allowed", "text/plain", b"Only GET is answered.\n")
        await self._look_up()
        # Some milliseconds of work that no cart has to wait for.
        text = await asyncio.to_thread(generate_latest)
        return _response("200 OK", CONTENT_TYPE_LATEST, text)


def _response(status: str, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body
