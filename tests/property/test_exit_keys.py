"""Whatever happens to keys and clocks, a pass that is in time has a key at every process and at every gate.

Three processes whose clocks differ by up to a minute sign, verify, publish and replace keys in a random order over
months. A gate without a network knows what it fetched within the last day: a key that signed as soon as it was made
may be missing there, no other.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest

from backend.exits import Author, ExitKeys, store_keys, tokens
from backend.exits.keys import public_key
from backend.exits.rules import CLOCK_GRACE_S
from backend.kit.ids import new_id
from backend.kit.secrets import Keyring
from backend.settings import Settings
from tests.factories import FakeClock

pytestmark = pytest.mark.usefixtures("database")

SEEDS = range(20)
STEPS = 120
TTL = timedelta(minutes=30)
JUMPS = [timedelta(**jump) for jump in ({"seconds": 1}, {"seconds": 7}, {"minutes": 5}, {"minutes": 29})]
LONG_JUMPS = [timedelta(**jump) for jump in ({"hours": 11}, {"hours": 22}, {"days": 2}, {"days": 9})]
FETCHED_EVERY = timedelta(hours=23)
NOTICED = timedelta(seconds=5)


@dataclass
class Process:
    keys: ExitKeys
    clock: FakeClock


@dataclass
class Shop:
    """One store, its processes, the passes that are out, and a gate that fetches the keys every 23 hours."""

    rng: random.Random
    processes: list[Process]
    store_id: str = field(default_factory=lambda: new_id("s"))
    elapsed: timedelta = timedelta(0)
    passes: list[tuple[str, tokens.Claims]] = field(default_factory=list)
    at_once: dict[str, timedelta] = field(default_factory=dict)
    """Keys that signed as soon as they were made, and when that was."""
    fetched: set[str] = field(default_factory=set)
    fetched_at: timedelta = timedelta(0)
    verified: int = 0

    def anyone(self) -> Process:
        return self.rng.choice(self.processes)

    async def step(self) -> None:
        acts = [self.wait, self.wait_long, self.issue, self.verify, self.rotate]
        (act,) = self.rng.choices(acts, [6, 1, 6, 8, 1])
        await act()

    async def wait(self) -> None:
        await self._advance(self.rng.choice(JUMPS))

    async def wait_long(self) -> None:
        """Until the keys' time comes, more often than not. Every few hours somebody shops."""
        left = self.rng.choice(LONG_JUMPS)
        while left:
            part = min(left, timedelta(hours=self.rng.choice([5, 9])))
            await self._advance(part)
            await self.issue()
            await self.verify()
            left -= part

    async def _advance(self, by: timedelta) -> None:
        if self.elapsed + by - self.fetched_at > FETCHED_EVERY:
            self.fetched = {key.kid for key in await self.anyone().keys.jwks()}
            self.fetched_at = self.elapsed
        self.elapsed += by
        for process in self.processes:
            process.clock.advance(seconds=by.total_seconds())

    async def issue(self) -> None:
        process = self.anyone()
        key = await process.keys.signing(self.store_id)
        at = process.clock.now().replace(microsecond=0)
        claims = tokens.Claims(self.store_id, "ord_1", at, at + TTL, 1, 100, False)
        self.passes.append((tokens.sign(claims, key.kid, key.private), claims))

    async def rotate(self) -> None:
        key, _ = await self.anyone().keys.rotate(self.store_id, Author("usr_m"), compromised=False)
        self.at_once[key.kid] = self.elapsed

    async def verify(self) -> None:
        process = self.anyone()
        now = process.clock.now()
        published = {key.kid for key in await process.keys.jwks()}
        for token, claims in self.passes:
            if claims.issued_at <= now + timedelta(seconds=CLOCK_GRACE_S) and now < claims.expires_at:
                kid = tokens.key_id(token)
                key = await process.keys.find(kid)
                assert key is not None
                assert key.withdrawn_at is None
                assert tokens.read(token, public_key(key.public)) == claims
                made = self.at_once.get(kid, timedelta(days=-1))
                assert kid in published or self.elapsed - made < NOTICED
                assert kid in self.fetched or made > self.fetched_at - NOTICED
                self.verified += 1


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_pass_in_time_is_without_its_key(settings: Settings, seed: int) -> None:
    rng = random.Random(seed)
    settings = msgspec.structs.replace(settings, qless_exit_key_days=3)
    processes = []
    for _ in range(3):
        clock = FakeClock()
        clock.advance(milliseconds=rng.randrange(-CLOCK_GRACE_S * 500, CLOCK_GRACE_S * 500))
        processes.append(Process(ExitKeys(settings, clock, Keyring(settings.qless_secret)), clock))
    shop = Shop(rng, processes)
    first = await shop.anyone().keys.signing(shop.store_id)
    shop.at_once[first.kid] = shop.elapsed
    for _ in range(STEPS):
        await shop.step()
    assert shop.verified > 10
    assert max(key.number for key in await store_keys.all_public() if key.store_id == shop.store_id) > 2
