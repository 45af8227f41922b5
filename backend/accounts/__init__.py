"""Who somebody is: guests, customers and staff, their logins and their roles at each store.

Invariants:

- A phone and an e-mail belong to one account at most; a unique index says so, not a look before the leap.
- A guest who registers is the same person: the `user_id` stays, and it happens once.
- Passwords are kept as Argon2id hashes, refresh tokens as digests; neither can be read back.
- An access token names a user and a login; both are read with every request, so that an ended login and a
  role taken away count at once.
- One live login has one current refresh token, and that token one successor.

A login, which is one device signed in:

    register, login, guest
             │
             v   ┌── refresh, with the current token or, for 10 s more, with the one before
           live <┘
             │
             ├── logout ──────────────────────────> ended
             ├── refresh with any older token ────> ended: two parties hold its tokens
             └── not refreshed for its life ──────> expired

Whatever ended or expired stays so, and is forgotten when its life is over.
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
