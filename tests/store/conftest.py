"""What the tests of the log share."""

from collections.abc import Sequence
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

from backend.kit import mongo
from tests.carts import LogCommands


@pytest.fixture
def log_commands(monkeypatch: pytest.MonkeyPatch) -> LogCommands:
    """What clients that are made from here on send to the log."""
    commands = LogCommands()

    def listened_to(url: str, *, event_listeners: Sequence[CommandListener], **more: Any) -> mongo.Client:
        return AsyncMongoClient(url, event_listeners=[*event_listeners, commands], **more)

    monkeypatch.setattr(mongo, "AsyncMongoClient", listened_to)
    return commands
