"""Leaving: a signed pass for a paid order, and a gate that opens once for it.

A pass is a JWT signed with Ed25519 (RFC 8037) by a key of its store. Whoever has the store's published keys can check
signature, store and time without asking; that it opens once is decided here, by one conditional update keyed on
the order, whatever the token's text looks like.

Invariants:
    - One order opens one gate once. The same scan repeated (same gate, same nonce) gets the same answer, whatever it
      was; the nonce with another token is refused.
    - `check` does not use the pass up; the guard's release does, and releases nothing that was not checked.
    - A pass is revoked or used, never both.
    - No verdict, release, revocation or new key without its row in the trail, written before the answer goes out; a
      row is never changed once it has its answer, holds no token, and is forgotten after 180 days.
    - A pass that is in time is not refused because keys change: a key signs a day after it was published and stays
      published until its last pass has run out. Only a manager who declares keys compromised has their passes refused.
    - A token has at most 330 characters, so that its QR code reads from a bad picture.

    issued ── verify: open ────────────────────> used
      │  ├─── verify: check ── guard releases ──^
      │  └─── revoke ──────────────────────────> revoked
      └── its time is over, or its key was withdrawn or is lost ── generate ──> issued, with a new token

    key:  published ── 24 h (a first or an urgent one: at once) ──> signs ── the next one signs ──> published
          ── pass life and 5 min ──> forgotten;   any of these ── compromised ──> withdrawn, its passes refused
"""

from backend.exits.documents import ExitKeyDocument, ExitPassDocument, GateEventDocument
from backend.exits.gate import Gate
from backend.exits.keys import Author, ExitKeys
from backend.exits.routes import ROUTES
from backend.exits.rules import PassStatus
from backend.exits.service import Exits

DOCUMENTS = [ExitKeyDocument, ExitPassDocument, GateEventDocument]

__all__ = ["DOCUMENTS", "ROUTES", "Author", "ExitKeys", "Exits", "Gate", "PassStatus"]
