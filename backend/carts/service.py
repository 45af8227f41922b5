"""The use cases of a shared cart."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

from backend import errors
from backend.accounts import Principal
from backend.carts import rules, store
from backend.carts.commands import (
    TILL,
    AddItem,
    AnyCommand,
    JoinSession,
    Request,
    Scanned,
    StartSession,
)
from backend.carts.events import Entry
from backend.carts.frames import Notice
from backend.carts.log import CartLog
from backend.carts.registry import Rooms
from backend.carts.rooms import Room
from backend.carts.schemas import JoinIn, JoinOut, SessionOut, StartIn, session_out
from backend.carts.state import BudgetRule, CartState
from backend.catalog import Catalog, Product
from backend.errors import AppError
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.qr import qr_svg
from backend.kit.secrets import digest, random_token
from backend.pricing import price, tax_rate_bp
from backend.settings import Settings
from backend.stores import Store, Stores

RESUME_AT_MOST = 200
"""Events sent to a phone that comes back, fewer than may wait for it; one further behind gets a snapshot."""


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

    async def start(self, principal: Principal, data: StartIn) -> SessionOut:
        """Begin a cart, with the caller as its host and a way in for the family."""
        shop = await self._stores.get(data.store_id)
        budget_rule = BudgetRule(
            shop.budget.warning_percent, shop.budget.danger_percent, shop.budget.fall_percent
        )
        command = StartSession(
            shop.store_id, shop.market, shop.currency, budget_rule, principal.name, data.budget_limit_minor
        )
        room = self.rooms.new(new_id("ses"))
        try:
            await self._run(room, Request(principal.user_id, new_id("cmd"), command), rules.Facts(price))
        except AppError:
            self.rooms.drop(room)
            raise
        return session_out(_state(room), await self._new_join_link(room.session_id))

    async def join(self, principal: Principal, data: JoinIn) -> SessionOut:
        """Enter a cart by its join link; entering twice is entering once."""
        session_id = await store.find_joinable(digest(data.token), self._clock.now())
        if session_id is None:
            raise errors.JoinLinkInvalid
        room = await self.rooms.get(session_id)
        command = JoinSession(data.name or principal.name)
        await self._run(room, Request(principal.user_id, new_id("cmd"), command), rules.Facts(price))
        return session_out(_state(room))

    async def renew_join_link(self, principal: Principal, session_id: str) -> JoinOut:
        """A new way in; the one before ends. For the host."""
        state = await self.current(principal.user_id, session_id)
        if state.host != principal.user_id:
            raise errors.HostOnly
        return await self._new_join_link(session_id)

    async def _new_join_link(self, session_id: str) -> JoinOut:
        token = random_token()
        expires_at = self._clock.now() + timedelta(seconds=self._settings.qless_join_ttl_s)
        await store.replace_join_link(session_id, digest(token), expires_at)
        url = f"{self._settings.qless_public_url}/app/join#{token}"
        return JoinOut(url=url, token=token, expires_at=expires_at, qr_svg=qr_svg(url))

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
        await self._run(room, Request(TILL, new_id("cmd"), command), rules.Facts(price))

    def try_submit(self, room: Room, request: Request, answer: Callable[[int | AppError], None]) -> bool:
        """Queue a command whose facts are at hand in this process; False when they must be fetched first."""
        facts = rules.Facts(price)
        command = request.command
        if isinstance(command, AddItem):
            product = self._catalog.peek(command.barcode)
            shop = self._stores.peek(_state(room).store_id)
            if product is None or shop is None:
                return False
            facts = rules.Facts(price, self._scanned(shop, product))
        room.submit(request, facts, answer)
        return True

    async def facts(self, session_id: str, command: AnyCommand) -> rules.Facts:
        """What deciding the command needs to know.

        Raises:
            InvalidBarcode, InvalidCheckDigit, ProductNotFound: nothing can be sold under this code.
        """
        if not isinstance(command, AddItem):
            return rules.Facts(price)
        product = await self._catalog.find(command.barcode)
        room = await self.rooms.get(session_id)
        return rules.Facts(price, self._scanned(await self._stores.get(_state(room).store_id), product))

    def _scanned(self, shop: Store, product: Product) -> Scanned:
        today = self._clock.now().astimezone(ZoneInfo(shop.time_zone)).date()
        rate = tax_rate_bp(shop.market, product.tax_class, today)
        return Scanned(product.product_id, product.barcode, product.name, product.price_minor, rate)

    async def preview_add(
        self, principal: Principal, session_id: str, product: Product
    ) -> rules.Accepted | None:
        """What scanning the product once would do to the bill and the budget; None where it would be refused."""
        state = await self.current(principal.user_id, session_id)
        shop = await self._stores.get(state.store_id)
        request = Request(principal.user_id, new_id("cmd"), AddItem(product.barcode, 1))
        facts = rules.Facts(price, self._scanned(shop, product))
        decision = rules.decide(state, request, facts, self._clock.now())
        return decision if isinstance(decision, rules.Accepted) else None

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
