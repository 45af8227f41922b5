"""Sessions and carts on the wire."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from backend.carts.state import Budget, CartState, CartStatus, Line, Member
from backend.kit.money import Totals
from backend.kit.schema import Id, Input, LimitMinor, Name, Output, Quantity, ScannedCode, Token


class StartIn(Input, frozen=True):
    """Begin to shop at a store."""

    store_id: Annotated[Id, Meta(examples=["store_demo_blr"])]
    budget_limit_minor: Annotated[
        LimitMinor | None,
        Meta(description="The family's budget in minor units; none, no flag.", examples=[200000]),
    ] = None


class JoinIn(Input, frozen=True):
    """Enter the family's cart."""

    token: Annotated[
        Token,
        Meta(description="What follows `#` in the join link.", examples=["DsHMCQGyxCLMercGGu2lItfwTfyFPSU2"]),
    ]
    name: Annotated[Name | None, Meta(examples=["Asha"])] = None


class AddIn(Input, frozen=True):
    """Scan a barcode into the cart."""

    session_id: Annotated[Id, Meta(examples=["ses_06gznf69d7p1h8psm4pr"])]
    barcode: Annotated[ScannedCode, Meta(examples=["8901719703034"])]
    qty: Annotated[Quantity, Meta(examples=[1])] = 1


class RemoveIn(Input, frozen=True):
    """Take a line out of the cart."""

    session_id: Annotated[Id, Meta(examples=["ses_06gznf69d7p1h8psm4pr"])]
    line_id: Annotated[Id, Meta(examples=["l2"])]


class JoinOut(Output, frozen=True):
    """How the family gets in: show `qr_svg`, or send `url`. The token stands in the url's fragment and is kept nowhere."""

    url: str
    token: str
    expires_at: datetime
    qr_svg: str


class SessionOut(Output, frozen=True, omit_defaults=True):
    """A session and its cart as of `seq`."""

    session_id: str
    store_id: str
    status: CartStatus
    seq: int
    host_user_id: str
    participants: list[Member]
    items: Annotated[list[Line], Meta(description="The bill's lines, and those with `waiting` for approval.")]
    totals: Totals
    budget: Budget | None
    allowances: Annotated[dict[str, Budget], Meta(description="By user id.")]
    category_budgets: Annotated[dict[str, Budget], Meta(description="By the category's name.")]
    started_at: datetime
    changed_at: datetime
    join: JoinOut | UnsetType = UNSET


class CommittedOut(Output, frozen=True):
    """The command is on disk as event `seq`; the cart as of then, or later."""

    seq: int
    session: SessionOut


def session_out(state: CartState, join: JoinOut | UnsetType = UNSET) -> SessionOut:
    return SessionOut(
        session_id=state.session_id,
        store_id=state.store_id,
        status=state.status,
        seq=state.seq,
        host_user_id=state.host,
        participants=list(state.members.values()),
        items=list(state.lines.values()),
        totals=state.totals,
        budget=state.budget,
        allowances=state.allowances,
        category_budgets=state.category_budgets,
        started_at=state.started_at,
        changed_at=state.changed_at,
        join=join,
    )
