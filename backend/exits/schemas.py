"""Passes and the gate on the wire."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from backend.exits.rules import PassStatus, Reason, Verdict
from backend.kit.schema import CommandId, Id, Input, Output, Token


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

    verdict: Verdict
    code: Reason
    reason: str
    order: GateOrder | None


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
