"""Commands that come twice, at once, or from somebody who did not wait: each counts once, and has one answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

from backend import errors
from backend.carts import LockCheckout, MarkPaid, UnlockCheckout
from backend.carts.commands import AnyCommand, LeaveSession, RemoveItem, Request, SetQuantity
from backend.carts.events import Entry, to_document
from backend.carts.log import COLLECTION, Outcome
from backend.carts.rules import MAX_EVENTS, MAX_SHOPPER_EVENTS, Facts
from backend.kit import mongo
from backend.lifespan import Services
from backend.pricing import price_line
from backend.settings import Settings
from tests.carts import Cart, logged, open_cart, processes
from tests.factories import Shopping, replay
from tests.proxy import Proxy


@pytest.fixture(scope="module")
async def pair(settings: Settings, database: mongo.Database) -> AsyncIterator[tuple[list[Services], Proxy]]:
    """Two processes; the way of the second to mongod can be disturbed."""
    async with Proxy(settings.mongodb_url) as proxy:
        behind_it = msgspec.structs.replace(settings, mongodb_url=proxy.url)
        async with processes(database, settings, behind_it) as services:
            yield services, proxy


@pytest.fixture
def services(pair: tuple[list[Services], Proxy]) -> list[Services]:
    return pair[0]


@pytest.fixture
def proxy(pair: tuple[list[Services], Proxy]) -> Iterator[Proxy]:
    """To the second process's mongod; undisturbed again after the test."""
    yield pair[1]
    pair[1].requests.release()
    pair[1].replies.release()


@pytest.fixture
async def cart(services: list[Services]) -> Cart:
    return await open_cart(services[0])


class Screen:
    """A phone's socket, and what came over it in which order."""

    def __init__(self, user_id: str, came: list[object]) -> None:
        self.user_id = user_id
        self._came = came

    def send(self, frame: object) -> None:
        self._came.append("event")

    def close(self, code: object) -> None:
        self._came.append("closed")


class TestAnswer:
    async def test_comes_before_what_it_caused_also_when_the_log_is_read_first(
        self, services: list[Services], cart: Cart, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever leaves gets the `ack` and is shown out then, not the other way round."""
        room = await services[0].carts.rooms.get(cart.session_id)
        appended: list[tuple[Entry, Callable[[Outcome], None]]] = []
        monkeypatch.setattr(room._log, "append", lambda *given: appended.append(given))
        came: list[object] = []
        screen: Any = Screen(cart.host.user_id, came)
        monkeypatch.setattr(room, "connections", {screen})
        leave = Request(cart.host.user_id, "bye", LeaveSession())
        room.submit(leave, Facts(price_line), came.append)
        ((entry, outcome),) = appended
        room.receive(entry)
        outcome(Outcome.APPENDED)
        assert came == [entry.seq, "event", "closed"]


class TestRepeats:
    async def test_get_the_first_answer_also_in_another_process(
        self, services: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        one, two = services
        assert (await cart.seen_by(two)).seq == 2
        assert await cart.does(one, "x", cart.scan()) == 3
        assert await cart.does(one, "y", cart.scan()) == 4
        for process in (one, two, two, one):
            assert await cart.does(process, "x", cart.scan()) == 3
        assert len(await logged(database, cart.session_id)) == 4

    async def test_get_the_first_answer_from_a_snapshot(
        self, services: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        """The log's beginning is taken away, which nobody does: only the snapshot has the answer."""
        one, two = services
        assert await cart.does(one, "x", cart.scan()) == 3
        await one.carts.rooms.save_snapshots(0, all_dirty=True)
        assert await cart.does(one, "y", cart.scan()) == 4
        await database[COLLECTION].delete_many({"_id.s": cart.session_id, "_id.n": {"$lte": 3}})
        assert await cart.does(two, "x", cart.scan()) == 3
        with pytest.raises(errors.IdReused):
            await cart.does(two, "x", cart.scan(qty=2))

    async def test_with_another_body_are_refused_and_change_nothing(
        self, services: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        one, two = services
        await cart.seen_by(two)
        await cart.does(one, "x", cart.scan())
        others: list[AnyCommand] = [cart.scan(1), cart.scan(qty=2), RemoveItem("l3"), LeaveSession()]
        for process in (two, one):
            for other in others:
                with pytest.raises(errors.IdReused):
                    await cart.does(process, "x", other)
        assert len(await logged(database, cart.session_id)) == 3

    async def test_of_anothers_id_are_commands_of_their_own(
        self, services: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        one, two = services
        assert await cart.does(one, "x", cart.scan()) == 3
        assert await cart.does(two, "x", cart.scan(), by=cart.member) == 4
        assert await cart.does(one, "x", cart.scan(), by=cart.member) == 4
        assert await cart.does(two, "x", cart.scan()) == 3
        assert [entry.by for entry in await logged(database, cart.session_id)][2:] == [
            cart.host.user_id,
            cart.member.user_id,
        ]

    async def test_at_once_in_both_processes_count_once(
        self, services: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        both = [services[n % 2] for n in range(20)]
        answers = await asyncio.gather(*(cart.does(process, "x", cart.scan()) for process in both))
        assert answers == [3] * 20
        assert len(await logged(database, cart.session_id)) == 3

    async def test_outlive_what_they_did(self, services: list[Services], cart: Cart) -> None:
        """The line is gone and the member has left: what was answered then stays answered."""
        one, two = services
        assert await cart.does(one, "x", cart.scan(), by=cart.member) == 3
        assert await cart.does(one, "y", RemoveItem("l3"), by=cart.member) == 4
        assert await cart.does(one, "z", LeaveSession(), by=cart.member) == 5
        assert await cart.does(two, "x", cart.scan(), by=cart.member) == 3
        assert await cart.does(two, "y", RemoveItem("l3"), by=cart.member) == 4


class TestCancelling:
    async def test_a_request_does_not_cancel_its_write(
        self, services: list[Services], proxy: Proxy, database: mongo.Database, cart: Cart
    ) -> None:
        one, two = services
        await cart.seen_by(two)
        proxy.requests.hold(to=b"insert")
        request = asyncio.create_task(cart.does(two, "x", cart.scan()))
        await proxy.requests.caught()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert len(await logged(database, cart.session_id)) == 2
        proxy.requests.release()
        assert await cart.does(two, "x", cart.scan()) == 3
        assert await cart.does(one, "x", cart.scan()) == 3
        assert len(await logged(database, cart.session_id)) == 3

    async def test_requests_that_wait_leaves_the_others_in_order(
        self, services: list[Services], proxy: Proxy, database: mongo.Database, cart: Cart
    ) -> None:
        _, two = services
        await cart.seen_by(two)
        proxy.replies.hold(to=b"insert")
        first = asyncio.create_task(cart.does(two, "first", cart.scan()))
        await proxy.replies.caught()
        waiting = [asyncio.create_task(cart.does(two, f"w{n}", cart.scan())) for n in range(4)]
        await asyncio.sleep(0)
        for task in (first, waiting[1]):
            task.cancel()
        proxy.replies.release()
        told = await asyncio.gather(first, *waiting, return_exceptions=True)
        seqs = {entry.command_id: entry.seq for entry in await logged(database, cart.session_id)}
        assert seqs["first"] == 3
        for task_id, answer in zip(["first", "w0", "w1", "w2", "w3"], told, strict=True):
            assert isinstance(answer, asyncio.CancelledError) or answer == seqs[task_id]
            assert await cart.does(two, task_id, cart.scan()) == seqs.get(task_id, len(seqs) + 1)

    async def test_an_answer_that_comes_too_late_says_so_and_a_repeat_has_the_first(
        self,
        services: list[Services],
        proxy: Proxy,
        database: mongo.Database,
        cart: Cart,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("backend.carts.rooms.ANSWER_WITHIN_S", 0.3)
        _, two = services
        await cart.seen_by(two)
        proxy.replies.hold(to=b"insert")
        with pytest.raises(errors.CommitDelayed):
            await cart.does(two, "x", cart.scan())
        proxy.replies.release()
        monkeypatch.setattr("backend.carts.rooms.ANSWER_WITHIN_S", 8)
        assert await cart.does(two, "x", cart.scan()) == 3
        assert len(await logged(database, cart.session_id)) == 3


class TestTwoProcesses:
    """The second has decided on a state that the first moves on before the second's write arrives."""

    async def test_the_loser_of_a_seq_decides_again_on_the_winners_state(
        self, services: list[Services], proxy: Proxy, database: mongo.Database, cart: Cart
    ) -> None:
        one, two = services
        await cart.seen_by(two)
        proxy.requests.hold(to=b"insert")
        late = asyncio.create_task(cart.does(two, "late", cart.scan(1), by=cart.member))
        await proxy.requests.caught()
        assert await cart.does(one, "first", cart.scan(0)) == 3
        proxy.requests.release()
        assert await late == 4
        entries = await logged(database, cart.session_id)
        assert [entry.command_id for entry in entries[2:]] == ["first", "late"]
        assert [entry.totals.total_minor for entry in entries[2:]] == [1000, 3000]
        for process in services:
            assert msgspec.to_builtins(await cart.seen_by(process)) == msgspec.to_builtins(replay(entries))

    async def test_the_loser_is_refused_what_the_winner_made_impossible(
        self, services: list[Services], proxy: Proxy, database: mongo.Database, cart: Cart
    ) -> None:
        one, two = services
        await cart.does(one, "x", cart.scan())
        await cart.seen_by(two)
        proxy.requests.hold(to=b"insert")
        late = asyncio.create_task(cart.does(two, "late", SetQuantity("l3", 5)))
        await proxy.requests.caught()
        assert await cart.does(one, "first", RemoveItem("l3")) == 4
        proxy.requests.release()
        with pytest.raises(errors.LineNotFound):
            await late
        assert len(await logged(database, cart.session_id)) == 4

    async def test_a_lock_at_the_quotes_seq_and_a_scan_exclude_each_other(
        self, services: list[Services], proxy: Proxy, database: mongo.Database, cart: Cart
    ) -> None:
        one, two = services
        await cart.does(one, "x", cart.scan())
        await cart.seen_by(two)
        proxy.requests.hold(to=b"insert")
        lock = LockCheckout("quo_1", "pay_1", cart.host.user_id, expected_seq=3)
        locking = asyncio.create_task(two.carts.till(cart.session_id, lock))
        await proxy.requests.caught()
        assert await cart.does(one, "y", cart.scan()) == 4
        proxy.requests.release()
        with pytest.raises(errors.QuoteStale):
            await locking
        assert (await cart.seen_by(one)).lock is None
        assert len(await logged(database, cart.session_id)) == 4

    async def test_the_till_sends_again_what_is_done_and_it_is_done_once(
        self, services: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        """Its ids are always new: it is the rules that know."""
        await cart.does(services[0], "x", cart.scan())
        for command in (
            LockCheckout("quo_1", "pay_1", cart.host.user_id, expected_seq=3),
            UnlockCheckout("pay_1", 3, "expired"),
            LockCheckout("quo_2", "pay_2", cart.host.user_id, expected_seq=5),
            MarkPaid("pay_2", "ord_1"),
        ):
            await asyncio.gather(*(services[n % 2].carts.till(cart.session_id, command) for n in range(6)))
        assert len(await logged(database, cart.session_id)) == 7

    async def test_every_seq_has_one_winner(
        self, services: list[Services], database: mongo.Database, cart: Cart
    ) -> None:
        asked = [(services[n % 2], f"c{n}") for n in range(60)]
        seqs = await asyncio.gather(*(cart.does(process, name, cart.scan()) for process, name in asked))
        assert sorted(seqs) == list(range(3, 63))
        entries = await logged(database, cart.session_id)
        told = dict(zip((name for _, name in asked), seqs, strict=True))
        assert {entry.command_id: entry.seq for entry in entries[2:]} == told


@pytest.fixture
async def full(services: list[Services], database: mongo.Database, cart: Cart) -> Cart:
    """A cart with one place left for the family: a log as it would be, written at once."""
    shopping = Shopping()
    shopping.entries = await logged(database, cart.session_id)
    shopping.state = replay(shopping.entries)
    shopping.scan(by=cart.host.user_id)
    while shopping.cart.seq < MAX_SHOPPER_EVENTS - 1:
        shopping.do(SetQuantity("l3", 1 + shopping.cart.seq % 2), by=cart.host.user_id)
    await database[COLLECTION].insert_many(map(to_document, shopping.entries[2:]))
    return cart


class TestFull:
    async def test_a_cart_takes_no_more_of_its_shoppers(self, services: list[Services], full: Cart) -> None:
        one, two = services
        assert await full.does(one, "last", full.scan(), by=full.member) == MAX_SHOPPER_EVENTS
        more: list[AnyCommand] = [full.scan(), RemoveItem(f"l{MAX_SHOPPER_EVENTS}"), LeaveSession()]
        for process in (one, two):
            for n, command in enumerate(more):
                with pytest.raises(errors.CartFull):
                    await full.does(process, f"more{n}", command, by=full.member)
        assert await full.does(two, "last", full.scan(), by=full.member) == MAX_SHOPPER_EVENTS

    async def test_a_cart_can_still_be_locked_given_back_and_paid(
        self, services: list[Services], database: mongo.Database, full: Cart
    ) -> None:
        one, two = services
        seq = await full.does(one, "last", full.scan(), by=full.member)
        await one.carts.till(full.session_id, LockCheckout("quo_1", "pay_1", full.member.user_id, seq))
        await two.carts.till(full.session_id, UnlockCheckout("pay_1", seq, "expired"))
        with pytest.raises(errors.CartFull):
            await full.does(one, "more", full.scan(), by=full.member)
        await one.carts.till(full.session_id, LockCheckout("quo_2", "pay_2", full.member.user_id, seq + 2))
        await two.carts.till(full.session_id, MarkPaid("pay_2", "ord_1"))
        assert len(await logged(database, full.session_id)) == MAX_SHOPPER_EVENTS + 4

    async def test_a_cart_ends_before_its_last_event_with_its_last_lock_undone(
        self, services: list[Services], database: mongo.Database, full: Cart
    ) -> None:
        """Whoever got the lock can also pay or be given the cart back."""
        one, _ = services
        seq = await full.does(one, "last", full.scan(), by=full.member)
        locks = 0
        while True:
            payment_id = f"pay_{locks}"
            try:
                await one.carts.till(
                    full.session_id, LockCheckout("quo", payment_id, full.member.user_id, seq)
                )
            except errors.CartFull:
                break
            await one.carts.till(full.session_id, UnlockCheckout(payment_id, seq, "expired"))
            locks, seq = locks + 1, seq + 2
        assert locks == 49
        assert len(await logged(database, full.session_id)) == seq <= MAX_EVENTS
