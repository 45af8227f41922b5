"""A whole shopping trip against a simple model: whatever is done in whatever order, the cart is what was put into it,
payments move forward only, what came in bought one order or went back, and one scan of all opened a gate.

Hypothesis chooses the steps, each among those that mean something in the state that the trip is in.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from backend.accounts import Role
from backend.kit import mongo
from backend.settings import Settings
from tests.property.staffed import MONTH_S, Staffed
from tests.property.trips import Trip
from tests.shops import shop_of
from tests.till import Till
from tests.world import (
    guest,
    open_store,
    services_of,
    staff_member,
    start_session,
    stock,
)

pytestmark = [
    pytest.mark.usefixtures("reconciler_at_rest", "sandbox"),
    pytest.mark.timeout(3600),
]

EXAMPLES, FULL_EXAMPLES = 8, 400
TAKES_AT_MOST_S = 60.0
STEP = st.tuples(st.integers(0, 10**4), *[st.integers(0, 11)] * 3)
STORY = st.lists(STEP, min_size=15, max_size=40)
"""For each step: which it is, and what it picks."""


@pytest.fixture
async def staffed(settings: Settings, database: mongo.Database) -> AsyncIterator[Staffed]:
    changes = {"qless_access_ttl_s": MONTH_S, "qless_session_idle_s": MONTH_S}
    async with shop_of(settings, database, **changes) as shop:
        services = services_of(shop.app)
        store = await open_store(services)
        products = await stock(services, 1_000, 2_345, 99)
        roles = (Role.SUPERVISOR, Role.GATE)
        staff = [await staff_member(services, shop.api, store.store_id, role) for role in roles]
        till = Till(shop.app, shop.api, shop.settings)
        yield Staffed(shop, till, store, products, *staff)
        await till.close()


async def take_trip(staffed: Staffed, story: list[tuple[int, ...]]) -> None:
    """Each step is what its first number picks among those that may be done."""
    host = await guest(staffed.shop.api, "Asha")
    await staffed.refresh()
    trip = Trip(staffed, host, await start_session(host, staffed.store))
    taken: list[str] = []
    try:
        for first, *choices in story:
            steps = trip.steps()
            step = steps[first % len(steps)]
            trip.choices = iter(choices)
            taken.append(f"{step.__name__} {choices}")
            staffed.did[step.__name__] += 1
            await step()
            await trip.check()
        await trip.finish()
    except BaseException as error:
        error.add_note("\n".join(taken))
        raise


async def test_any_trip_ends_well(staffed: Staffed, chaos_seed: int, pytestconfig: pytest.Config) -> None:
    loop = asyncio.get_running_loop()

    @seed(chaos_seed)
    @settings(
        max_examples=FULL_EXAMPLES if pytestconfig.getoption("full") else EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(story=STORY)
    def trips(story: list[tuple[int, ...]]) -> None:
        asyncio.run_coroutine_threadsafe(take_trip(staffed, story), loop).result(TAKES_AT_MOST_S)

    print(f"--seed {chaos_seed}")
    try:
        await asyncio.to_thread(trips)
    finally:
        print(dict(staffed.did), f"{len(staffed.books)} orders at the gateway")
