"""Leaving: a signed pass for a paid order, and a gate that opens once for it.

A pass is a JWT signed with Ed25519 (RFC 8037) by a key of its store. Whoever has the store's published keys can check
signature, store and time without asking; that it opens once is decided here, by one conditional update keyed on
the order, whatever the token's text looks like.

Invariants:
    - One order opens one gate once. The same scan repeated (same gate, same nonce) gets the same answer.
    - `check` does not use the pass up; the guard's release does.
    - A token has at most 330 characters, so that its QR code reads from a bad picture.

    issued ── verify: open ────────────────────> used
      │  └─── verify: check ── guard releases ──^
      └── its time is over ── generate ──> issued, with a new token
"""

from backend.exits.documents import ExitKeyDocument, ExitPassDocument
from backend.exits.keys import ExitKeys
from backend.exits.routes import ROUTES
from backend.exits.service import Exits

DOCUMENTS = [ExitKeyDocument, ExitPassDocument]

__all__ = ["DOCUMENTS", "ROUTES", "ExitKeys", "Exits"]
