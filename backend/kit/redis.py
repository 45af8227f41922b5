"""The one way to Redis, which may be gone at any moment: short time-outs, a pool that waits, errors by one name."""

import re
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

RedisDown = (RedisError, OSError, TimeoutError)
"""What a call may raise when Redis is away. Whoever calls goes on without it."""

Client = Redis

__all__ = ["Client", "RedisDown", "connect", "is_url"]

_PATH = re.compile(r"/?[0-9]*")


def is_url(url: str) -> bool:
    """Whether redis-py can make sense of it, and leaves no part of it out: a database that is no number, a space."""
    if any(character.isspace() for character in url):
        return False
    try:
        parts, understood = urlsplit(url), parse_url(url)
    except ValueError:
        return False
    return parts.scheme == "unix" or ("host" in understood and _PATH.fullmatch(parts.path) is not None)


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
