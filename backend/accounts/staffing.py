"""The staff of a store, managed by its managers. Nobody needs e-mail: a manager reads a one-time code to the clerk."""

from datetime import timedelta

from msgspec import structs

from backend.accounts import store, store_staff
from backend.accounts.contacts import read_contacts
from backend.accounts.documents import UserDocument
from backend.accounts.rules import (
    Kind,
    Principal,
    Role,
    Roles,
    StoreRole,
    code_fault,
    role_at,
    staffing_fault,
    with_role,
)
from backend.accounts.schemas_staff import CodeOut, NewStaffOut, StaffIn, StaffOut
from backend.errors import BY_CODE, Conflict, ContactTaken, Forbidden
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.secrets import Keyring, bare_code, random_code

CODE_TTL = timedelta(hours=24)
"""Until the clerk's next shift."""


class Staff:
    """The staff of all stores. What a manager may is in `rules`."""

    def __init__(self, clock: Clock, keyring: Keyring) -> None:
        self._clock = clock
        self._keyring = keyring

    async def of_store(self, manager: Principal, store_id: str) -> list[StaffOut]:
        """Who works at the store.

        Raises:
            Forbidden: the caller is no manager of the store.
        """
        _require_manager(manager, store_id)
        found = [(user, role_at(user.roles, store_id)) for user in await store_staff.of_store(store_id)]
        return [_out(user, role) for user, role in found if role is not None]

    async def add(self, manager: Principal, store_id: str, data: StaffIn) -> NewStaffOut:
        """Add a person: a new account with a code to set its password, or a role for who works elsewhere already.

        Raises:
            Forbidden: the caller is no manager of the store.
            InvalidContact: this is no e-mail address.
            ContactTaken: it is a customer's, or of somebody who works at this store.
        """
        _require_manager(manager, store_id)
        contacts = read_contacts(None, data.email)
        held, code, expires_at = StoreRole(store_id, data.role), random_code(), self._clock.now() + CODE_TTL
        user = UserDocument(
            id=new_id("usr"),
            kind=Kind.STAFF,
            name=data.name,
            email=contacts["email"],
            roles=(held,),
            code_digest=self.code_digest(code),
            code_expires_at=expires_at,
            created_at=self._clock.now(),
        )
        try:
            await store.insert_user(user)
        except ContactTaken:
            known = await store_staff.add_role(contacts["email"], held)
            if known is None:
                raise ContactTaken("A customer, or somebody of this store, has this e-mail.") from None
            return _new(known, data.role, None)
        return _new(user, data.role, CodeOut(code=code, expires_at=expires_at))

    async def set_role(self, manager: Principal, store_id: str, user_id: str, role: Role) -> StaffOut:
        """Give a person of the store another role there. It counts at once.

        Raises:
            Forbidden: the caller is, at this very moment, no manager of the store.
            NotFound: the person does not work there.
            LastManager: they are its last manager.
        """
        return _out(await self._change(manager, store_id, user_id, role), role)

    async def remove(self, manager: Principal, store_id: str, user_id: str) -> None:
        """Take a person's role at the store away. It counts at once.

        Raises: as `set_role`.
        """
        await self._change(manager, store_id, user_id, None)

    async def _change(
        self, manager: Principal, store_id: str, user_id: str, role: Role | None
    ) -> UserDocument:
        _require_manager(manager, store_id)

        def decide(actor: Roles, person: Roles, managers: int) -> Roles:
            if fault := staffing_fault(actor, person, store_id, role, managers):
                raise BY_CODE[fault]
            return with_role(person, store_id, role)

        return await store_staff.change_roles(store_id, manager.user_id, user_id, decide)

    async def give_code(self, manager: Principal, store_id: str, user_id: str) -> CodeOut:
        """Make a code by which a person of the store sets a new password; one given before is void.

        Raises:
            Forbidden: the caller is no manager of every store where they work, or asks for themselves.
            NotFound: the person does not work there.
            Conflict: their roles changed meanwhile.
        """
        _require_manager(manager, store_id)
        person = await store.find_user(user_id)
        roles = person.roles if person else ()
        if fault := code_fault(manager.roles, roles, store_id, oneself=user_id == manager.user_id):
            raise BY_CODE[fault]
        code, expires_at = random_code(), self._clock.now() + CODE_TTL
        if not await store_staff.put_code(user_id, roles, self.code_digest(code), expires_at):
            raise Conflict("Their roles changed meanwhile; look again.")
        return CodeOut(code=code, expires_at=expires_at)

    def code_digest(self, code: str) -> str:
        """What is stored of a code, under a key: it is short enough to be found by trying all, were it a bare digest."""
        return self._keyring.sign("staff-code", bare_code(code).encode())


def _require_manager(caller: Principal, store_id: str) -> None:
    if not caller.works_at(store_id, Role.MANAGER):
        raise Forbidden


def _out(user: UserDocument, role: Role) -> StaffOut:
    return StaffOut(
        user_id=user.id,
        name=user.name,
        email=user.email,
        role=role,
        has_password=user.password_hash is not None,
    )


def _new(user: UserDocument, role: Role, code: CodeOut | None) -> NewStaffOut:
    return NewStaffOut(**structs.asdict(_out(user, role)), code=code)
