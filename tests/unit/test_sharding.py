"""`scripts/deploy/shard-mongodb.js` against the application's collections: none forgotten, no unique index undone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from beanie import Document
from pymongo import IndexModel

from backend.carts.log import COLLECTION
from backend.documents import DOCUMENTS

SCRIPT = (Path(__file__).parents[2] / "scripts/deploy/shard-mongodb.js").read_text(encoding="utf-8")


def table(name: str) -> dict[str, str]:
    """What stands beside each collection in one of the script's two tables."""
    (body,) = re.findall(rf"^const {name} = {{\n(.*?)^}};", SCRIPT, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^  (\w+): (.+),$", body, re.MULTILINE))


def shard_key(text: str) -> tuple[str, str]:
    """Field and kind of a key such as `{ _id: "hashed" }`."""
    match = re.fullmatch(r'{ "?([\w.]+)"?: "(hashed)" }', text)
    assert match is not None, text
    return match[1], match[2]


KEYS = {name: shard_key(text)[0] for name, text in table("SHARDED").items()}
WHOLE = {name: json.loads(text) for name, text in table("WHOLE").items()}


def settings_of(document: type[Document]) -> Any:
    return getattr(document, "Settings")  # noqa: B009 - Beanie's types know of no such class


def indexes_of(document: type[Document]) -> list[dict[str, Any]]:
    made: list[IndexModel] = getattr(settings_of(document), "indexes", [])
    return [index.document for index in made]


UNIQUE = [
    (settings_of(document).name, list(index["key"]))
    for document in DOCUMENTS
    for index in indexes_of(document)
    if index.get("unique")
]


def test_every_collection_is_named_once() -> None:
    named = [*KEYS, *WHOLE]
    assert len(named) == len(set(named))
    assert set(named) == {COLLECTION, *(settings_of(document).name for document in DOCUMENTS)}


def test_a_cart_is_on_one_shard() -> None:
    assert KEYS[COLLECTION] == "_id.s"


@pytest.mark.parametrize(("name", "fields"), UNIQUE)
def test_unique_indexes_begin_with_the_shard_key(name: str, fields: list[str]) -> None:
    assert name in WHOLE or fields[0] == KEYS[name]


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_collection_that_stays_whole_says_why(name: str) -> None:
    assert len(WHOLE[name]) > 10


def test_shard_keys_are_fields_that_every_document_has() -> None:
    required = {
        settings_of(document).name: {
            field.alias or name for name, field in document.model_fields.items() if field.is_required()
        }
        | {"_id"}
        for document in DOCUMENTS
    }
    assert {name: key for name, key in KEYS.items() if name != COLLECTION and key not in required[name]} == {}
