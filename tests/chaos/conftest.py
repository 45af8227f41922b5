"""A plan for each run, and what the runs have to tell."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from backend.settings import Settings
from tests.chaos.rounds import Plan

_told = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_told] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash[_told]:
        terminalreporter.section("chaos")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs end themselves, and their processes; pytest waits a minute longer."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            plan = Plan(item.name, 0, bool(config.getoption("full")), [])
            item.add_marker(pytest.mark.timeout(plan.lasts_s + 60))


@pytest.fixture
def plan(request: pytest.FixtureRequest, chaos_seed: int) -> Plan:
    print(f"--seed {chaos_seed}")
    full = bool(request.config.getoption("full"))
    return Plan(request.node.name, chaos_seed, full, request.config.stash[_told])


@pytest.fixture
def told(settings: Settings, sandbox: str) -> Mapping[str, str]:
    """What servers are told of the sandbox gateway, whose webhooks the tests deliver."""
    return {
        "QLESS_SANDBOX_URL": sandbox,
        "QLESS_SANDBOX_API_KEY": settings.qless_sandbox_api_key,
        "QLESS_SANDBOX_WEBHOOK_SECRETS": settings.qless_sandbox_webhook_secrets,
    }
