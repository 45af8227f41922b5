"""A client without a socket: it scans by `POST /cart/add` under an `Idempotency-Key`, and repeats until it is told."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.diary import Writer
from tests.chaos.phone import ANSWERED_WITHIN_S, Failed, Person
from tests.chaos.screen import Frame

PATHS = {"add": "/cart/add", "remove": "/cart/remove"}


class HttpShopper:
    """Writes its diary as a phone does: a request is `sent`, a 200 an `ack`, a problem an `error`."""

    def __init__(
        self, name: str, person: Person, session_id: str, servers: Sequence[str], folder: Path, seed: str
    ) -> None:
        self.user_id = person.user_id
        self.session_id = session_id
        self.latest = 0.0
        self.writer = Writer(folder, name, person.user_id, session_id)
        self._name = name
        self._dice = random.Random(seed)
        self._ids = count(1)
        headers = {"authorization": f"Bearer {person.token}"}
        self._servers = [httpx.AsyncClient(base_url=url, headers=headers, timeout=20) for url in servers]

    async def do(self, kind: str, **fields: Any) -> Frame:
        """Carry out a command; its `ack`, or the error that is final.

        Raises:
            Failed: there never was one.
        """
        frame = {"type": kind, "id": f"{self._name}-{next(self._ids)}", **fields}
        began = time.monotonic()
        while time.monotonic() - began < ANSWERED_WITHIN_S:
            self.writer.note("sent", frame=frame)
            try:
                answer = await self._post(frame)
            except httpx.TransportError as error:
                self.writer.note("failed", why=type(error).__name__)
            else:
                self.writer.got(json.dumps(answer))
                if answer["type"] == "ack":
                    self.latest = time.monotonic()
                if answer["type"] == "ack" or not answer["retryable"]:
                    return answer
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))
        raise Failed(f"{self._name} had no answer to {frame}.")

    async def _post(self, frame: Frame) -> Frame:
        body = {name: value for name, value in frame.items() if name not in {"type", "id"}}
        response = await self._dice.choice(self._servers).post(
            PATHS[frame["type"]],
            json={"session_id": self.session_id, **body},
            headers={"idempotency-key": frame["id"]},
        )
        answer = response.json()
        if response.status_code == 200:
            return {"type": "ack", "id": frame["id"], "seq": answer["seq"]}
        said = {name: answer.get(name) for name in ("code", "detail")}
        return {"type": "error", "id": frame["id"], "retryable": answer.get("retryable", False), **said}

    async def hang_up(self) -> None:
        for server in self._servers:
            await server.aclose()
        self.writer.close()
