"""Telling the merchant: signed events, delivered until answered or given up, and what came of each try."""

import asyncio
import logging
import secrets
import ssl
import time
from collections import deque
from collections.abc import Coroutine, Reversible
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, NamedTuple, Self

import httpx
import msgspec

from .errors import WebhookNotFound
from .events import Event, OrderSummary, falsified, sign
from .faults import Falsehood, Faults, Signature
from .orders import Order, Payment, Refund, new_id

ANSWER_WITHIN_S = 5.0
"""How long one try waits for the merchant, from connecting to the whole answer."""

KEPT_TRIES = 50
"""How many tries of one event are kept, the newest of them."""

logger = logging.getLogger(__name__)


class Target(NamedTuple):
    """Where events go, and how."""

    url: str
    secret: str
    old_secret: str
    """Empty when there is none."""
    retry_delays_s: tuple[float, ...]
    ca: str | None
    """The path of the one certificate to trust; without it the usual authorities are."""


class Try(msgspec.Struct, frozen=True):
    """One try to deliver an event: when, what was sent, and the answer's status or why there was none."""

    at: datetime
    timestamp: int
    signed: Signature
    wrong: Falsehood
    body: msgspec.Raw
    status: int | None = None
    failure: str | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the merchant answered with a 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Sent(msgspec.Struct, frozen=True):
    """An event as the merchant may look it up; ``tries`` in the order they were made."""

    id: str
    event: str
    order_id: str
    reference: str
    created_at: datetime
    state: Literal["waiting", "held", "delivered", "given_up", "never_sent"]
    tries: list[Try]


class Letter:
    """An event, the copies of it that are not settled yet, and the tries that were made."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.under_way = 0
        self.held: list[Copy] = []
        self.is_delivered = False
        self.tries: deque[Try] = deque(maxlen=KEPT_TRIES)

    def summary(self) -> Sent:
        """The event as it stands now."""
        event, order = self.event, self.event.order
        if self.is_delivered:
            state: Any = "delivered"
        elif self.held:
            state = "held"
        elif self.under_way:
            state = "waiting"
        else:
            state = "given_up" if self.tries else "never_sent"
        return Sent(
            event.id, event.event, order.order_id, order.reference, event.created_at, state, list(self.tries)
        )


class Copy(NamedTuple):
    """What one delivery sends at every try."""

    letter: Letter
    body: bytes
    faults: Faults


class Webhooks:
    """Delivers events to one address while its context is open.

    Each copy of an event is a task of its own: a slow one holds up no other, and the order of arrival is not kept. A
    delivery under way when the context closes is ended and lost.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        context = ssl.create_default_context(cafile=target.ca)
        self._client = httpx.AsyncClient(verify=context, trust_env=False)
        self._letters: dict[str, Letter] = {}
        self._of_orders: dict[str, list[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            logger.warning("webhook %s: ended by shutdown", task.get_name())
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def can_sign(self, signature: Signature) -> bool:
        """Whether the secret for it is there."""
        return signature != "older" or self._target.old_secret != ""

    def tell(
        self,
        name: str,
        order: Order,
        payment: Payment | None,
        refund: Refund | None,
        faults: Faults,
        another: Order | None,
    ) -> None:
        """Starts to deliver a new event as ``faults`` have it; ``another`` order is the one to mistake it for."""
        event = Event(new_id("evt"), name, datetime.now(UTC), OrderSummary.of(order), payment, refund)
        letter = self._letters[event.id] = Letter(event)
        self._of_orders.setdefault(order.order_id, []).append(event.id)
        for _ in range(faults.webhook_copies):
            copy = _copy(letter, faults, another)
            if faults.webhook_held:
                letter.held.append(copy)
            else:
                self._start(letter, self._deliver(copy, faults.webhook_delay_s))

    def release(self) -> int:
        """Starts to deliver what is held, the newest event first, each after the first try of the one before it."""
        copies = [copy for letter in reversed(self._letters.values()) for copy in letter.held]
        for copy in copies:
            copy.letter.held.clear()
            copy.letter.under_way += 1
        if copies:
            self._spawn("released", self._deliver_in_turn(copies))
        return len(copies)

    def resend(self, event_id: str, faults: Faults, another: Order | None) -> Sent:
        """Starts to deliver an event once more, at once, with its contents, time and signature as ``faults`` have them.

        Raises:
            WebhookNotFound: no event has this id.
        """
        letter = self.find(event_id)
        self._start(letter, self._deliver(_copy(letter, faults, another), wait_s=0))
        return letter.summary()

    def find(self, event_id: str) -> Letter:
        """The event of this id.

        Raises:
            WebhookNotFound: no event has this id.
        """
        if letter := self._letters.get(event_id):
            return letter
        raise WebhookNotFound

    def newest(self, limit: int, order_id: str | None) -> list[Sent]:
        """The events that happened last, the last one first; of one order when it is named."""
        ids: Reversible[str] = self._letters if order_id is None else self._of_orders.get(order_id, [])
        return [self._letters[event_id].summary() for event_id in islice(reversed(ids), limit)]

    def forget(self, order_id: str) -> None:
        """Drops the order's events; what is under way is still delivered, what is held is not."""
        for event_id in self._of_orders.pop(order_id, []):
            del self._letters[event_id]

    def _start(self, letter: Letter, delivery: Coroutine[Any, Any, None]) -> None:
        letter.under_way += 1
        self._spawn(letter.event.id, delivery)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_in_turn(self, copies: list[Copy]) -> None:
        for copy in copies:
            if await self._is_taken(copy, 1):
                copy.letter.under_way -= 1
            else:
                self._spawn(copy.letter.event.id, self._repeat(copy))

    async def _deliver(self, copy: Copy, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if await self._is_taken(copy, 1):
            copy.letter.under_way -= 1
        else:
            await self._repeat(copy)

    async def _repeat(self, copy: Copy) -> None:
        tries = 1 + len(self._target.retry_delays_s)
        for number, wait_s in enumerate(self._target.retry_delays_s, start=2):
            await asyncio.sleep(wait_s)
            if await self._is_taken(copy, number):
                break
        else:
            logger.error("webhook %s: given up after %d tries", copy.letter.event.id, tries)
        copy.letter.under_way -= 1

    async def _is_taken(self, copy: Copy, number: int) -> bool:
        """Makes one try, and notes what came of it."""
        done = await self._try(copy)
        letter = copy.letter
        letter.tries.append(done)
        if done.is_taken:
            letter.is_delivered = True
            logger.info("webhook %s: delivered at try %d", letter.event.id, number)
            return True
        tries = 1 + len(self._target.retry_delays_s)
        why = done.failure or f"status {done.status}"
        logger.warning("webhook %s: try %d of %d failed: %s", letter.event.id, number, tries, why)
        return False

    async def _try(self, copy: Copy) -> Try:
        event_id, faults = copy.letter.event.id, copy.faults
        timestamp = int(time.time()) - faults.webhook_stale_s
        secret = self._secret(faults.webhook_signature)
        headers = {
            "content-type": "application/json",
            "x-sandbox-event-id": event_id,
            "x-sandbox-timestamp": str(timestamp),
            "x-sandbox-signature": sign(secret, timestamp, event_id, copy.body),
        }
        done = Try(
            datetime.now(UTC),
            timestamp,
            faults.webhook_signature,
            faults.webhook_wrong,
            msgspec.Raw(copy.body),
        )
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                response = await self._client.post(self._target.url, content=copy.body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            return msgspec.structs.replace(done, failure=type(error).__name__)
        return msgspec.structs.replace(done, status=response.status_code)

    def _secret(self, signature: Signature) -> str:
        match signature:
            case "newest":
                return self._target.secret
            case "older":
                return self._target.old_secret
            case "wrong":
                return secrets.token_hex(16)


def _copy(letter: Letter, faults: Faults, another: Order | None) -> Copy:
    body = msgspec.json.encode(falsified(letter.event, faults.webhook_wrong, another))
    return Copy(letter, body, faults)
