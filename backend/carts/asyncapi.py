"""The live cart's socket, described as AsyncAPI 3.0 at `GET /schema/events`.

Made of the very types that decode and encode the frames, of the close codes and the error codes: what is new there is
here by itself. What types cannot say is in `glossary` (what a name means) and `examples`; tests tell what is missing,
and hold every frame of the whole test run against this description.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from inspect import cleandoc
from typing import Any, get_args

import msgspec
from litestar import MediaType, Response, get
from litestar.datastructures import State

from backend.carts import rules
from backend.carts.events import AnyEvent, Event
from backend.carts.examples import examples
from backend.carts.frames import (
    MAX_FRAME_BYTES,
    Ack,
    ClientFrame,
    CommandFrame,
    ErrorFrame,
    EventFrame,
    FromClient,
    Hello,
    Ping,
    Pong,
    Snapshot,
    ToClient,
)
from backend.carts.glossary import GLOSSARY
from backend.carts.service import RESUME_AT_MOST
from backend.carts.sockets import HELLO_WITHIN_S, cart_socket
from backend.errors import BY_CODE
from backend.live import CloseCode

Json = dict[str, Any]
Frames = Sequence[type[FromClient] | type[ToClient]]

CLIENT_FRAMES: tuple[type[FromClient], ...] = get_args(ClientFrame)
SERVER_FRAMES: tuple[type[ToClient], ...] = tuple(ToClient.__subclasses__())
EVENTS: tuple[type[Event], ...] = get_args(AnyEvent)

ABOUT = "A family's phones scan into one cart over this socket, and every screen is in step. All else is at `/schema`."

RULES = f"""\
Text frames of JSON, at most {MAX_FRAME_BYTES // 1024} KiB each, `type` in each.

- **Hello.** The first frame is `hello`, within {HELLO_WITHIN_S:g} s; nothing else is read before it. It may be sent
  again: after a gap, or with a fresh token.
- **Who may.** The access token of the HTTP API goes into `hello` and nowhere else: never into the address, where logs
  would keep it. Its user must be a member of the cart; somebody else's cart looks like none. A browser's page must be
  of the server's origin, or of one that the server was told of.
- **Order.** `seq` grows by one. A phone that sees a gap says `hello` with `since`, the last `seq` that it has: up to
  {RESUME_AT_MOST} events are sent one by one, further back a `snapshot`, which replaces what the phone has.
- **Ack.** `ack` means: on disk, and no crash takes it back. The `ack` and the `event` of a command come in either order.
- **Ids.** The phone makes an `id` for each command and never uses it again. What got no answer, or an `error` that is
  retryable, is sent again with the same `id`, and counts once; the same `id` with another body is `id_reused`.
- **Strict.** A frame that has an unknown field or a value of a wrong type is refused by an `error` and changes nothing.
  The other way round a client skips frames, events and fields that it does not know: they may become more.
- **Limits.** {rules.MAX_MEMBERS} members, {rules.MAX_LINES} lines, {rules.MAX_QTY} of a line, {rules.MAX_EVENTS:,} events a cart.
- **Money** is an integer in minor units (`_minor`), times are RFC 3339 in UTC, ids are opaque.
"""

_SCHEMA = "#/components/schemas/{name}"
_CHANNEL = "#/channels/cart"


def describe(public_url: str) -> Json:
    """The whole document. `public_url` is the address that phones use."""
    frames: Frames = [*CLIENT_FRAMES, *SERVER_FRAMES]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Q-Less live cart", "version": "1", "description": ABOUT},
        "defaultContentType": "application/json",
        "servers": {"shop": _server(public_url)},
        "channels": {"cart": _channel(frames)},
        "operations": _operations(),
        "components": {
            "messages": {_name(frame): _message(frame) for frame in frames},
            "schemas": _schemas(frames),
        },
    }


def _name(struct: type[msgspec.Struct]) -> str:
    """What a frame or an event is called on the wire."""
    return str(struct.__struct_config__.tag)


def _server(public_url: str) -> Json:
    scheme, _, host = public_url.partition("://")
    return {"host": host, "protocol": "wss" if scheme == "https" else "ws"}


def _channel(frames: Frames) -> Json:
    (path,) = cart_socket.paths
    close_codes = [
        {"code": code.value, "reason": code.reason, "meaning": code.meaning, "come_back": code.come_back}
        for code in CloseCode
    ]
    error_codes = [
        {"code": error.code, "title": error.title, "retryable": error.retryable} for error in BY_CODE.values()
    ]
    return {
        "address": path.replace(":str}", "}"),
        "title": "One phone on one cart",
        "description": "\n".join(
            (
                RULES,
                "Why the socket closes, and when its client may come back by `hello` with `since`. After any other",
                "close it may after a second, and waits longer each time.\n",
                _table(close_codes),
                "\nThe codes of `error` frames are those of the HTTP API.\n",
                _table(error_codes),
            )
        ),
        "parameters": {"session_id": {"description": "As `POST /session/start` or `/session/join` told it."}},
        "messages": {_name(frame): {"$ref": f"#/components/messages/{_name(frame)}"} for frame in frames},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        "x-close-codes": close_codes,
        "x-error-codes": error_codes,
    }


def _table(rows: list[Json]) -> str:
    """Markdown; the keys of the rows are its head."""
    cells = [rows[0], ["---"] * len(rows[0]), *(map(str, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _operations() -> Json:
    """What the server does: it receives frames, answers some of them, and sends others when something happens."""
    commands = get_args(CommandFrame)
    return {
        "hello": _operation(
            "receive", "A phone says who it is and is brought up to date.", [Hello], [Snapshot, EventFrame]
        ),
        "command": _operation("receive", "A phone changes the cart.", commands, [Ack, ErrorFrame]),
        "ping": _operation("receive", "A phone asks whether the server is there.", [Ping], [Pong]),
        "tell": _operation(
            "send", "The server answers, and tells what happened to the cart.", SERVER_FRAMES, []
        ),
    }


def _operation(action: str, summary: str, frames: Frames, replies: Frames) -> Json:
    operation = {
        "action": action,
        "summary": summary,
        "channel": {"$ref": _CHANNEL},
        "messages": _on_channel(frames),
    }
    if replies:
        operation["reply"] = {"channel": {"$ref": _CHANNEL}, "messages": _on_channel(replies)}
    return operation


def _on_channel(frames: Frames) -> list[Json]:
    return [{"$ref": f"{_CHANNEL}/messages/{_name(frame)}"} for frame in frames]


def _message(frame: type[FromClient] | type[ToClient]) -> Json:
    name, text = _name(frame), cleandoc(frame.__doc__ or "")
    message: Json = {"name": name, "summary": text.partition("\n\n")[0]}
    if frame is EventFrame:
        message["payload"] = {"oneOf": [{"$ref": _SCHEMA.format(name=event.__name__)} for event in EVENTS]}
    else:
        message["payload"] = {"$ref": _SCHEMA.format(name=frame.__name__)}
    if "id" in frame.__struct_fields__:
        message["correlationId"] = {"location": "$message.payload#/id"}
    if shown := [example for example in examples() if example["type"] == name]:
        message["examples"] = [{"name": example.get("event", name), "payload": example} for example in shown]
    return message


def _schemas(frames: Iterable[type[msgspec.Struct]]) -> Json:
    """Of every frame, of every event's frame, and of what they refer to; with the meaning of each field."""
    _, schemas = msgspec.json.schema_components(frames, ref_template=_SCHEMA)
    event_frame = schemas.pop(EventFrame.__name__)
    schemas |= {event.__name__: _event_schema(event_frame, event) for event in EVENTS}
    for name, schema in schemas.items():
        _put_meanings(name, schema)
    return schemas


def _event_schema(frame: Json, event: type[Event]) -> Json:
    """The `event` frame of one event: the fields that all have, and those that its examples have besides."""
    name = _name(event)
    shown = [set(example) for example in examples() if example.get("event") == name]
    may, must = (set.union(*shown), set.intersection(*shown)) if shown else (set(frame["properties"]), set())
    fields = {
        field: dict(schema)
        for field, schema in frame["properties"].items()
        if field in frame["required"] or field in may
    }
    fields["event"] = {"enum": [name]}
    return {
        "title": name,
        "description": GLOSSARY.get(name, ""),
        "type": "object",
        "properties": fields,
        "required": [field for field in fields if field in frame["required"] or field in must],
    }


def _put_meanings(name: str, schema: Json) -> None:
    schema["description"] = cleandoc(schema.get("description") or GLOSSARY.get(name, ""))
    for field, described in schema.get("properties", {}).items():
        # JSON Schema draft 7, which AsyncAPI builds on, reads nothing beside a `$ref`: what is referred to explains itself.
        if "$ref" not in described and "description" not in described:
            described["description"] = GLOSSARY.get(f"{name}.{field}") or GLOSSARY.get(field, "")


@cache
def _encoded(public_url: str) -> bytes:
    return msgspec.json.format(msgspec.json.encode(describe(public_url)))


@get("/schema/events", include_in_schema=False, opt={"exclude_from_auth": True}, sync_to_thread=False)
def socket_description(state: State) -> Response[bytes]:
    """For a person to read and a machine to generate clients of."""
    return Response(_encoded(state.services.settings.qless_public_url), media_type=MediaType.JSON)
