"""README.md's tour, run as it stands there: every command on the real stack, every answer as it is printed there."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.kit.embedded import free_port

RUNS_WITHIN_S = 60


@pytest.fixture(scope="module")
def tour(project: Path) -> str:
    readme = (project / "README.md").read_text(encoding="utf-8")
    return readme.partition("## A tour in five minutes\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def address(project: Path, folder: Path) -> Iterator[str]:
    """Of a Q-Less as `scripts/run` starts it, with its data in `.data`."""
    port = free_pair()
    command = [sys.executable, "-m", "backend", "--port", str(port), "--data", str(folder / ".data")]
    environment = {k: v for k, v in os.environ.items() if k not in {"MONGODB_URL", "REDIS_URL"}}
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert any("Ctrl-C" in line for line in process.stdout), "it did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the project's folder as the tour sees it."""
    made = tmp_path_factory.mktemp("tour")
    (made / ".venv").symlink_to(sys.prefix)
    return made


def free_pair() -> int:
    """A free port whose successor is free too."""
    while True:
        port = free_port()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port + 1)):
                return port


def blocks(text: str, language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


def test_does_what_it_says(tour: str, address: str, folder: Path) -> None:
    commands = blocks(tour, "sh").replace("http://127.0.0.1:8000", address)
    assert address in commands
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail"],
        input=commands,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=RUNS_WITHIN_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == blocks(tour, "text")
    verdicts = re.findall(r"^(open|check|refuse) ", done.stdout, re.MULTILINE)
    assert verdicts == ["open", "open", "refuse"]
