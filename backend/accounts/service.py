"""The use cases of accounts."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from backend.accounts import store, store_staff
from backend.accounts.contacts import Contacts, read_contacts
from backend.accounts.devices import Devices, is_credential
from backend.accounts.documents import LoginDocument, UserDocument
from backend.accounts.logins import Logins
from backend.accounts.passwords import Passwords
from backend.accounts.rules import Kind, Principal, StoreRole, is_retry
from backend.accounts.schemas import LoginIn, PasswordIn, RegisterIn, TokensOut, UserOut
from backend.accounts.schemas_staff import SetPasswordIn
from backend.accounts.sources import UNKNOWN, Source
from backend.accounts.staffing import Staff
from backend.accounts.strength import password_fault
from backend.accounts.tokens import AccessTokens
from backend.errors import (
    AlreadyRegistered,
    Forbidden,
    NotAuthenticated,
    RefreshReused,
    WeakPassword,
    WrongCredentials,
)
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.secrets import Keyring, digest, random_token
from backend.settings import Settings


class Accounts:
    """Signs people in and knows who they are. One for a process; it keeps nothing between calls.

    Attributes:
        logins: where people are signed in.
        staff: of stores.
        devices: those at gates, which have no account.
    """

    def __init__(self, settings: Settings, clock: Clock, keyring: Keyring) -> None:
        self._refresh_ttl = timedelta(seconds=settings.qless_refresh_ttl_s)
        self._clock = clock
        self._keyring = keyring
        self._passwords = Passwords()
        self._access_tokens = AccessTokens(settings, clock, keyring)
        self.logins = Logins(clock)
        self.staff = Staff(clock, keyring)
        self.devices = Devices(clock)

    async def register(
        self, data: RegisterIn, principal: Principal | None, source: Source = UNKNOWN
    ) -> TokensOut:
        """Make a customer; of a guest the same person with the same `user_id`, whose logins go on.

        Raises:
            InvalidContact, WeakPassword: what was given will not do.
            ContactTaken: the phone or the e-mail has an account.
            AlreadyRegistered: the caller is not, or no longer, a guest.
            Forbidden: the caller is a device.
        """
        if principal is not None and principal.kind is Kind.DEVICE:
            raise Forbidden
        contacts = read_contacts(data.phone, data.email)
        _refuse_weak(data.password, [contacts.get("phone"), contacts.get("email")], data.name)
        password_hash = await self._passwords.hash(data.password)
        if principal is None:
            user = self._new_user(Kind.CUSTOMER, data.name, password_hash=password_hash, **contacts)
            await store.insert_user(user)
            return await self._sign_in(user, source)
        upgraded = await store.upgrade_guest(principal.user_id, data.name, password_hash, contacts)
        if upgraded is None:
            raise AlreadyRegistered
        return await self._sign_in(upgraded, source)

    async def login(self, data: LoginIn, source: Source = UNKNOWN) -> TokensOut:
        """Start another login of an account. Nobody's account and a wrong password look and cost the same.

        A password that is changed meanwhile signs nobody in: its change ended the logins that it saw, and a login
        that it cannot have seen looks again when it is stored.

        Raises:
            WrongCredentials
            InvalidContact: what was given cannot be anybody's.
        """
        user = await store.find_by_contacts(read_contacts(data.phone, data.email))
        stored_hash = user.password_hash if user else None
        matches = await self._passwords.matches(data.password, stored_hash)
        if user is None or stored_hash is None or not matches:
            raise WrongCredentials
        if self._passwords.is_outdated(stored_hash):
            await store.replace_hash(user.id, stored_hash, await self._passwords.hash(data.password))
        login_id, refresh_token = await self._begin_login(user, source)
        after = await store.find_user(user.id)
        if after is None or after.password_version != user.password_version:
            await store.end_login(login_id, "password", self._clock.now())
            raise WrongCredentials
        return self._tokens(after, login_id, refresh_token)

    async def whose(self, contacts: Contacts, source: Source) -> tuple[str, bool]:
        """What names the account of these contacts, and whether somebody signed in to it from there lately.

        Either contact of an account gives the same name. Nobody's have names as well, and cost the same.
        """
        user = await store.find_by_contacts(contacts)
        name = user.id if user else " ".join(map(str, contacts.values()))
        return name, await store.has_login_from(name, self._network(source))

    async def guest(self, name: str, source: Source = UNKNOWN) -> TokensOut:
        """Make an account that only its tokens can reach, until it is registered."""
        user = self._new_user(Kind.GUEST, name)
        await store.insert_user(user)
        return await self._sign_in(user, source)

    async def refresh(self, token: str) -> TokensOut:
        """Exchange a login's newest refresh token for its successor and a new access token.

        The successor is derived from the token under a key of ours, so one token has one successor: the token
        just exchanged is taken again for 10 s, because the phone may have lost the answer, and gets the same
        one. Any other old token means that two parties hold the login's tokens: the login ends.

        Raises:
            RefreshReused: an old token; the login has been ended.
            NotAuthenticated: not a token of a live login.
        """
        now = self._clock.now()
        login_id = token.partition(".")[0]
        successor = self._successor(login_id, token)
        login = await store.rotate_if_current(
            login_id, digest(token), digest(successor), now, now + self._refresh_ttl
        )
        if login is None:
            login = await self._settle_old_token(login_id, token, now)
        user = await store.find_user(login.user_id)
        if user is None:
            raise NotAuthenticated
        return self._tokens(user, login_id, successor)

    async def logout(self, principal: Principal) -> None:
        """End the login that the caller used; their others go on."""
        await store.end_login(principal.login_id, "logout", self._clock.now())

    async def change_password(self, caller: Principal, data: PasswordIn) -> None:
        """Replace the password, and end the caller's other logins: whoever knew the old one is out.

        Raises:
            WeakPassword: the new one will not do.
            WrongCredentials: the old one is not the caller's, or no longer, or there is none.
        """
        user = await store.find_user(caller.user_id)
        if user is None:
            raise NotAuthenticated
        _refuse_weak(data.new, [user.phone, user.email], user.name)
        if not await self._passwords.matches(data.old, user.password_hash):
            raise WrongCredentials
        new_hash = await self._passwords.hash(data.new)
        if not await store.change_password(user.id, user.password_version, new_hash):
            raise WrongCredentials
        await store.end_others(user.id, caller.login_id, "password", self._clock.now())

    async def set_password(self, data: SetPasswordIn, source: Source = UNKNOWN) -> TokensOut:
        """Set the password of a member of staff by a code from their manager, and sign them in here alone.

        Raises:
            InvalidContact, WeakPassword: what was given will not do; the code stays good.
            WrongCredentials: nobody's e-mail, or the code is wrong, used, void or over.
        """
        contacts = read_contacts(None, data.email)
        email = contacts["email"]
        _refuse_weak(data.new, [email], "")
        code_digest, now = self.staff.code_digest(data.code), self._clock.now()
        if not await store_staff.has_code(email, code_digest, now):
            raise WrongCredentials
        new_hash = await self._passwords.hash(data.new)
        user = await store_staff.use_code(email, code_digest, now, new_hash)
        if user is None:
            raise WrongCredentials
        await store.end_others(user.id, "", "password", now)
        return await self._sign_in(user, source)

    async def authenticate(self, bearer: str) -> Principal:
        """Who holds this access token, with the roles that they have now; or which device this credential.

        Raises:
            TokenExpired: refresh it.
            NotAuthenticated: nothing of ours, or its login has ended, or the device was revoked.
        """
        if is_credential(bearer):
            return await self.devices.authenticate(bearer)
        claims = self._access_tokens.read(bearer)
        user = await store.find_user_of_live_login(claims.login_id, self._clock.now())
        if user is None or user.id != claims.user_id:
            raise NotAuthenticated("The login has ended; sign in again.")
        return Principal(user.id, claims.login_id, user.kind, user.name, user.roles)

    async def me(self, principal: Principal) -> UserOut:
        """The caller's own account."""
        user = await store.find_user(principal.user_id)
        if user is None:
            raise NotAuthenticated
        return _user_out(user)

    async def create_staff(self, email: str, password: str, name: str, roles: Iterable[StoreRole]) -> str:
        """Make the member of staff with this e-mail, or give them this password, name and roles; their id.

        Raises:
            InvalidContact, WeakPassword: what was given will not do.
            ContactTaken: the e-mail is a customer's.
        """
        contacts = read_contacts(None, email)
        _refuse_weak(password, [contacts.get("email")], name)
        password_hash = await self._passwords.hash(password)
        user = self._new_user(Kind.STAFF, name, password_hash=password_hash, roles=tuple(roles), **contacts)
        return await store.insert_or_update_staff(user)

    async def _settle_old_token(self, login_id: str, token: str, now: datetime) -> LoginDocument:
        login = await store.find_live_login(login_id, now)
        if login is None:
            raise NotAuthenticated("The login has ended; sign in again.")
        if not is_retry(digest(token), login.previous_digest, login.rotated_at, now):
            await store.end_login(login_id, "reused", now)
            raise RefreshReused
        return login

    def _new_user(self, kind: Kind, name: str, **fields: Any) -> UserDocument:
        return UserDocument(id=new_id("usr"), kind=kind, name=name, created_at=self._clock.now(), **fields)

    async def _sign_in(self, user: UserDocument, source: Source) -> TokensOut:
        return self._tokens(user, *await self._begin_login(user, source))

    async def _begin_login(self, user: UserDocument, source: Source) -> tuple[str, str]:
        """The id of a new login and its refresh token."""
        login_id, now = new_id("lgn"), self._clock.now()
        refresh_token = f"{login_id}.{random_token()}"
        login = LoginDocument(
            id=login_id,
            user_id=user.id,
            device=source.device,
            network=self._network(source),
            begun_at=now,
            refresh_digest=digest(refresh_token),
            expires_at=now + self._refresh_ttl,
        )
        await store.insert_login(login)
        return login_id, refresh_token

    def _network(self, source: Source) -> str:
        return self._keyring.sign("login-network", source.network.encode())

    def _successor(self, login_id: str, refresh_token: str) -> str:
        return f"{login_id}.{self._keyring.sign('refresh-token', refresh_token.encode())}"

    def _tokens(self, user: UserDocument, login_id: str, refresh_token: str) -> TokensOut:
        return TokensOut(
            access_token=self._access_tokens.issue(user.id, login_id),
            refresh_token=refresh_token,
            token_type="Bearer",  # noqa: S106 - a scheme, not a secret
            expires_in=self._access_tokens.ttl_s,
            user=_user_out(user),
        )


def _refuse_weak(password: str, contacts: Iterable[str | None], name: str) -> None:
    fault = password_fault(password, filter(None, contacts), name)
    if fault is not None:
        raise WeakPassword(fault)


def _user_out(user: UserDocument) -> UserOut:
    return UserOut(
        user_id=user.id, kind=user.kind, name=user.name, roles=user.roles, phone=user.phone, email=user.email
    )
