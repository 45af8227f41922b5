"""The one way to Redis, which may be gone at any moment: short time-outs, a pool that waits, errors by one name.

`redis://` and `rediss://` name one server, `redis+cluster://` and `rediss+cluster://` any node of a Redis Cluster.
Nobody but this file knows which of the two it is. Through a cluster's client a call goes to the node that has its
key; a call with keys of several nodes fails as if Redis were away, unless it is a pipeline.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterPipeline
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.maint_notifications import MaintNotificationsConfig

RedisDown = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a call may raise when Redis is away. Whoever calls goes on without it."""

Client = Redis

MAX_CONNECTIONS = 64
WAIT_S = 1
"""How long a caller waits for a connection, and how long for an answer."""
LIMITS: dict[str, Any] = {
    "max_connections": MAX_CONNECTIONS,
    "socket_timeout": WAIT_S,
    "socket_connect_timeout": WAIT_S,
    "health_check_interval": 15,
    # Of Redis Enterprise. With them the pool (8.1) hands out connections that Redis closed long ago.
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}

__all__ = ["Client", "RedisDown", "connect", "is_url", "relay"]

_OF_CLUSTER = re.compile(r"^(rediss?)\+cluster(?=://)")
_DATABASE = re.compile(r"/?[0-9]*")
_ONLY_DATABASE = re.compile(r"/?0?")
"""A cluster has no other."""


def is_url(url: str) -> bool:
    """Whether redis-py can make sense of it, and leaves no part of it out: a database that is no number, a space."""
    if any(character.isspace() for character in url):
        return False
    plain, clusters = _OF_CLUSTER.subn(r"\1", url)
    try:
        parts, understood = urlsplit(plain), parse_url(plain)
    except ValueError:
        return False
    path = _ONLY_DATABASE if clusters else _DATABASE
    return parts.scheme == "unix" or ("host" in understood and path.fullmatch(parts.path) is not None)


def connect(url: str) -> Client:
    """At most 64 connections, to each node of a cluster; a caller waits up to 1 s for one, and 1 s for an answer."""
    plain, clusters = _OF_CLUSTER.subn(r"\1", url)
    if not clusters:
        return Redis.from_pool(BlockingConnectionPool.from_url(url, timeout=WAIT_S, **LIMITS))
    once_more = Retry(NoBackoff(), 1)
    client = _Cluster.from_url(plain, retry=once_more, require_full_coverage=False, **LIMITS)
    return cast(Client, client)


@asynccontextmanager
async def relay(client: Client) -> AsyncIterator[Client]:
    """Where messages are sent and heard: the server itself; of a cluster one of the nodes, another each time.

    All nodes relay what is published at one of them. So messages need no slot, and none waits for a lost master.
    """
    if not isinstance(client, _Cluster):
        yield client
        return
    await client.initialize()
    node = client.get_random_node()
    pool = BlockingConnectionPool(
        timeout=WAIT_S, connection_class=node.connection_class, **node.connection_kwargs
    )
    async with Redis.from_pool(pool) as one:
        yield one


class _Cluster(RedisCluster):
    """What redis-py 8.1 lacks: calls that wait for a connection, end in time, and come back after a node was lost."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One call's turn: 64 at once, each 2 s with its waiting.

        Before the client knows the cluster theirs sends calls anywhere, and one call that fails closes connections
        under others that are just being made.
        """
        try:
            async with asyncio.timeout(2 * WAIT_S), self._turns:
                await self.initialize()
                yield
        except AttributeError as error:
            raise RedisError("the connection was closed while it was made") from error

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self.turn():
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> "_Pipeline":
        return _Pipeline(self, transaction)  # type: ignore[abstract]

    async def initialize(self, *args: Any, **options: Any) -> "_Cluster":
        """Learn who has which slot. A node that does not say is the last to be asked the next time.

        Theirs asks the same one for ever, and while that is down has no answer from the others either.
        """
        try:
            await super().initialize(*args, **options)
        except RedisDown:
            for name in list(self.nodes_manager.nodes_cache)[:1]:
                self.nodes_manager.move_node_to_end_of_cached_nodes(name)
            raise
        return self

    async def aclose(self) -> None:
        """Close all connections; theirs leaves them open when a node was just lost."""
        self._initialize = False
        await super().aclose()


class _Pipeline(ClusterPipeline):
    cluster_client: _Cluster

    async def execute(self, *args: Any, **options: Any) -> list[Any]:
        async with self.cluster_client.turn():
            return await super().execute(*args, **options)
