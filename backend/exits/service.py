"""Issuing passes, and judging them at the gate."""

import hmac
from datetime import datetime, timedelta

import msgspec

from backend import errors
from backend.accounts import Principal, Role
from backend.checkout import OrderOut
from backend.exits import store, tokens
from backend.exits.keys import ExitKeys
from backend.exits.rules import CLOCK_GRACE_S, WORDS, PassStatus, Reason, Verdict, drawn_for_check
from backend.exits.schemas import GateOrder, JwksOut, PassOut, ScanIn, VerdictOut
from backend.exits.store import Pass, Use
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.mongo import Session
from backend.kit.qr import qr_svg
from backend.kit.secrets import Keyring
from backend.settings import Settings
from backend.stores import Store


class Exits:
    """The passes of all stores."""

    def __init__(self, settings: Settings, clock: Clock, keyring: Keyring, keys: ExitKeys) -> None:
        self._ttl = timedelta(seconds=settings.qless_pass_ttl_s)
        self._clock = clock
        self._draw_key = keyring.key("spot-check")
        self._keys = keys

    async def issue(
        self, session: Session, order: OrderOut, user_id: str, shop: Store, now: datetime
    ) -> None:
        """Make the pass of an order, in the transaction that makes the order."""
        draw = hmac.digest(self._draw_key, order.order_id.encode(), "sha256")
        issued = Pass(
            order_id=order.order_id,
            pass_id=new_id("pas"),
            store_id=shop.store_id,
            user_id=user_id,
            kid=(await self._keys.signing(shop.store_id)).kid,
            item_count=sum(line.qty for line in order.lines),
            total_minor=order.totals.total_minor,
            currency=order.totals.currency,
            check=drawn_for_check(draw, shop.spot_check_percent),
            status=PassStatus.ISSUED,
            issued_at=now,
            expires_at=now + self._ttl,
        )
        await store.insert_pass(session, issued)

    async def generate(self, principal: Principal, order_id: str) -> PassOut:
        """The pass of an order, for who paid it; a new one once its time is over.

        Raises:
            OrderNotFound: there is no such paid order of the caller's.
            PassUsed: it has opened a gate.
        """
        found = await store.find_pass(order_id)
        if found is None or found.user_id != principal.user_id:
            raise errors.OrderNotFound
        now = self._clock.now()
        if found.status is PassStatus.ISSUED and found.expires_at <= now:
            kid = (await self._keys.signing(found.store_id)).kid
            await store.renew_if_over(order_id, now, new_id("pas"), kid, now + self._ttl)
            found = await store.find_pass(order_id) or found
        if found.status is PassStatus.USED:
            raise errors.PassUsed
        token = await self._token(found)
        return PassOut(
            pass_id=found.pass_id,
            order_id=order_id,
            status=found.status,
            token=token,
            qr_svg=qr_svg(token),
            expires_at=found.expires_at,
            spot_check=found.check,
        )

    async def _token(self, issued: Pass) -> str:
        key = await self._keys.signing(issued.store_id, issued.kid)
        claims = tokens.Claims(
            issued.store_id,
            issued.order_id,
            issued.issued_at,
            issued.expires_at,
            issued.item_count,
            issued.total_minor,
            issued.check,
        )
        return tokens.sign(claims, key.kid, key.private)

    async def verify(self, principal: Principal, scan: ScanIn) -> VerdictOut:
        """Judge a pass at a gate; `open` uses it up. For gate staff of the store."""
        return await self._judge(principal, scan, released=False)

    async def release(self, principal: Principal, scan: ScanIn) -> VerdictOut:
        """The guard has looked: let a pass that said `check` out. It is judged again in full."""
        return await self._judge(principal, scan, released=True)

    async def _judge(self, principal: Principal, scan: ScanIn, *, released: bool) -> VerdictOut:
        if not principal.works_at(scan.store_id, Role.GATE):
            raise errors.Forbidden
        claims = await self._read(scan.token)
        if claims is None:
            return _refuse(Reason.NOT_A_PASS)
        if claims.store_id != scan.store_id:
            return _refuse(Reason.WRONG_STORE)
        found = await store.find_pass(claims.order_id)
        if found is None:
            return _refuse(Reason.NOT_A_PASS)
        now = self._clock.now()
        if claims.issued_at > now + timedelta(seconds=CLOCK_GRACE_S):
            return _refuse(Reason.NOT_YET, found)
        if found.status is PassStatus.REVOKED:
            return _refuse(Reason.REVOKED, found)
        if found.status is PassStatus.ISSUED:
            if claims.expires_at <= now:
                return _refuse(Reason.EXPIRED, found)
            if found.check and not released:
                return _verdict(Verdict.CHECK, Reason.SPOT_CHECK, found)
        use = Use(scan.gate_id, scan.nonce, principal.user_id, now)
        return await self._use(found, use)

    async def _read(self, token: str) -> tokens.Claims | None:
        try:
            known = await self._keys.public(tokens.key_id(token))
            if known is None:
                return None
            store_id, key = known
            claims = tokens.read(token, key)
        except tokens.NotAPass:
            return None
        return claims if claims.store_id == store_id else None

    async def _use(self, found: Pass, use: Use) -> VerdictOut:
        after = await store.use_once(found.order_id, use) or found
        if after.used is None:
            return _refuse(Reason.REVOKED, after)
        if (after.used.gate_id, after.used.nonce) == (use.gate_id, use.nonce):
            return _verdict(Verdict.OPEN, Reason.OK, after)
        return _refuse(Reason.ALREADY_USED, after)

    async def jwks(self) -> JwksOut:
        return msgspec.convert(await self._keys.jwks(), JwksOut)


def _refuse(reason: Reason, found: Pass | None = None) -> VerdictOut:
    return _verdict(Verdict.REFUSE, reason, found)


def _verdict(verdict: Verdict, reason: Reason, found: Pass | None) -> VerdictOut:
    order = (
        None
        if found is None
        else GateOrder(
            order_id=found.order_id,
            item_count=found.item_count,
            total_minor=found.total_minor,
            currency=found.currency,
            used_at=found.used.at if found.used else None,
            used_gate=found.used.gate_id if found.used else None,
        )
    )
    return VerdictOut(verdict=verdict, code=reason, reason=WORDS[reason], order=order)
