"""Issuing passes, giving them out again, withdrawing them; and the keys they are signed with."""

import hmac
from datetime import datetime, timedelta

import msgspec

from backend import errors
from backend.accounts import Principal, Role
from backend.checkout import OrderOut
from backend.exits import store, store_events, tokens
from backend.exits.keys import Author, ExitKeys, SigningKey
from backend.exits.rules import EventKind, Pass, PassStatus, drawn_for_check
from backend.exits.schemas import Jwk, JwksOut, PassOut, RevokedOut, RevokeIn, RotatedOut, RotateIn
from backend.exits.store_events import GateEvent
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.mongo import Client, Session, in_transaction
from backend.kit.qr import qr_svg
from backend.kit.secrets import Keyring
from backend.settings import Settings
from backend.stores import Store


class Exits:
    """The passes of all stores."""

    def __init__(
        self, settings: Settings, clock: Clock, client: Client, keyring: Keyring, keys: ExitKeys
    ) -> None:
        self._ttl = timedelta(seconds=settings.qless_pass_ttl_s)
        self._clock = clock
        self._client = client
        self._draw_key = keyring.key("spot-check")
        self._keys = keys

    async def issue(
        self, session: Session, order: OrderOut, user_id: str, shop: Store, now: datetime
    ) -> None:
        """Make the pass of an order, in the transaction that makes the order."""
        draw = hmac.digest(self._draw_key, order.order_id.encode(), "sha256")
        issued_at = now.replace(microsecond=0)  # a token knows whole seconds
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
            issued_at=issued_at,
            expires_at=issued_at + self._ttl,
        )
        await store.insert_pass(session, issued)

    async def revoke(self, session: Session, order_id: str, reason: str, by: Author) -> PassStatus:
        """Withdraw the pass of an order, in the caller's transaction.

        Answers what the pass is now: `revoked`, also when it was so already; `used` when it has opened a gate, and
        then nothing was changed. A gate that opens at the same time comes before or after, never both.

        Raises:
            OrderNotFound: the order has no pass.
        """
        revoked = await store.revoke(session, order_id)
        if revoked is None:
            found = await store.find_pass(order_id, session)
            if found is None:
                raise errors.OrderNotFound
            return found.status
        await store_events.add(
            GateEvent(
                event_id=store_events.new_event_id(),
                kind=EventKind.REVOKE,
                at=self._clock.now(),
                store_id=revoked.store_id,
                by=by.by,
                by_name=by.name,
                order_id=order_id,
                pass_id=revoked.pass_id,
                note=reason,
            ),
            session,
        )
        return revoked.status

    async def revoke_by_hand(self, principal: Principal, wanted: RevokeIn) -> RevokedOut:
        """Withdraw a pass. For supervisors of its store.

        Raises:
            OrderNotFound: there is no such pass at a store of the caller's.
            PassUsed: it has opened a gate.
        """
        found = await store.find_pass(wanted.order_id)
        if found is None or not principal.works_at(found.store_id):
            raise errors.OrderNotFound
        if not principal.works_at(found.store_id, Role.SUPERVISOR):
            raise errors.Forbidden

        async def work(session: Session) -> PassStatus:
            return await self.revoke(session, wanted.order_id, wanted.reason, _author(principal))

        if await in_transaction(self._client, work) is PassStatus.USED:
            raise errors.PassUsed
        return RevokedOut(order_id=wanted.order_id, status=PassStatus.REVOKED)

    async def generate(self, principal: Principal, order_id: str) -> PassOut:
        """The pass of an order, for who paid it; a new one once its time is over or its key is no longer good.

        Raises:
            OrderNotFound: there is no such paid order of the caller's.
            PassUsed: it has opened a gate.
            PassRevoked: it was withdrawn.
        """
        while True:
            found = await store.find_pass(order_id)
            if found is None or found.user_id != principal.user_id:
                raise errors.OrderNotFound
            if found.status is PassStatus.USED:
                raise errors.PassUsed
            if found.status is PassStatus.REVOKED:
                raise errors.PassRevoked
            key = await self._keys.named(found.kid)
            if key is not None and self._clock.now() < found.expires_at:
                return _shown(found, key)
            await self._renew(found)

    async def _renew(self, found: Pass) -> None:
        key = await self._keys.signing(found.store_id)
        issued_at = self._clock.now().replace(microsecond=0)
        renewed = msgspec.structs.replace(
            found,
            pass_id=new_id("pas"),
            kid=key.kid,
            issued_at=issued_at,
            expires_at=issued_at + self._ttl,
        )
        await store.renew(found.order_id, found.pass_id, renewed)

    async def rotate_keys(self, principal: Principal, wanted: RotateIn) -> RotatedOut:
        """Let a new key of a store sign from now on. For its managers."""
        if not principal.works_at(wanted.store_id, Role.MANAGER):
            raise errors.Forbidden
        key, withdrawn = await self._keys.rotate(
            wanted.store_id, _author(principal), compromised=wanted.compromised
        )
        return RotatedOut(kid=key.kid, withdrawn=withdrawn)

    async def jwks(self) -> JwksOut:
        """The public keys as a JSON Web Key Set (RFC 7517, RFC 8037); `store_id` says whose passes each signs."""
        return JwksOut(
            keys=[
                Jwk(
                    kty="OKP",
                    crv="Ed25519",
                    x=key.public,
                    kid=key.kid,
                    use="sig",
                    alg=tokens.ALGORITHM,
                    store_id=key.store_id,
                )
                for key in await self._keys.jwks()
            ]
        )


def _author(principal: Principal) -> Author:
    return Author(principal.user_id, principal.name)


def _shown(issued: Pass, key: SigningKey) -> PassOut:
    claims = tokens.Claims(
        issued.store_id,
        issued.order_id,
        issued.issued_at,
        issued.expires_at,
        issued.item_count,
        issued.total_minor,
        issued.check,
    )
    token = tokens.sign(claims, key.kid, key.private)
    return PassOut(
        pass_id=issued.pass_id,
        order_id=issued.order_id,
        status=issued.status,
        token=token,
        qr_svg=qr_svg(token),
        expires_at=issued.expires_at,
        spot_check=issued.check,
    )
