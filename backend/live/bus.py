"""Messages between processes by Redis pub/sub, at most once.

`publish` never waits: what was published during one round trip to Redis travels in the next, as one pipeline.
Messages that cannot be sent are dropped; a receiver that was cut off learns of it by `on_resync` and reads
what it missed from MongoDB. A process does not hear its own messages.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import Counter
from redis.asyncio.client import PubSub

from backend.kit.metrics import Spread
from backend.kit.redis import Client, RedisDown, relay

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
PING_S = 5.0
_KEEPALIVE = "qless:keepalive"

SENT = Counter("qless_bus_messages_sent", "Messages handed to Redis for the other processes")
DROPPED = Counter("qless_bus_messages_dropped", "Messages given up because Redis did not take them")
SEND_SECONDS = Spread(
    "qless_bus_send_seconds",
    "How long Redis took for one pipeline of messages",
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)

Handler = Callable[[bytes], None]


class _Topic(NamedTuple):
    handler: Handler
    on_heard: Callable[[], None] | None


class Bus:
    """One process's end of the bus.

    Attributes:
        connected: whether this process hears the others at the moment.
        on_resync: called, in order, each time the process hears again after it may have missed messages.
    """

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._origin = secrets.token_bytes(8)
        self._topics: dict[str, _Topic] = {}
        self._out: deque[tuple[str, bytes]] = deque(maxlen=MAX_WAITING)
        self._out_ready = asyncio.Event()
        self._topics_changed = asyncio.Event()
        self.connected = False
        self.on_resync: list[Callable[[], None]] = []

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return len(self._out)

    def publish(self, channel: str, payload: bytes) -> None:
        """Send to every other process that subscribed to the channel."""
        if len(self._out) == MAX_WAITING:
            DROPPED.inc()
        self._out.append((channel, self._origin + payload))
        self._out_ready.set()

    def subscribe(self, channel: str, handler: Handler, on_heard: Callable[[], None] | None = None) -> None:
        """Call `handler` with each payload of the channel; one handler a channel, neither call-back may raise.

        Args:
            on_heard: called each time Redis has confirmed the subscription; what was published before is lost.
        """
        self._topics[channel] = _Topic(handler, on_heard)
        self._topics_changed.set()

    def unsubscribe(self, channel: str) -> None:
        if self._topics.pop(channel, None) is not None:
            self._topics_changed.set()

    async def run_sender(self) -> None:
        """Send what waits, one pipeline at a time, until cancelled."""
        while True:
            await self._out_ready.wait()
            batch: list[tuple[str, bytes]] = []
            try:
                async with relay(self._redis) as server:
                    while True:
                        batch = await self._next_batch()
                        pipeline = server.pipeline(transaction=False)
                        for channel, payload in batch:
                            pipeline.publish(channel, payload)
                        began = time.perf_counter()
                        await pipeline.execute()
                        SEND_SECONDS.observe(time.perf_counter() - began)
                        SENT.inc(len(batch))
                        batch = []
            except RedisDown as error:
                DROPPED.inc(len(batch))
                log.warning(
                    "bus could not send", extra={"dropped": len(batch), "error": type(error).__name__}
                )
                await asyncio.sleep(0.2)

    async def _next_batch(self) -> list[tuple[str, bytes]]:
        """What waits, 500 messages at most, once something does."""
        if not self._out:
            self._out_ready.clear()
            await self._out_ready.wait()
        return [self._out.popleft() for _ in range(min(len(self._out), 500))]

    async def run_receiver(self) -> None:
        """Subscribe, hand out messages, notice silence; ends by raising when Redis goes away.

        The caller's loop starts it again, with back-off; each start resubscribes everything and then
        calls `on_resync`.
        """
        async with relay(self._redis) as server:
            pubsub = server.pubsub()
            try:
                subscribed = dict(self._topics)
                await pubsub.subscribe(_KEEPALIVE, *subscribed)
                self._topics_changed.set()
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._read(pubsub))
                    both.create_task(self._keep_topics(pubsub, subscribed))
            finally:
                self.connected = False
                await _close_quietly(pubsub)

    async def _read(self, pubsub: PubSub) -> None:
        silent = 0
        while True:
            message = await pubsub.get_message(timeout=PING_S)
            if message is None:
                silent += 1
                if silent > 2:
                    raise TimeoutError("Redis sent nothing, not even its pong")
                await pubsub.ping()
                continue
            silent = 0
            channel = message["channel"].decode() if message["channel"] else ""
            if message["type"] == "subscribe":
                self._confirmed(channel)
            elif message["type"] == "message" and not message["data"].startswith(self._origin):
                topic = self._topics.get(channel)
                if topic is not None:
                    topic.handler(message["data"][len(self._origin) :])

    def _confirmed(self, channel: str) -> None:
        """From here on nothing on the channel is missed. The keep-alive's is the first of a connection."""
        if not self.connected:
            self.connected = True
            for callback in self.on_resync:
                callback()
        topic = self._topics.get(channel)
        if topic is not None and topic.on_heard is not None:
            topic.on_heard()

    async def _keep_topics(self, pubsub: PubSub, subscribed: dict[str, _Topic]) -> None:
        """A channel that was left and taken up again at once is asked for again: its `on_heard` is owed."""
        while True:
            await self._topics_changed.wait()
            self._topics_changed.clear()
            wanted = dict(self._topics)
            if new := [channel for channel, topic in wanted.items() if subscribed.get(channel) is not topic]:
                await pubsub.subscribe(*new)
            if old := subscribed.keys() - wanted.keys():
                await pubsub.unsubscribe(*old)
            subscribed = wanted


async def _close_quietly(pubsub: PubSub) -> None:
    try:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    except RedisDown:
        log.debug("pub/sub connection was gone already")
