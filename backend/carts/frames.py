"""The socket's frames: JSON text, `type` first. This file is the protocol; its types decode and encode every frame."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from backend.carts.commands import AddItem, LeaveSession, RemoveItem, SetBudget, SetQuantity
from backend.carts.events import (
    BudgetSet,
    CheckoutLocked,
    Entry,
    ItemAdded,
    ItemRemoved,
    MemberJoined,
    MemberLeft,
    QuantitySet,
    SessionStarted,
)
from backend.carts.schemas import SessionOut
from backend.carts.state import Budget, Line, Member
from backend.kit.money import Totals
from backend.kit.schema import CommandId, Id, LimitMinor, Quantity, ScannedCode, Token

MAX_FRAME_BYTES = 16_384

Seq = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class FromClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """A frame from a phone."""


class Hello(FromClient, frozen=True):
    """The first frame. `since` is the last `seq` the phone has; without it, or too far back, it gets a snapshot."""

    token: Token
    since: Seq | None = None


class Add(FromClient, frozen=True):
    id: CommandId
    barcode: ScannedCode
    qty: Quantity = 1

    def command(self) -> AddItem:
        return AddItem(self.barcode, self.qty)


class SetQuantityFrame(FromClient, frozen=True, tag="set_quantity"):
    id: CommandId
    line_id: Id
    qty: Quantity

    def command(self) -> SetQuantity:
        return SetQuantity(self.line_id, self.qty)


class Remove(FromClient, frozen=True):
    id: CommandId
    line_id: Id

    def command(self) -> RemoveItem:
        return RemoveItem(self.line_id)


class SetBudgetFrame(FromClient, frozen=True, tag="set_budget"):
    """Host only. `limit_minor: null` takes the budget away."""

    id: CommandId
    limit_minor: LimitMinor | None

    def command(self) -> SetBudget:
        return SetBudget(self.limit_minor)


class Leave(FromClient, frozen=True):
    id: CommandId

    def command(self) -> LeaveSession:
        return LeaveSession()


class Ping(FromClient, frozen=True):
    pass


CommandFrame = Add | SetQuantityFrame | Remove | SetBudgetFrame | Leave
ClientFrame = Hello | CommandFrame | Ping


class ToClient(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, kw_only=True):
    """A frame to a phone."""


class Snapshot(ToClient, frozen=True):
    """The whole session as of `seq`; replaces what the phone has."""

    seq: int
    session: SessionOut


class EventFrame(ToClient, frozen=True, kw_only=True, tag="event", omit_defaults=True):
    """One step of the cart. `id` is the command's, in the scope of the member `by`."""

    seq: int
    event: str
    by: str
    id: str
    item: Line | UnsetType = UNSET
    member: Member | UnsetType = UNSET
    left: str | UnsetType = UNSET
    payer: str | UnsetType = UNSET
    host_user_id: str | UnsetType | None = UNSET
    limit_minor: int | UnsetType | None = UNSET
    totals: Totals
    budget: Budget | None


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
    pass


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


def encode(frame: ToClient) -> str:
    return _encoder.encode(frame).decode()


def decode(text: str) -> ClientFrame:
    """Read a client's frame strictly.

    Raises:
        msgspec.DecodeError: not JSON, or not a frame (`ValidationError`).
    """
    return _decoder.decode(text)


def encode_entry(entry: Entry) -> str:
    """The `event` frame of a log entry: encoded once, sent to every phone."""
    event = entry.event
    extra: dict[str, Any] = {}
    match event:
        case ItemAdded(line=line) | QuantitySet(line=line) | ItemRemoved(line=line):
            extra["item"] = line
        case MemberJoined(member=member):
            extra["member"] = member
        case MemberLeft(user_id=user_id, host=host):
            extra = {"left": user_id, "host_user_id": host}
        case BudgetSet(limit_minor=limit):
            extra["limit_minor"] = limit
        case CheckoutLocked(payer=payer):
            extra["payer"] = payer
        case SessionStarted(host=host):
            extra = {"member": host, "limit_minor": event.limit_minor}
    frame = EventFrame(
        seq=entry.seq,
        event=event.__struct_config__.tag,  # type: ignore[arg-type]
        by=entry.by,
        id=entry.command_id,
        totals=entry.totals,
        budget=entry.budget,
        **extra,
    )
    return encode(frame)
