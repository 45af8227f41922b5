"""What no log line may hold, and a watch over every line that servers under test write, in this process and in others.

The watch reads the lines of this process as the JSON handler of a server would write them, what other processes write to
standard error, and each file `*.log` in the run's temporary folder. A fault fails the whole run.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from backend.kit.logs import json_handler
from tests.world import PASSWORD, SANDBOX_SECRET

OURS = ("backend", "qless")
NOT_OURS = ("mongo", "redis", "caddy")
"""How the log files of other programs begin; their operators keep them as they keep the data."""

PASSWORDS = (
    PASSWORD,
    "blue mangoes",
    "not the password",
    SANDBOX_SECRET,
    "sandbox-api-key-of-the-tests",
    "key-of-the-demo-store",
    "secret-of-the-webhooks",
)
"""What tests sign in and sign with, where it does not look like a random token."""

_TOKEN = re.compile(r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?:[\w-]{32}|[\w-]{43})(?![\w-])")
"""192 random bits, or a digest of 256, URL-safe: both cases are in all but one of ten million."""
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){14,18}(?![\w.-])")


def _is_card(digits: str) -> bool:
    """Luhn's check digit, ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _has_card(text: str) -> bool:
    return any(_is_card(re.sub("[ -]", "", found.group())) for found in _CARD.finditer(text))


RECOGNISERS: dict[str, Callable[[str], object]] = {
    "signed token": re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}").search,
    "refresh token or credential": re.compile(r"(?:lgn|dev)_\w+\.[\w-]{16,}").search,
    "code read aloud": re.compile(
        r"(?<![\w-])(?=[a-z-]*\d)(?=[\d-]*[a-z])[a-z\d]{4}(?:-[a-z\d]{4}){2}(?![\w-])"
    ).search,
    "random token or signature": _TOKEN.search,
    "password or secret": lambda text: any(known in text for known in PASSWORDS),
    "phone": re.compile(r"(?<![\w.+])(?:\+?91[ -]?)?[6-9]\d{4}[ -]?\d{5}(?![\w.])").search,
    "VPA or e-mail": re.compile(r"[\w.+-]{2,}@[A-Za-z][\w.-]+").search,
    "card number": _has_card,
}
TOKENS = {"signed token", "refresh token or credential", "code read aloud", "random token or signature"}


def secrets_in(text: str) -> list[str]:
    """The kinds of secrets that a text holds."""
    return [kind for kind, finds in RECOGNISERS.items() if finds(text)]


class LogWatch(logging.Handler):
    """A pytest plugin that is a handler of the root logger."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__()
        like_a_server = json_handler()
        self.setFormatter(like_a_server.formatter)
        for each in like_a_server.filters:
            self.addFilter(each)
        self._config = config
        self.faults: list[str] = []
        self.lines_read = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.read([self.format(record)], os.environ.get("PYTEST_CURRENT_TEST", "no test"))

    def read(self, lines: Iterable[str], where: str) -> None:
        """Look through lines; `where` is told of those that are faulty."""
        for line in lines:
            self.lines_read += 1
            self.faults += [f"{kind} logged in {where}: {line[:300]}" for kind in secrets_in(line)]

    def pytest_sessionstart(self) -> None:
        """Our own loggers say here what they say in a server that was told nothing else."""
        logging.getLogger().addHandler(self)
        for name in OURS:
            logging.getLogger(name).setLevel(logging.INFO)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What the test's processes wrote to standard error."""
        self.read(report.capstderr.splitlines(), f"{report.nodeid}, on standard error")
        root = logging.getLogger()
        if report.when == "teardown" and self not in root.handlers:
            self.faults.append(f"{report.nodeid} configured the root logger and left it so")
            root.addHandler(self)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._read_files(self._config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
        if self.faults:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _read_files(self, folder: Path) -> None:
        made = [value for file in folder.rglob("secrets.json") for value in _strings(file)]
        for file in folder.rglob("*.log"):
            if file.is_file() and not file.name.startswith(NOT_OURS):
                lines = file.read_text(errors="replace").splitlines()
                self.read(lines, str(file))
                told = [line for line in lines if any(secret in line for secret in made)]
                self.faults += [f"a server's own secret in {file}: {line[:300]}" for line in told]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.faults:
            terminalreporter.section("secrets in logs")
            for fault in self.faults:
                terminalreporter.write_line(fault)


def _strings(file: Path) -> list[str]:
    """The values that a server was given; a test may have left no such file as a server reads."""
    try:
        values = json.loads(file.read_text())
    except ValueError:
        return []
    told = values.values() if isinstance(values, dict) else ()
    return [value for value in told if isinstance(value, str) and len(value) >= 8]
