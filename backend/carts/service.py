"""The use cases of a shared cart."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from backend import errors
from backend.accounts import Principal
from backend.carts import metrics, rules, store
from backend.carts.commands import (
    TILL,
    AbandonSession,
    AddItem,
    AnyCommand,
    JoinSession,
    RenewJoinLink,
    Request,
    RestoreSession,
    Scanned,
    StartSession,
)
from backend.carts.events import Entry, ItemAdded
from backend.carts.frames import Notice
from backend.carts.log import CartLog
from backend.carts.registry import Rooms
from backend.carts.rooms import Room
from backend.carts.schemas import JoinIn, JoinOut, SessionOut, StartIn, session_out
from backend.carts.state import Budget, BudgetRule, CartState
from backend.carts.store_places import take_place
from backend.catalog import Catalog, Product
from backend.errors import AppError
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.mongo import StorageError
from backend.kit.qr import qr_svg
from backend.kit.secrets import digest, random_token
from backend.pricing import price_line, tax_rate_bp
from backend.settings import Settings
from backend.stores import Store, Stores

RESUME_AT_MOST = 200
"""Events sent to a phone that comes back, fewer than may wait for it; one further behind gets a snapshot."""
MAX_KEPT = 50_000
"""Facts of scanned products kept ready."""
LOOK_FOR_IDLE_S = 60.0

_NO_PRODUCT = rules.Facts(price_line)

log = logging.getLogger(__name__)


class Preview(NamedTuple):
    """The bill and the budgets after one scan more; `allowance` is the caller's own."""

    total_minor: int
    waiting: bool
    budget: Budget | None
    allowance: Budget | None
    category_budget: Budget | None


class Carts:
    """What members, phones and the till may do with carts."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        stores: Stores,
        catalog: Catalog,
        rooms: Rooms,
        cart_log: CartLog,
    ) -> None:
        self.rooms = rooms
        self._settings = settings
        self._clock = clock
        self._stores = stores
        self._catalog = catalog
        self._log = cart_log
        self._sending: set[asyncio.Task[None]] = set()
        self._kept: dict[tuple[str, str], tuple[Store, Product, rules.Facts]] = {}

    async def start(self, principal: Principal, data: StartIn) -> SessionOut:
        """Begin a cart, with the caller as its host and a way in for the family."""
        shop = await self._stores.get(data.store_id)
        budget_rule = BudgetRule(
            shop.budget.warning_percent, shop.budget.danger_percent, shop.budget.fall_percent
        )
        command = StartSession(
            shop.store_id, shop.market, shop.currency, budget_rule, principal.name, data.budget_limit_minor
        )
        session_id = new_id("ses")
        if not await take_place(principal.user_id, session_id, self._clock.now()):
            raise errors.TooManySessions
        room = self.rooms.new(session_id)
        try:
            await self._run(room, Request(principal.user_id, new_id("cmd"), command), _NO_PRODUCT)
        except AppError:
            self.rooms.drop(room)
            raise
        join_link, _ = await asyncio.gather(self._new_join_link(_state(room)), self._save_first(room))
        return session_out(_state(room), join_link)

    async def _save_first(self, room: Room) -> None:
        """The first snapshot, so that the cart is listed from its first moment; missed, it is made a little later."""
        with suppress(StorageError):
            await store.save_snapshots_forward([(room.session_id, store.encode_snapshot(_state(room)))])

    async def join(self, principal: Principal, data: JoinIn) -> SessionOut:
        """Enter a cart by its join link; entering twice is entering once."""
        found = await store.find_join_link(digest(data.token), self._clock.now())
        if found is None:
            raise errors.JoinLinkInvalid
        session_id, number = found
        command = JoinSession(data.name or principal.name, number)
        _, state = await self.command(principal.user_id, session_id, new_id("cmd"), command)
        return session_out(state)

    async def renew_join_link(self, principal: Principal, session_id: str) -> JoinOut:
        """A new way in; the one before ends. For the host."""
        await self.end_join_link(principal, session_id)
        return await self._new_join_link(await self.current(principal.user_id, session_id))

    async def end_join_link(self, principal: Principal, session_id: str) -> None:
        """No way in, until the host makes a new one. For the host."""
        await self.command(principal.user_id, session_id, new_id("cmd"), RenewJoinLink())

    def send_join_link(self, user_id: str, session_id: str) -> None:
        """Show the host soon, and nobody else, the way in that follows the one that a removal has ended."""
        sending = asyncio.create_task(self._send_join_link(user_id, session_id))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _send_join_link(self, user_id: str, session_id: str) -> None:
        try:
            link = await self._new_join_link(await self.current(user_id, session_id))
        except (AppError, StorageError):
            log.warning("join link not sent", extra={"session_id": session_id})
            return
        data = {"url": link.url, "token": link.token, "expires_at": link.expires_at}
        self.notify(session_id, user_id, Notice(kind="join_link", data=data))

    async def _new_join_link(self, state: CartState) -> JoinOut:
        token = random_token()
        expires_at = self._clock.now() + timedelta(seconds=self._settings.qless_join_ttl_s)
        await store.add_join_link(digest(token), state.session_id, state.join_link, expires_at)
        url = f"{self._settings.qless_public_url}/app/join#{token}"
        return JoinOut(url=url, token=token, expires_at=expires_at, qr_svg=qr_svg(url))

    async def restore(self, principal: Principal, session_id: str) -> SessionOut:
        """Take up a cart again that was abandoned because nothing happened in it."""
        _, state = await self.command(principal.user_id, session_id, new_id("cmd"), RestoreSession())
        return session_out(state)

    async def abandon_idle(self) -> int:
        """Close the carts in which nothing happened for hours; how many were looked at."""
        since = self._clock.now() - timedelta(seconds=self._settings.qless_session_idle_s)
        idle = await store.find_idle(since, at_most=100)
        for session_id in idle:
            await self.till(session_id, AbandonSession(since))
        return len(idle)

    async def session(self, principal: Principal, session_id: str) -> SessionOut:
        return session_out(await self.current(principal.user_id, session_id))

    async def current(self, user_id: str, session_id: str) -> CartState:
        """The cart as its log has it now, for one of its members.

        Raises:
            SessionNotFound: no such cart, or the user is not in it.
        """
        room = await self.rooms.get(session_id)
        await room.catch_up()
        state = _state(room)
        if user_id not in state.members:
            raise errors.SessionNotFound
        return state

    async def payable(self, principal: Principal, session_id: str) -> CartState:
        """The cart as its log has it now, if this member may pay it so.

        Raises:
            AdultsOnly, CartLocked, CartClosed, CartEmpty, ItemsWaiting: why not.
        """
        state = await self.current(principal.user_id, session_id)
        if refused := rules.not_payable(state, principal.user_id):
            raise errors.BY_CODE[refused.code](refused.detail)
        return state

    async def command(
        self, user_id: str, session_id: str, command_id: str, command: AnyCommand
    ) -> tuple[int, CartState]:
        """Carry out one command; returns once it is on disk: the seq it became, and the cart as of then or later."""
        facts = await self.facts(session_id, command)
        room = await self.rooms.get(session_id)
        seq = await self._run(room, Request(user_id, command_id, command), facts)
        return seq, _state(room)

    async def till(self, session_id: str, command: AnyCommand) -> None:
        """Carry out a command of the payment path. Its rules make it idempotent, not its id, which is always new.

        Raises:
            Conflict: the cart is not as the command needs it.
            Unavailable: it may have been carried out, or not; send it again.
        """
        room = await self.rooms.get(session_id)
        await self._run(room, Request(TILL, new_id("cmd"), command), _NO_PRODUCT)

    def try_submit(self, room: Room, request: Request, answer: Callable[[int | AppError], None]) -> bool:
        """Queue a command whose facts are at hand in this process; False when they must be fetched first."""
        facts = _NO_PRODUCT
        command = request.command
        if isinstance(command, AddItem):
            product = self._catalog.peek(command.barcode)
            shop = self._stores.peek(_state(room).store_id)
            if product is None or shop is None:
                return False
            facts = self._scanned(shop, product)
        room.submit(request, facts, answer)
        return True

    async def facts(self, session_id: str, command: AnyCommand) -> rules.Facts:
        """What deciding the command needs to know.

        Raises:
            InvalidBarcode, InvalidCheckDigit, ProductNotFound: nothing can be sold under this code.
        """
        if not isinstance(command, AddItem):
            return _NO_PRODUCT
        try:
            product = await self._catalog.find(command.barcode)
        except AppError as error:
            metrics.count_answer(command, error)
            raise
        room = await self.rooms.get(session_id)
        return self._scanned(await self._stores.get(_state(room).store_id), product)

    def _scanned(self, shop: Store, product: Product) -> rules.Facts:
        """The facts of a scan. Kept while shop and product are the very objects that they were made of.

        A process reads a shop anew every few seconds, so that a new day's taxes are that late at most.
        """
        key = shop.store_id, product.product_id
        kept = self._kept.get(key)
        if kept is not None and kept[0] is shop and kept[1] is product:
            return kept[2]
        today = self._clock.now().astimezone(ZoneInfo(shop.time_zone)).date()
        rate = tax_rate_bp(shop.market, product.tax_class, today)
        scanned = Scanned(
            product.product_id, product.barcode, product.name, product.price_minor, rate, product.category
        )
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        facts = rules.Facts(price_line, scanned)
        self._kept[key] = shop, product, facts
        return facts

    async def preview_add(self, principal: Principal, session_id: str, product: Product) -> Preview | None:
        """What scanning the product once would do to the bill and the budgets; None where it would be refused."""
        state = await self.current(principal.user_id, session_id)
        shop = await self._stores.get(state.store_id)
        request = Request(principal.user_id, new_id("cmd"), AddItem(product.barcode, 1))
        decision = rules.decide(state, request, self._scanned(shop, product), self._clock.now())
        if not (isinstance(decision, rules.Accepted) and isinstance(decision.event, ItemAdded)):
            return None
        allowances = {**state.allowances, **decision.allowances}
        category_budgets = {**state.category_budgets, **decision.category_budgets}
        return Preview(
            decision.totals.total_minor,
            decision.event.line.waiting,
            decision.budget,
            allowances.get(principal.user_id),
            category_budgets.get(product.category),
        )

    async def since(self, session_id: str, seq: int) -> list[Entry]:
        """The cart's entries past `seq`."""
        return await self._log.tail(session_id, seq)

    def notify(self, session_id: str, user_id: str, notice: Notice) -> None:
        self.rooms.notify(session_id, user_id, notice)

    async def _run(self, room: Room, request: Request, facts: rules.Facts) -> int:
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        room.submit(request, facts, partial(_resolve, result))
        return await result


def _resolve(result: asyncio.Future[int], answer: int | AppError) -> None:
    if result.cancelled():
        return
    if isinstance(answer, AppError):
        result.set_exception(answer)
    else:
        result.set_result(answer)


def _state(room: Room) -> CartState:
    if room.state is None:
        raise errors.SessionNotFound
    return room.state


async def run_abandonment(carts: Carts) -> None:
    """Look every minute for carts in which nothing happened for hours, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_FOR_IDLE_S)
        await carts.abandon_idle()
