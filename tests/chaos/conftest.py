"""A plan for each run, and what the runs have to tell."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from backend.settings import Settings
from tests.chaos.rounds import Plan

FULL_TIMEOUT_S = 4 * 3600
_told = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_told] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A full run takes its time."""
    if config.getoption("full"):
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.timeout(FULL_TIMEOUT_S))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash[_told]:
        terminalreporter.section("chaos")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def plan(request: pytest.FixtureRequest, chaos_seed: int) -> Plan:
    print(f"--seed {chaos_seed}")
    name = request.node.name
    return Plan(name, chaos_seed, bool(request.config.getoption("full")), request.config.stash[_told])


@pytest.fixture
def told(settings: Settings, sandbox: str) -> Mapping[str, str]:
    """What servers are told of the sandbox gateway, whose webhooks the tests deliver."""
    return {
        "QLESS_SANDBOX_URL": sandbox,
        "QLESS_SANDBOX_API_KEY": settings.qless_sandbox_api_key,
        "QLESS_SANDBOX_WEBHOOK_SECRETS": settings.qless_sandbox_webhook_secrets,
    }
