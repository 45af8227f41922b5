"""Passes and the gate on the wire."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from backend.exits.rules import WORDS, EventKind, PassStatus, Reason, Verdict
from backend.kit.schema import CommandId, Id, Input, Name, Output, Token

CODES = "Why: " + " ".join(f"`{code}`: {words}" for code, words in WORDS.items())
"""Every code of a verdict, for the API's description."""


class GenerateIn(Input, frozen=True):
    order_id: Annotated[Id, Meta(examples=["ord_06gznf6c1bf3ka843meq"])]


class PassOut(Output, frozen=True):
    """Show `qr_svg` at the gate. After `expires_at`, ask again for a new one."""

    pass_id: str
    order_id: str
    status: PassStatus
    token: str
    qr_svg: str
    expires_at: datetime
    spot_check: bool


class RevokeIn(Input, frozen=True):
    """Withdraw the pass of an order."""

    order_id: Annotated[Id, Meta(examples=["ord_06gznf6c1bf3ka843meq"])]
    reason: Annotated[
        Name, Meta(description="For the audit trail, on one line.", examples=["Refunded at the till"])
    ]


class RevokedOut(Output, frozen=True):
    order_id: str
    status: PassStatus


class RotateIn(Input, frozen=True):
    """Let a new key sign a store's passes from now on."""

    store_id: Annotated[Id, Meta(examples=["store_demo_blr"])]
    compromised: Annotated[
        bool,
        Meta(
            description="Whether somebody else may have the older keys: then their passes are refused, and the app "
            "gets new ones by `POST /exit-pass/generate`.",
            examples=[False],
        ),
    ]


class RotatedOut(Output, frozen=True):
    """The key that signs now, and the older ones whose passes are refused from now on."""

    kid: str
    withdrawn: list[str]


class ScanIn(Input, frozen=True):
    """A pass in front of a gate."""

    store_id: Annotated[
        Id, Meta(description="The store that the gate stands in.", examples=["store_demo_blr"])
    ]
    gate_id: Annotated[Id, Meta(examples=["gate-1"])]
    token: Annotated[Token, Meta(description="What the QR code says.", examples=["eyJhbGciOiJFZERTQSIs"])]
    nonce: Annotated[
        CommandId,
        Meta(description="New for each scan; sent again only when the answer was lost.", examples=["scan-1"]),
    ]


class GateOrder(Output, frozen=True):
    """What the guard may see of the order, and of its use."""

    order_id: str
    item_count: int
    total_minor: int
    currency: str
    used_at: datetime | None
    used_gate: str | None


class VerdictOut(Output, frozen=True):
    """What the gate does; `reason` can be read aloud."""

    verdict: Annotated[Verdict, Meta(description="`open`: green. `check`: amber. `refuse`: red.")]
    code: Annotated[Reason, Meta(description=CODES)]
    reason: Annotated[str, Meta(examples=[WORDS[Reason.OK]])]
    order: GateOrder | None


class GateEventOut(Output, frozen=True):
    """A row of the audit trail: a scan and its verdict, a withdrawn pass, a key. What does not apply is null."""

    kind: EventKind
    at: datetime
    by: Annotated[str, Meta(description="A `user_id`, or `system`.")]
    by_name: str | None
    gate_id: str | None
    nonce: str | None
    order_id: str | None
    pass_id: str | None
    verdict: Verdict | None
    code: Reason | None
    kid: str | None
    note: Annotated[str | None, Meta(description="Why a pass was withdrawn.")]


class GateEventsOut(Output, frozen=True):
    """Newest first; `next` is the `cursor` of the page after, null on the last."""

    items: list[GateEventOut]
    next: str | None


class Jwk(Output, frozen=True):
    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str
    store_id: str


class JwksOut(Output, frozen=True):
    """JSON Web Key Set, RFC 7517."""

    keys: list[Jwk]
