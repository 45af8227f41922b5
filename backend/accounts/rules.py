"""Who may do what, which passwords are refused, and when an old refresh token is still honest. Pure."""

import unicodedata
from collections.abc import Iterable
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

_OWN_PART_MIN = 4
_PHONE_TAIL = 8

_MOST_COMMON = """
00000000 0123456789 0987654321 11111111 1111111111 11223344 112233445566 12121212 123123123 12341234
12344321 12345678 123456789 1234567890 123456789a 123456abc 1234qwer 123qweasd 147258369 1q2w3e4r
1q2w3e4r5t 1qaz2wsx 1qaz@wsx 22222222 55555555 66666666 741852963 77777777 789456123 87654321 88888888
987654321 9876543210 99999999 a1234567 a123456789 a1b2c3d4 aa123456 aaaaaaaa abc12345 abcd1234 abcd@1234
abcdefgh admin123 admin@123 administrator alexander asdf1234 asdfasdf asdfghjk asdfghjkl babygirl baseball
basketball beautiful bismillah blink182 butterfly changeme charlie1 chocolate computer creative danielle
dragon123 elizabeth football guest123 hello123 helloworld hindustan iloveyou iloveyou1 india123 india@123
indya123 internet jennifer jonathan krishna123 letmein1 letmein123 liverpool lovelove master123 michael1
michelle midnight monkey123 nicholas p@ssw0rd p@ssword pakistan pass@123 passw0rd password password1
password12 password123 password@123 pokemon1 princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsxedc qwer1234
qwerty12 qwerty123 qwerty1234 qwertyui qwertyuiop root1234 secret123 spiderman starwars sunflower sunshine
superman superstar sweetheart test1234 testtest trustno1 user1234 victoria welcome1 welcome123 welcome@123
whatever zaq12wsx zxcvbnm1
"""
COMMON_PASSWORDS = frozenset(_MOST_COMMON.split())
"""Passwords of 8 characters and more that recur at the head of counts of leaked ones; in lower case."""


def normalise_password(password: str) -> str:
    """NFC, so that one password typed on two keyboards is one password (RFC 8265 §4.2.2, OpaqueString)."""
    return unicodedata.normalize("NFC", password)


def password_fault(password: str, contacts: Iterable[str]) -> str | None:
    """Why a password is refused for the person with these contacts, or None when it will do.

    Counted in code points of the normalised form. Their own e-mail's local part (from 4 characters on) and
    their own phone number (its last 8 digits) may not occur in it.
    """
    normal = normalise_password(password)
    if not PASSWORD_MIN <= len(normal) <= PASSWORD_MAX:
        return f"A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters."
    folded = normal.casefold()
    if folded in COMMON_PASSWORDS:
        return "This password is among the most common ones; choose another."
    if any(part in folded for part in map(_own_part, contacts) if len(part) >= _OWN_PART_MIN):
        return "The password contains your own phone number or e-mail address; choose another."
    return None


def _own_part(contact: str) -> str:
    if "@" in contact:
        return contact.partition("@")[0].partition("+")[0].casefold()
    return contact[-_PHONE_TAIL:]


RETRY_GRACE = timedelta(seconds=10)


def is_retry(presented: str, previous: str | None, rotated_at: datetime | None, now: datetime) -> bool:
    """Whether the token with this digest is the one just rotated, sent again because the answer was lost."""
    return presented == previous and rotated_at is not None and now - rotated_at < RETRY_GRACE
