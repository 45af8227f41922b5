"""The socket's description: valid AsyncAPI, whole, in words, with examples that are taken, and told by the code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator

from backend.carts import frames
from backend.carts.asyncapi import CLIENT_FRAMES, EVENTS, SERVER_FRAMES, describe
from backend.carts.glossary import GLOSSARY
from backend.errors import BY_CODE
from backend.live import CloseCode
from tests import protocol
from tests.protocol import CHANNEL, DOCUMENT, Json

OFFICIAL = Path(__file__).parents[1] / "vendor" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
MESSAGES: Json = DOCUMENT["components"]["messages"]


def name_of(struct: type[msgspec.Struct]) -> str:
    return str(struct.__struct_config__.tag)


def shown(message: str) -> list[Json]:
    return [example["payload"] for example in MESSAGES[message].get("examples", [])]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (reference for key, reference in part.items() if key == "$ref")
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


class TestDocument:
    def test_is_what_asyncapi_says_it_must_be(self) -> None:
        official = Draft7Validator(json.loads(OFFICIAL.read_text(encoding="utf-8")))
        assert not [f"{error.json_path}: {error.message[:300]}" for error in official.iter_errors(DOCUMENT)]

    def test_refers_to_what_exists(self) -> None:
        found = list(references(DOCUMENT))
        assert found
        for reference in found:
            assert protocol.follow(reference), reference

    @pytest.mark.parametrize(
        ("public_url", "server"),
        [
            ("https://shop.example", {"host": "shop.example", "protocol": "wss"}),
            ("http://127.0.0.1:8000", {"host": "127.0.0.1:8000", "protocol": "ws"}),
        ],
    )
    def test_names_the_server_by_its_public_address(self, public_url: str, server: Json) -> None:
        assert describe(public_url)["servers"] == {"shop": server}

    def test_names_each_part_of_the_path(self) -> None:
        assert CHANNEL["address"] == "/ws/cart/{session_id}"
        assert set(CHANNEL["parameters"]) == set(re.findall(r"{(\w+)}", CHANNEL["address"]))


class TestFrames:
    def test_are_all_there_each_in_its_direction(self) -> None:
        assert set(protocol.messages("receive")) == set(map(name_of, CLIENT_FRAMES)), "which operation is it?"
        assert set(protocol.messages("send")) == set(map(name_of, SERVER_FRAMES))
        assert set(CHANNEL["messages"]) == set(MESSAGES)

    def test_have_a_name_of_their_own(self) -> None:
        names = [name_of(frame) for frame in (*CLIENT_FRAMES, *SERVER_FRAMES)]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("frame", [*CLIENT_FRAMES, *SERVER_FRAMES], ids=name_of)
    def test_say_what_they_are_for(self, frame: type[msgspec.Struct]) -> None:
        assert frame.__doc__, f"{frame.__name__} in backend/carts/frames.py has no docstring"
        assert MESSAGES[name_of(frame)]["summary"]

    @pytest.mark.parametrize("frame", [*CLIENT_FRAMES, *SERVER_FRAMES], ids=name_of)
    def test_have_an_example(self, frame: type[msgspec.Struct]) -> None:
        assert shown(name_of(frame)), f"backend/carts/examples.py shows no {frame.__name__}"

    @pytest.mark.parametrize("event", EVENTS, ids=name_of)
    def test_of_every_event_have_an_example_and_a_meaning(self, event: type[msgspec.Struct]) -> None:
        name = name_of(event)
        examples = [frame for frame in shown("event") if frame["event"] == name]
        assert examples, f"backend/carts/examples.py shows no {event.__name__}"
        assert GLOSSARY.get(name), f"backend/carts/glossary.py does not say what {name} means"
        assert SCHEMAS[event.__name__]["properties"]["event"]["enum"] == [name]

    @pytest.mark.parametrize(
        ("event", "always", "sometimes"),
        [
            ("ItemAdded", {"item"}, {"undoes", "allowances", "category_budgets"}),
            ("ItemDeclined", {"item"}, set()),
            ("MemberLeft", {"left"}, {"host_user_id", "status"}),
            ("SessionStarted", {"member", "limit_minor"}, set()),
            (
                "BudgetSet",
                {"limit_minor"},
                {"of_member", "of_category", "allowances", "category_budgets"},
            ),
            ("CartPaid", {"status"}, set()),
        ],
    )
    def test_of_an_event_tell_what_only_it_has(
        self, event: str, always: set[str], sometimes: set[str]
    ) -> None:
        common = {"type", "seq", "event", "by", "id", "totals", "budget"}
        assert set(SCHEMAS[event]["required"]) == common | always
        assert set(SCHEMAS[event]["properties"]) == common | always | sometimes


class TestWords:
    @pytest.mark.parametrize("name", SCHEMAS)
    def test_explain_every_schema_and_field(self, name: str) -> None:
        lacking = [] if SCHEMAS[name]["description"] else [name]
        for field, described in SCHEMAS[name].get("properties", {}).items():
            if "$ref" not in described and not described["description"]:
                lacking.append(f"{name}.{field}")
        assert not lacking, f"backend/carts/glossary.py does not say what these mean: {lacking}"

    def test_are_of_use(self) -> None:
        """What the glossary explains is on the wire, or was forgotten there."""
        fields = {field for schema in SCHEMAS.values() for field in schema.get("properties", {})}
        full = {
            f"{name}.{field}" for name, schema in SCHEMAS.items() for field in schema.get("properties", {})
        }
        assert set(GLOSSARY) <= fields | full | set(SCHEMAS) | set(map(name_of, EVENTS))

    def test_are_not_indented(self) -> None:
        for name, schema in SCHEMAS.items():
            assert "\n  " not in schema["description"], name


class TestExamples:
    def test_are_as_described(self) -> None:
        for name in protocol.messages("receive"):
            assert not [fault for frame in shown(name) if (fault := protocol.fault_from_client(frame))]
        for name in protocol.messages("send"):
            assert not [fault for frame in shown(name) if (fault := protocol.fault_to_client(frame))]

    def test_of_clients_are_taken_by_the_server(self) -> None:
        for frame in CLIENT_FRAMES:
            for example in shown(name_of(frame)):
                assert isinstance(frames.decode(json.dumps(example)), frame)


class TestCodes:
    def test_of_closing_are_those_of_the_server(self) -> None:
        told = {
            row["code"]: (row["reason"], row["meaning"], row["come_back"]) for row in CHANNEL["x-close-codes"]
        }
        assert told == {code.value: (code.reason, code.meaning, code.come_back) for code in CloseCode}

    def test_of_errors_are_those_of_the_server(self) -> None:
        told = {row["code"]: (row["title"], row["retryable"]) for row in CHANNEL["x-error-codes"]}
        assert told == {code: (error.title, error.retryable) for code, error in BY_CODE.items()}

    def test_are_told_to_people_too(self) -> None:
        for code in (*CloseCode, *BY_CODE):
            assert f"\n| {code} | " in CHANNEL["description"]


class TestJudging:
    """The rest of the test run relies on it: see `tests/phones.py`."""

    @pytest.mark.parametrize(
        "changed",
        [
            {"type": "dance"},
            {"seq": "1"},
            {"seq": None},
            {"price": 1},
            {"event": "item_dropped"},
            {"payer": "usr_1"},
            {"totals": {"total_minor": 1}},
        ],
    )
    def test_finds_what_is_not_described(self, changed: Json) -> None:
        frame = next(frame for frame in shown("event") if frame["event"] == "item_added")
        assert not protocol.fault_to_client(frame)
        assert protocol.fault_to_client({**frame, **changed})

    @pytest.mark.parametrize("field", ["type", "seq", "event", "item", "totals", "budget"])
    def test_finds_what_is_missing(self, field: str) -> None:
        frame = next(dict(frame) for frame in shown("event") if frame["event"] == "item_added")
        del frame[field]
        assert protocol.fault_to_client(frame)

    def test_knows_the_error_codes(self) -> None:
        (frame,) = shown("error")
        assert not protocol.fault_to_client(frame)
        assert "code" in protocol.fault_to_client({**frame, "code": "bad_luck"})

    def test_knows_the_direction(self) -> None:
        (ping,) = shown("ping")
        assert not protocol.fault_from_client(ping)
        assert protocol.fault_to_client(ping)
