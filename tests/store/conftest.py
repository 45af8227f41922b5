"""What the tests of the log share."""

from functools import partial

import pytest
from pymongo import AsyncMongoClient

from backend.kit import mongo
from tests.carts import LogCommands


@pytest.fixture
def log_commands(monkeypatch: pytest.MonkeyPatch) -> LogCommands:
    """What clients that are made from here on send to the log."""
    listener = LogCommands()
    monkeypatch.setattr(mongo, "AsyncMongoClient", partial(AsyncMongoClient, event_listeners=[listener]))
    return listener
