"""The one way to Redis, which may be gone at any moment: short time-outs, a pool that waits, errors by one name."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

RedisDown = (RedisError, OSError, TimeoutError)
"""What a call may raise when Redis is away. Whoever calls goes on without it."""

Client = Redis

__all__ = ["Client", "RedisDown", "connect"]


def connect(url: str) -> Client:
    """At most 64 connections; a caller waits up to 1 s for one, and 1 s for an answer."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=64,
        timeout=1,
        socket_timeout=1,
        socket_connect_timeout=1,
        health_check_interval=15,
    )
    return Redis.from_pool(pool)
