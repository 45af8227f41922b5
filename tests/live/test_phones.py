"""The phone of the tests notices what the server does otherwise than `/schema/events` says."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.phones import Frame, Phone

RIGHT: Frame = {"type": "add", "id": "1", "barcode": "8901233018362"}
WRONG: Frame = {**RIGHT, "qty": 0}
ACK: Frame = {"type": "ack", "id": "1", "seq": 3}
REFUSED: Frame = {"type": "error", "id": "1", "code": "invalid_field", "detail": "", "retryable": False}


@asynccontextmanager
async def phone_of_a_server(answer: Frame | int | None) -> AsyncIterator[Phone]:
    """It answers the first frame with this frame or not at all, and closes, with this code if it is one."""

    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        if isinstance(answer, dict):
            await socket.send(json.dumps(answer))
        await socket.close(answer if isinstance(answer, int) else 1000)

    async with serve(talk, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield Phone(await connect(f"ws://{host}:{port}"))


@pytest.mark.parametrize(
    ("sent", "answer", "fault"),
    [
        (RIGHT, {**ACK, "price_minor": 1}, "price_minor"),
        (RIGHT, {"type": "applause"}, "no such frame"),
        (RIGHT, {**REFUSED, "code": "bad_luck"}, "bad_luck"),
        (RIGHT, REFUSED, "but refused"),
        (WRONG, ACK, "acknowledged"),
        (WRONG, None, "without an error"),
        (RIGHT, 4999, "close code 4999"),
    ],
)
async def test_a_difference_fails_the_test(sent: Frame, answer: Any, fault: str) -> None:
    async with phone_of_a_server(answer) as phone:
        await phone.send(sent)
        with pytest.raises(AssertionError, match=fault):
            await phone.closed()


@pytest.mark.parametrize(("sent", "answer"), [(RIGHT, ACK), (WRONG, REFUSED), (WRONG, 4400), (RIGHT, 1012)])
async def test_no_difference_fails_none(sent: Frame, answer: Any) -> None:
    async with phone_of_a_server(answer) as phone:
        await phone.send(sent)
        await phone.closed()
