"""What shoppers do at the till, and what goes wrong at the gateway meanwhile.

To have them do more, write a course here and add it to `COURSES`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.chaos.buyer import UNDER_WAY, Buyer, Json, Somebody

REFUNDED = 0.25
"""How often an order is refunded, half of these before its shopper leaves."""
LOST = "webhooks lost"
FAULTS: dict[str, tuple[int, Json]] = {
    "no fault": (5, {}),
    "webhooks three times": (3, {"webhook_copies": 3}),
    LOST: (1, {"webhook_copies": 0}),
    "webhooks late": (2, {"webhook_delay_s": 2.5}),
    "webhooks out of order": (
        2,
        {"authorize_first": True, "capture_delay_s": 0.2, "webhook_held": True, "webhook_copies": 2},
    ),
}
"""With how often each is in force, in parts of their sum."""
NOT_YET = {*UNDER_WAY, "cancelled", "expired", "failed", "refunding"}
"""Where a payment that was approved does not stay."""
CAPTURE_S = 0.6
"""Longer than an authorized payment waits to be captured."""


class Staff:
    """Who stands at the gates, and who gives money back."""

    def __init__(self, guard: Somebody, supervisor: Somebody) -> None:
        self.guard = guard
        self.supervisor = supervisor


async def approve(buyer: Buyer, payment: Json, but: str = "", **more: object) -> bool:
    """Pay under some fault; False where the gateway takes no payment any more.

    Args:
        but: a fault that is not to be.
    """
    parts = [0 if name == but else often for name, (often, _) in FAULTS.items()]
    (name,) = buyer.dice.choices(list(FAULTS), parts)
    fault = FAULTS[name][1]
    buyer.counters.happened[name] += 1
    await buyer.simulator.faults(payment, **fault, **more)
    approved = await buyer.simulator.approve(payment)
    if fault.get("webhook_held"):
        await asyncio.sleep(CAPTURE_S)
        await buyer.simulator.release()
        await buyer.simulator.faults(payment)
    return approved


async def settles(buyer: Buyer, payment: Json, staff: Staff) -> None:
    """Wait for how an approved payment ends; with an order, take it out of the shop."""
    began = time.monotonic()
    paid = await buyer.becomes(payment, NOT_YET)
    buyer.counters.settled_after_s.append(time.monotonic() - began)
    if paid["order_id"] is None:
        buyer.counters.happened["given back"] += 1
        return
    refunds = buyer.dice.random() < REFUNDED
    before = buyer.dice.random() < 0.5
    if refunds and before:
        await refund(buyer, payment, staff)
    await buyer.leave(staff.guard, paid["order_id"])
    if refunds and not before:
        await refund(buyer, payment, staff)


async def refund(buyer: Buyer, payment: Json, staff: Staff) -> None:
    """Whole or in part; at times it fails, or takes a while."""
    faults: Json = buyer.dice.choice([{}, {}, {"refund": "failed"}, {"refund_delay_s": 1.0}])
    await buyer.simulator.faults(payment, **faults)
    await buyer.refund(staff.supervisor, payment, whole=buyer.dice.random() < 0.5)


async def pays(buyer: Buyer, staff: Staff) -> None:
    """At the first try, unless its time is over first."""
    payment = await buyer.start()
    while not await approve(buyer, payment):
        await buyer.becomes(payment)
        payment = await buyer.start()
    await settles(buyer, payment, staff)


async def pays_at_the_second_try(buyer: Buyer, staff: Staff) -> None:
    """Declines at first."""
    payment = await buyer.start()
    if await buyer.simulator.decline(payment):
        buyer.counters.happened["declined"] += 1
    await buyer.becomes(payment)
    await pays(buyer, staff)


async def cancels(buyer: Buyer, staff: Staff) -> None:
    """And pays afterwards, or not at all."""
    if await buyer.cancel(await buyer.start()) and buyer.dice.random() < 0.5:
        await pays(buyer, staff)


async def pays_too_late(buyer: Buyer, staff: Staff) -> None:
    """After giving it up, with the cart as it was or with more in it."""
    payment = await buyer.start()
    ended = await buyer.cancel(payment)
    if ended and buyer.dice.random() < 0.5:
        await buyer.scan_without_socket(1)
    if await approve(buyer, payment, accept_late=True):
        buyer.counters.happened["late payments"] += 1
        await settles(buyer, payment, staff)


async def pays_twice(buyer: Buyer, staff: Staff) -> None:
    """By one approval. Were the webhook of the second capture lost, the server would find it an hour later."""
    payment = await buyer.start()
    if await approve(buyer, payment, but=LOST, approval="captures_twice"):
        buyer.counters.happened["captured twice"] += 1
        await settles(buyer, payment, staff)


async def walks_off(buyer: Buyer, _: Staff) -> None:
    """Leaves a payment that nobody makes."""
    await buyer.start()
    buyer.counters.happened["walked off"] += 1


Course = Callable[[Buyer, Staff], Awaitable[None]]
COURSES: dict[Course, int] = {
    pays: 10,
    pays_at_the_second_try: 2,
    cancels: 2,
    pays_too_late: 2,
    pays_twice: 1,
    walks_off: 1,
}
"""With how often each is taken, in parts of their sum."""


async def trip(buyer: Buyer, staff: Staff) -> None:
    """One whole trip."""
    (course,) = buyer.dice.choices(list(COURSES), list(COURSES.values()))
    await buyer.begin()
    await course(buyer, staff)
