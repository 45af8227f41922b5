"""The figures that are looked up when Prometheus asks; what is counted as it happens stands where it happens.

`qless_outbox_…` and `qless_storage_up` tell of the database that all processes share: take their maximum, not their sum.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import Gauge

from backend.kit import metrics
from backend.kit.mongo import StorageError
from backend.kit.tasks import Background
from backend.lifespan import Services

ROOMS = Gauge("qless_cart_rooms", "Carts in this process's memory")
SOCKETS = Gauge("qless_sockets_open", "Phones on carts in this process")
BUS_CONNECTED = Gauge("qless_bus_connected", "Whether this process hears the others over Redis")
BUS_WAITING = Gauge("qless_bus_messages_waiting", "Messages that wait to be sent to the other processes")
STORAGE_UP = Gauge("qless_storage_up", "Whether MongoDB answered within 2 s")
OUTBOX_ROWS = Gauge("qless_outbox_pending_rows", "Rows of the outbox not carried out yet, 1000 at most")
OUTBOX_AGE = Gauge("qless_outbox_oldest_age_seconds", "How long the oldest of them has been due")


@asynccontextmanager
async def watching(services: Services) -> AsyncIterator[int | None]:
    """Serve `/metrics` as the settings say, until the block ends; the port, None without."""
    settings = services.settings
    if not settings.qless_metrics_port:
        yield None
        return
    background = Background()
    background.start("process-watch", metrics.watch_process)
    look_up = partial(_look_up, services)
    try:
        async with metrics.serving(settings.qless_metrics_host, settings.qless_metrics_port, look_up) as port:
            yield port
    finally:
        await background.stop()


async def _look_up(services: Services) -> None:
    rooms, sockets = services.carts.rooms.size
    ROOMS.set(rooms)
    SOCKETS.set(sockets)
    BUS_CONNECTED.set(services.bus.connected)
    BUS_WAITING.set(services.bus.waiting)
    try:
        rows, age_s = await services.outbox.backlog()
    except StorageError:
        STORAGE_UP.set(0)  # what was known of the outbox stays: it cannot have been worked off
        return
    STORAGE_UP.set(1)
    OUTBOX_ROWS.set(rows)
    OUTBOX_AGE.set(age_s)
