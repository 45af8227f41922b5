"""The garbage collector's rhythm."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from backend.kit import garbage
from backend.kit.tasks import Background


class Cycle:
    """Only the collector ends it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
async def collection(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Every 20 ms, everything every third time; Python's own is off."""
    thresholds = gc.get_threshold()
    monkeypatch.setattr(garbage, "EVERY_S", 0.02)
    monkeypatch.setattr(garbage, "FULL_EVERY", 3)
    monkeypatch.setattr(garbage, "YOUNG", 0)
    background = Background()
    background.start("garbage", garbage.run_collection)
    yield
    await background.stop()
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def gone(of: "weakref.ref[Cycle]") -> None:
    async with asyncio.timeout(5):
        while of() is not None:  # noqa: ASYNC110 - the collector rings no bell
            await asyncio.sleep(0.01)


async def test_collects_what_died_young(collection: None) -> None:
    await gone(weakref.ref(Cycle()))


async def test_looks_no_more_through_what_has_lived(collection: None) -> None:
    lives = Cycle()
    await asyncio.sleep(0.1)
    assert not any(each is lives for each in gc.get_objects())


async def test_collects_what_died_later_once_in_a_while(collection: None) -> None:
    old = Cycle()
    died = weakref.ref(old)
    await asyncio.sleep(0.1)
    del old
    await gone(died)


async def test_leaves_what_died_later_until_then(collection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Cycle()
    died = weakref.ref(old)
    await asyncio.sleep(0.1)
    monkeypatch.setattr(garbage, "FULL_EVERY", 10**9)
    del old
    await asyncio.sleep(0.1)
    assert died() is not None
