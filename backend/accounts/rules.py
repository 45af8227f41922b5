"""Who may do what, what a password is, and when an old refresh token is still honest. Pure."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


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


PASSWORD_MIN = 8
PASSWORD_MAX = 128


def normalise_password(password: str) -> str:
    """NFC, so that one password typed on two keyboards is one password (RFC 8265 §4.2.2, OpaqueString)."""
    return unicodedata.normalize("NFC", password)


RETRY_GRACE = timedelta(seconds=10)


def is_retry(presented: str, previous: str | None, rotated_at: datetime | None, now: datetime) -> bool:
    """Whether the token with this digest is the one just rotated, sent again because the answer was lost."""
    return presented == previous and rotated_at is not None and now - rotated_at < RETRY_GRACE
