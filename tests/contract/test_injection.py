"""What a client may not say: no price, total, role, status, store or user in a body or frame that has no such field, no number
out of its range.

Bodies and frames are the access table's valid ones with one thing wrong, made by the descriptions. Each is refused as
`invalid_field`, and the whole database is as it was.
"""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from backend.kit import mongo
from backend.live import CloseCode
from tests import protocol
from tests.contract.access import OK, ROUTES, Who, rows
from tests.contract.commands import COMMANDS
from tests.contract.requests import REQUESTS, send
from tests.contract.scene import Json, Scene, Shop, open_scene, save_snapshots
from tests.phones import phone_at, silent_phone
from tests.world import refusal, settled

SMUGGLED: Json = {
    **dict.fromkeys(("price", "price_minor", "unit_price_minor", "amount_minor", "due_minor"), 1),
    **dict.fromkeys(("total", "total_minor", "subtotal_minor", "tax_minor", "points", "seq"), 0),
    "discount_minor": 1000,
    "totals": {"total_minor": 0},
    "currency": "USD",
    "role": "manager",
    "roles": [{"store_id": "store_demo_blr", "role": "manager"}],
    "kind": "staff",
    "status": "paid",
    "paid": True,
    "store": "store_demo_blr",
    "store_id": "store_demo_blr",
    **dict.fromkeys(("user", "user_id", "host_user_id", "added_by", "by"), "usr_1"),
    "__proto__": {"role": "manager"},
}
NUMBERS: list[Any] = [-(2**70), -(2**31), -1, 0, 0.5, 1.0, 1.5, 1e308, 2**31, 2**53, 2**63, 2**70]
ROLES = ["host", "owner", "manager", "admin", "Manager", "staff"]
NO_NUMBERS: list[Any] = ["1", "", True, [1], {"$gt": 0}]


def choices(schema: Json) -> Iterator[Json]:
    """The schemas that a value may follow."""
    yield from next((schema[word] for word in ("anyOf", "oneOf") if word in schema), [schema])


def is_number(schema: Json) -> bool:
    return any(choice.get("type") == "integer" for choice in choices(schema))


def in_range(schema: Json, number: Any) -> bool:
    return isinstance(number, int) and any(
        choice.get("type") == "integer"
        and choice.get("minimum", number) <= number <= choice.get("maximum", number)
        for choice in choices(schema)
    )


def spoiled(schema: Json, valid: Json) -> Iterator[Json]:
    """The object with one thing wrong, in every way."""
    properties = schema["properties"]
    for name, value in SMUGGLED.items():
        if name not in properties:
            yield {**valid, name: value}
    for name, described in properties.items():
        if is_number(described):
            wrong = [number for number in NUMBERS if not in_range(described, number)] + NO_NUMBERS
            yield from ({**valid, name: value} for value in wrong)
        if "enum" in described:
            words = [word for word in ROLES if word not in described["enum"]]
            yield from ({**valid, name: value} for value in [*words, "", 1])


async def digest(scene: Scene, database: mongo.Database) -> Json:
    """A hash of every collection, once all that is on its way is written."""
    await settled(scene.shop.app)
    await save_snapshots(scene.shop)
    collections: Json = (await database.command("dbHash"))["collections"]
    return collections


class Description:
    """The API's, as far as bodies go."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self.bodies = {
            operation["operationId"]: self._object(operation["requestBody"])
            for path_item in document["paths"].values()
            for operation in path_item.values()
            if "requestBody" in operation
        }

    def _object(self, body: Json) -> Json:
        """The body's schema with what it refers to inside."""
        described = next(c for c in choices(body["content"]["application/json"]["schema"]) if "$ref" in c)
        found = self._followed(described)
        properties = {name: self._followed(part) for name, part in found["properties"].items()}
        assert not any("properties" in part for part in properties.values()), (
            "an object within: look into it too"
        )
        return {**found, "properties": properties}

    def _followed(self, part: Json) -> Json:
        """A field that may be null and nothing else is described by what it is otherwise."""
        parts = [choice for choice in choices(part) if choice != {"type": "null"}]
        if len(parts) == 1 and "$ref" in parts[0]:
            found: Json = self._document["components"]["schemas"][parts[0]["$ref"].rpartition("/")[2]]
            return found
        return part


class TestSpoiled:
    def test_smuggles_whatever_the_description_does_not_name(self) -> None:
        found = list(spoiled({"properties": {"store_id": {"type": "string"}}}, {"store_id": "s"}))
        assert found == [
            {"store_id": "s", name: value} for name, value in SMUGGLED.items() if name != "store_id"
        ]

    def test_leaves_the_range_of_a_number_on_both_sides(self) -> None:
        schema = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 999}, {"type": "null"}]}
        values = [body["qty"] for body in spoiled({"properties": {"qty": schema}}, {}) if "qty" in body]
        assert values == NUMBERS + NO_NUMBERS

    def test_leaves_alone_what_is_in_the_range_of_a_number(self) -> None:
        schema = {"type": "integer", "minimum": 0, "maximum": 2**31}
        values = [body["seq"] for body in spoiled({"properties": {"seq": schema}}, {}) if "seq" in body]
        assert [number for number in NUMBERS if number not in values] == [0, 2**31]


async def test_bodies_are_refused_and_change_nothing(shop: Shop, own_database: mongo.Database) -> None:
    description = Description((await shop.api.get("/schema/openapi.json")).json())
    table = {row.name: row for row in rows(ROUTES)}
    scene = await open_scene(shop)
    for name, schema in description.bodies.items():
        who = next(who for who in (Who.OWNER, *Who) if table[name].cells[who] == OK)
        ask = await REQUESTS[name](scene, who)
        assert ask.json is not None
        before = await digest(scene, own_database)
        for body in spoiled(schema, ask.json):
            response = await send(scene, who, dataclasses.replace(ask, json=body))
            assert refusal(response) == (400, "invalid_field"), (name, body)
            assert response.json()["errors"], (name, body)
        assert await digest(scene, own_database) == before, name


async def test_frames_are_refused_and_change_nothing(shop: Shop, own_database: mongo.Database) -> None:
    scene = await open_scene(shop)
    frames = protocol.messages("receive")
    assert frames.keys() == COMMANDS.keys()
    for kind, message in frames.items():
        if kind == "hello":
            continue
        (schema,) = protocol.payloads(message)
        fields = await COMMANDS[kind](scene, Who.OWNER)
        before = await digest(scene, own_database)
        async with phone_at(shop.address, scene.session_id, scene.owner.token) as phone:
            for number, frame in enumerate(spoiled(schema, fields)):
                asked = {"type": kind, **({} if kind == "ping" else {"id": f"spoiled-{number}"}), **frame}
                seen = len(phone.frames)
                if protocol.fault_from_client(asked):
                    await phone.send(asked)
                else:  # JSON Schema calls 1.0 an integer; the server does not
                    await phone.send_text(json.dumps(asked))
                answer = await phone.until(lambda frame: frame["type"] in {"error", "ack", "pong"}, seen)
                assert (answer["type"], answer.get("code")) == ("error", "invalid_field"), asked
                assert answer.get("id") == asked.get("id")
        assert await digest(scene, own_database) == before, kind


async def test_hello_is_refused_and_changes_nothing(shop: Shop, own_database: mongo.Database) -> None:
    scene = await open_scene(shop)
    (schema,) = protocol.payloads(protocol.messages("receive")["hello"])
    before = await digest(scene, own_database)
    for frame in spoiled(schema, {"token": scene.owner.token}):
        phone = await silent_phone(shop.address, scene.session_id)
        await phone.send({"type": "hello", **frame})
        assert (await phone.closed(), phone.frames) == (CloseCode.BAD_HELLO, []), frame
    assert await digest(scene, own_database) == before
