"""Who somebody is: guests, customers and staff, their logins, their roles at each store; and the devices at gates.

Invariants:

- A phone and an e-mail belong to one account at most; a unique index says so, not a look before the leap.
- A guest who registers is the same person: the `user_id` stays, and it happens once.
- Passwords are kept as Argon2id hashes; refresh tokens, codes and credentials as digests. None can be read back.
- An access token names a user and a login; both are read with every request, so that an ended login and a
  role taken away count at once. So is a device, with its credential.
- One live login has one current refresh token, and that token one successor.
- A new password ends all other logins, also one that is being made by the old password meanwhile.
- A store that has a manager keeps one. Only a manager of all stores of a person can give them a new password.
- A device works at one gate of one store; `at_gate` is the only guard that lets it in.

A login, which is one device signed in:

    register, login, guest, a code from a manager
             │
             v   ┌── refresh, with the current token or, for 10 s more, with the one before
           live <┘
             │
             ├── logout, or its owner from elsewhere ──> ended
             ├── a new password, set elsewhere ────────> ended
             ├── refresh with any older token ─────────> ended: two parties hold its tokens
             └── not refreshed for its life ───────────> expired

Whatever ended or expired stays so, and is forgotten when its life is over. Every process asks each second which logins
ended, and closes their sockets.

A member of staff:

    added by a manager                     a new code, and none before it is good
             │                              ┌───────┐
             v                              │       v
       without password ── the code ──> with password

A code is good once and for a day, and void as soon as the account's roles change: it was given for others.
"""

from backend.accounts.documents import DOCUMENTS
from backend.accounts.guards import BEARER, Caller, MaybeCaller, at_gate, signed_in, staff
from backend.accounts.routes import ROUTES
from backend.accounts.rules import Kind, Principal, Role, StoreRole
from backend.accounts.schemas import RegisterIn
from backend.accounts.service import Accounts

__all__ = [
    "BEARER",
    "DOCUMENTS",
    "ROUTES",
    "Accounts",
    "Caller",
    "Kind",
    "MaybeCaller",
    "Principal",
    "RegisterIn",
    "Role",
    "StoreRole",
    "at_gate",
    "signed_in",
    "staff",
]
