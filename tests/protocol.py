"""The socket as `/schema/events` describes it, compiled once to judge every frame that a test sends or gets.

Here it is stricter than for clients: a frame has no field that is not described, an `error` no code that is not.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from jsonschema import Draft7Validator

from backend.carts.asyncapi import describe

Json = dict[str, Any]
Validators = dict[tuple[str, str | None], Draft7Validator]

DOCUMENT: Json = msgspec.json.decode(msgspec.json.encode(describe("https://shop.example")))
CHANNEL: Json = DOCUMENT["channels"]["cart"]
CLOSE_CODES = {row["code"] for row in CHANNEL["x-close-codes"]}
ERROR_CODES = {row["code"] for row in CHANNEL["x-error-codes"]}


def follow(reference: str) -> Any:
    """What a reference within the document stands for."""
    found: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def messages(action: str) -> dict[str, Json]:
    """Those that the server is said to `receive`, or to `send`, by name."""
    found = {}
    for operation in DOCUMENT["operations"].values():
        if operation["action"] == action:
            for reference in operation["messages"]:
                message = follow(follow(reference["$ref"])["$ref"])
                found[message["name"]] = message
    return found


def payloads(message: Json) -> Iterator[Json]:
    """The schema of a message; of the `event` message one for each event."""
    for choice in message["payload"].get("oneOf", [message["payload"]]):
        yield follow(choice["$ref"])


def _closed(schema: Any) -> Any:
    """With what it refers to inside, and no room for fields that are not told."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _closed(follow(schema["$ref"]))
    closed = {key: _closed(part) for key, part in schema.items()}
    return {"additionalProperties": False, **closed} if "properties" in schema else closed


def _compiled(action: str) -> Validators:
    return {
        (name, *schema["properties"].get("event", {}).get("enum", [None])): Draft7Validator(_closed(schema))
        for name, message in messages(action).items()
        for schema in payloads(message)
    }


_FROM_CLIENT, _TO_CLIENT = _compiled("receive"), _compiled("send")


def fault_from_client(frame: Json) -> str:
    """How a client's frame differs from the description; empty when it does not."""
    return _fault(_FROM_CLIENT, frame, None)


def fault_to_client(frame: Json) -> str:
    """How a server's frame differs from the description; empty when it does not."""
    if frame.get("type") == "error" and frame.get("code") not in ERROR_CODES:
        return f"/schema/events does not tell the code of {frame}"
    return _fault(_TO_CLIENT, frame, frame.get("event"))


def _fault(validators: Validators, frame: Json, event: str | None) -> str:
    validator = validators.get((frame.get("type", ""), event))
    if validator is None:
        return f"/schema/events knows no such frame as {frame}"
    for error in validator.iter_errors(frame):
        return f"not as /schema/events says: {error.json_path} of {frame}: {error.message}"
    return ""
