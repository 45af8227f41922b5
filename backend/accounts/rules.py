"""Who may do what, what a password is, and when an old refresh token is still honest. Pure."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """Who is asking. A guest becomes a customer by registering; nothing else ever changes it.

    A device stands at a gate and has no account.
    """

    GUEST = "guest"
    CUSTOMER = "customer"
    STAFF = "staff"
    DEVICE = "device"


class Role(StrEnum):
    """What a member of staff does at one store."""

    CASHIER = "cashier"
    GATE = "gate"
    SUPERVISOR = "supervisor"
    MANAGER = "manager"


INCLUDES: dict[Role, frozenset[Role]] = {
    Role.CASHIER: frozenset({Role.CASHIER}),
    Role.GATE: frozenset({Role.GATE}),
    Role.SUPERVISOR: frozenset({Role.SUPERVISOR, Role.CASHIER, Role.GATE}),
    Role.MANAGER: frozenset(Role),
}
"""Whose work a role may do, its own included."""


@dataclass(frozen=True, slots=True)
class StoreRole:
    """One role, held at one store and at no other."""

    store_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as the database knew them when the request came in.

    Attributes:
        user_id, login_id: a device's own id is both.
        roles: of staff; a device is `Role.GATE` at its store.
        gate_id: the one gate that a device works at; None for people, who work at any gate of their stores.
    """

    user_id: str
    login_id: str
    kind: Kind
    name: str
    roles: tuple[StoreRole, ...] = ()
    gate_id: str | None = None

    def works_at(self, store_id: str, *roles: Role) -> bool:
        """Whether they may do the work of one of these roles at this store; with none named, any work."""
        wanted = frozenset(roles or Role)
        return any(held.store_id == store_id and INCLUDES[held.role] & wanted for held in self.roles)


Roles = tuple[StoreRole, ...]


def role_at(roles: Roles, store_id: str) -> Role | None:
    """What somebody with these roles does at a store: of several the widest."""
    held = [one.role for one in roles if one.store_id == store_id]
    return max(held, key=lambda role: len(INCLUDES[role]), default=None)


def with_role(roles: Roles, store_id: str, role: Role | None) -> Roles:
    """The roles with this one, and no other, at the store; with None, with none there."""
    elsewhere = tuple(one for one in roles if one.store_id != store_id)
    return elsewhere if role is None else (*elsewhere, StoreRole(store_id, role))


def staffing_fault(
    actor: Roles, person: Roles, store_id: str, role: Role | None, managers: int
) -> Literal["forbidden", "not_found", "last_manager"] | None:
    """Why somebody may not give a person another role at a store, or take it away; None when they may.

    Managers rule over their own store, themselves included; but a store that has a manager keeps one.

    Args:
        actor, person: what both do now; they may be one.
        role: None takes the person's role at the store away.
        managers: how many the store has now.
    """
    if role_at(actor, store_id) is not Role.MANAGER:
        return "forbidden"
    held = role_at(person, store_id)
    if held is None:
        return "not_found"
    if held is Role.MANAGER and role is not Role.MANAGER and managers <= 1:
        return "last_manager"
    return None


def code_fault(
    actor: Roles, person: Roles, store_id: str, *, oneself: bool
) -> Literal["forbidden", "not_found"] | None:
    """Why somebody may not give a person of a store a code for a new password; None when they may.

    Who has the code can become that person. So it takes a manager of every store where they work; and nobody gets past
    their own old password.
    """
    if role_at(actor, store_id) is not Role.MANAGER:
        return "forbidden"
    if role_at(person, store_id) is None:
        return "not_found"
    manages_all = all(role_at(actor, held.store_id) is Role.MANAGER for held in person)
    return None if manages_all and not oneself else "forbidden"


PASSWORD_MIN = 8
PASSWORD_MAX = 128


def normalise_password(password: str) -> str:
    """NFC, so that one password typed on two keyboards is one password (RFC 8265 §4.2.2, OpaqueString)."""
    return unicodedata.normalize("NFC", password)


RETRY_GRACE = timedelta(seconds=10)


def is_retry(presented: str, previous: str | None, rotated_at: datetime | None, now: datetime) -> bool:
    """Whether the token with this digest is the one just rotated, sent again because the answer was lost."""
    return presented == previous and rotated_at is not None and now - rotated_at < RETRY_GRACE
