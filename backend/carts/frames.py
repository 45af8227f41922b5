"""The socket's frames: JSON text, `type` first. This file is the protocol; its types decode and encode every frame."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from backend.carts.commands import (
    AddItem,
    Approve,
    Decline,
    HandOver,
    LeaveSession,
    RemoveItem,
    RemoveMember,
    SetBudget,
    SetQuantity,
    SetRole,
    Undo,
)
from backend.carts.events import (
    AnyEvent,
    BudgetSet,
    CartPaid,
    CheckoutLocked,
    CheckoutUnlocked,
    Entry,
    HostHandedOver,
    ItemAdded,
    ItemApproved,
    ItemDeclined,
    ItemRemoved,
    JoinLinkRenewed,
    MemberJoined,
    MemberLeft,
    MemberRemoved,
    QuantitySet,
    RoleSet,
    SessionAbandoned,
    SessionRestored,
    SessionStarted,
)
from backend.carts.schemas import SessionOut
from backend.carts.state import Budget, CartStatus, Line, Member, MemberRole
from backend.kit.money import Totals
from backend.kit.schema import Category, CommandId, Id, LimitMinor, Quantity, ScannedCode, Token
from backend.live import Frame, text_frame

MAX_FRAME_BYTES = 16_384

Seq = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class FromClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """A frame from a phone."""


class Hello(FromClient, frozen=True):
    """The first frame. `since` is the last `seq` the phone has; without it, or too far back, it gets a snapshot."""

    token: Token
    since: Seq | None = None


class Add(FromClient, frozen=True):
    """Scan a barcode into the cart."""

    id: CommandId
    barcode: ScannedCode
    qty: Quantity = 1

    def command(self) -> AddItem:
        return AddItem(self.barcode, self.qty)


class SetQuantityFrame(FromClient, frozen=True, tag="set_quantity"):
    """Set how many of a line."""

    id: CommandId
    line_id: Id
    qty: Quantity

    def command(self) -> SetQuantity:
        return SetQuantity(self.line_id, self.qty)


class Remove(FromClient, frozen=True):
    """Take a line out of the cart."""

    id: CommandId
    line_id: Id

    def command(self) -> RemoveItem:
        return RemoveItem(self.line_id)


class ApproveFrame(FromClient, frozen=True, tag="approve"):
    """Adults only. The waiting line becomes part of the bill."""

    id: CommandId
    line_id: Id

    def command(self) -> Approve:
        return Approve(self.line_id)


class DeclineFrame(FromClient, frozen=True, tag="decline"):
    """Adults only. The waiting line goes."""

    id: CommandId
    line_id: Id

    def command(self) -> Decline:
        return Decline(self.line_id)


class UndoFrame(FromClient, frozen=True, tag="undo"):
    """Take back one's own latest change of a line, within 5 minutes, if the line is unchanged since."""

    id: CommandId

    def command(self) -> Undo:
        return Undo()


class SetBudgetFrame(FromClient, frozen=True, tag="set_budget"):
    """Host only. The limit of the cart, or of what one `member` adds, or of one `category`; null takes it away."""

    id: CommandId
    limit_minor: LimitMinor | None
    member: Id | None = None
    category: Category | None = None

    def command(self) -> SetBudget:
        return SetBudget(self.limit_minor, self.member, self.category)


class SetRoleFrame(FromClient, frozen=True, tag="set_role"):
    """Host only. What a child adds beyond its allowance waits for approval."""

    id: CommandId
    member: Id
    role: Literal["adult", "child"]

    def command(self) -> SetRole:
        return SetRole(self.member, MemberRole(self.role))


class RemoveMemberFrame(FromClient, frozen=True, tag="remove_member"):
    """Host only. The join link changes too; the host gets the next one as a `join_link` notice."""

    id: CommandId
    member: Id

    def command(self) -> RemoveMember:
        return RemoveMember(self.member)


class HandOverFrame(FromClient, frozen=True, tag="hand_over"):
    """Host only. Another adult becomes the host."""

    id: CommandId
    member: Id

    def command(self) -> HandOver:
        return HandOver(self.member)


class Leave(FromClient, frozen=True):
    """Leave the cart; what one added stays, the socket is closed. The longest-standing adult follows a host who leaves."""

    id: CommandId

    def command(self) -> LeaveSession:
        return LeaveSession()


class Ping(FromClient, frozen=True):
    """Ask whether the server is there."""


CommandFrame = (
    Add
    | SetQuantityFrame
    | Remove
    | ApproveFrame
    | DeclineFrame
    | UndoFrame
    | SetBudgetFrame
    | SetRoleFrame
    | RemoveMemberFrame
    | HandOverFrame
    | Leave
)
ClientFrame = Hello | CommandFrame | Ping


class ToClient(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """A frame to a phone."""


class Snapshot(ToClient, frozen=True):
    """The whole session as of `seq`; replaces what the phone has."""

    seq: int
    session: SessionOut


class EventFrame(ToClient, frozen=True, kw_only=True, tag="event", omit_defaults=True):
    """One step of the cart. `id` is the command's, in the scope of the member `by`.

    Attributes:
        item: the line as it stands now, or as it was before it went.
        undoes: the event that this one takes back.
        member: who joined or changed, as they are now.
        left: who is no longer a member.
        host_user_id: the host from now on; whoever was it before and is still there is an adult.
        status: the session's from now on.
        payer: whose payment holds the cart.
        limit_minor, of_member, of_category: the limit that was set, and of what.
        allowances, category_budgets: those that changed; null for one that ended.
    """

    seq: int
    event: str
    by: str
    id: str
    item: Line | UnsetType = UNSET
    undoes: int | None = None
    member: Member | UnsetType = UNSET
    left: str | UnsetType = UNSET
    host_user_id: str | UnsetType = UNSET
    status: CartStatus | UnsetType = UNSET
    payer: str | UnsetType = UNSET
    limit_minor: int | UnsetType | None = UNSET
    of_member: str | None = None
    of_category: str | None = None
    totals: Totals
    budget: Budget | None
    allowances: Mapping[str, Budget | None] = {}
    category_budgets: Mapping[str, Budget | None] = {}


class Ack(ToClient, frozen=True):
    """The command is on disk as event `seq`, and no crash takes it back."""

    id: str
    seq: int


class ErrorFrame(ToClient, frozen=True, tag="error", omit_defaults=True):
    """A frame was refused and changed nothing. Without `id` it could not be read that far."""

    code: str
    detail: str
    retryable: bool
    id: str | UnsetType = UNSET


class Presence(ToClient, frozen=True):
    """The user ids whose phones are connected now."""

    members: list[str]


class Notice(ToClient, frozen=True):
    """Something for this person alone."""

    kind: str
    data: dict[str, Any]


class Pong(ToClient, frozen=True):
    """The answer to `ping`."""


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


def encode(frame: ToClient) -> Frame:
    return text_frame(_encoder.encode(frame))


def decode(text: str | bytes) -> ClientFrame:
    """Read a client's frame strictly.

    Raises:
        msgspec.DecodeError: not JSON, or not a frame (`ValidationError`).
    """
    return _decoder.decode(text)


def encode_entry(entry: Entry) -> Frame:
    """The `event` frame of a log entry: encoded once, sent to every phone."""
    frame = EventFrame(
        seq=entry.seq,
        event=entry.event.__struct_config__.tag,  # type: ignore[arg-type]
        by=entry.by,
        id=entry.command_id,
        totals=entry.totals,
        budget=entry.budget,
        allowances=entry.allowances,
        category_budgets=entry.category_budgets,
        **_particulars(entry.event),
    )
    return encode(frame)


def _particulars(event: AnyEvent) -> dict[str, Any]:
    """What an event of its kind tells beside the bill."""
    match event:
        case ItemAdded() | QuantitySet() | ItemRemoved():
            return {"item": event.line, "undoes": event.undoes}
        case ItemApproved() | ItemDeclined():
            return {"item": event.line}
        case MemberJoined() | RoleSet():
            return {"member": event.member}
        case MemberLeft(host=None):
            return {"left": event.user_id, "status": CartStatus.ABANDONED}
        case MemberLeft():
            return {"left": event.user_id, "host_user_id": event.host}
        case MemberRemoved():
            return {"left": event.user_id}
        case HostHandedOver():
            return {"host_user_id": event.host}
        case BudgetSet():
            return {
                "limit_minor": event.limit_minor,
                "of_member": event.member,
                "of_category": event.category,
            }
        case CheckoutLocked():
            return {"payer": event.payer, "status": CartStatus.LOCKED}
        case CheckoutUnlocked() | SessionRestored():
            return {"status": CartStatus.ACTIVE}
        case CartPaid():
            return {"status": CartStatus.COMPLETED}
        case SessionAbandoned():
            return {"status": CartStatus.ABANDONED}
        case SessionStarted():
            return {"member": event.host, "limit_minor": event.limit_minor}
        case JoinLinkRenewed():
            return {}
