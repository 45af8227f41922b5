"""Is the process alive, and can it serve?"""

import asyncio
from enum import StrEnum
from typing import Any

import msgspec
from litestar import Response, get
from litestar.datastructures import State
from litestar.openapi import ResponseSpec

from backend.kit.mongo import StorageError
from backend.kit.redis import RedisDown


class Part(StrEnum):
    OK = "ok"
    MISSING = "missing"


class LiveOut(msgspec.Struct):
    status: str
    process: str


class ReadyOut(msgspec.Struct):
    """`ready`; `degraded` when Redis is missing (everything works, other processes' screens lag up to 2 s);
    `unavailable` when MongoDB is; `draining` when the process was told to end and will soon."""

    status: str
    parts: dict[str, Part]


@get(
    "/health/live",
    tags=["Operating"],
    operation_id="live",
    summary="The process runs",
    opt={"exclude_from_auth": True},
)
async def live(state: State) -> LiveOut:
    return LiveOut("alive", state.services.carts.rooms.process)


@get(
    "/health/ready",
    tags=["Operating"],
    operation_id="ready",
    summary="What the process needs is there, or which part is missing",
    responses={
        503: ResponseSpec(
            ReadyOut, description="MongoDB is missing, or the process ends.", generate_examples=False
        )
    },
    opt={"exclude_from_auth": True},
)
async def ready(state: State) -> Response[ReadyOut]:
    services = state.services
    mongodb, redis = await asyncio.gather(_mongodb(services), _redis(services))
    status = "unavailable" if mongodb is Part.MISSING else "degraded" if redis is Part.MISSING else "ready"
    if state.drain.has_begun:
        status = "draining"
    code = 503 if status in {"unavailable", "draining"} else 200
    return Response(ReadyOut(status, {"mongodb": mongodb, "redis": redis}), status_code=code)


async def _mongodb(services: Any) -> Part:
    try:
        async with asyncio.timeout(2):
            await services.client.admin.command("ping")
    except (StorageError, TimeoutError):
        return Part.MISSING
    return Part.OK


async def _redis(services: Any) -> Part:
    try:
        async with asyncio.timeout(2):
            await services.redis.ping()
    except RedisDown:
        return Part.MISSING
    return Part.OK


ROUTES = [live, ready]
