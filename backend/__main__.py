"""`python -m backend`: a whole Q-Less on one machine, until Ctrl-C or SIGTERM.

Starts, in this order, MongoDB and Redis (unless `MONGODB_URL` and `REDIS_URL` name others), `backend.prepare`
once, the payment simulator and the server. Whatever ends it, everything it started is stopped in the reverse
order, and nothing else is. Status 0 after Ctrl-C, SIGTERM or SIGHUP, 1 after a failure, told in one sentence.
"""

import http.client
import os
import signal
import ssl
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from backend import local
from backend.kit import embedded
from backend.kit.embedded import Child, EmbeddedError, EmbeddedMongo, EmbeddedRedis, EmbeddedServer
from backend.local import Certificate, LocalError, Options

ROOT = Path(__file__).parent.parent
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY_TIMEOUT_S = 60.0


class Supervisor:
    """The processes of one local Q-Less: each is put on `stops` as it starts, and watched from then on."""

    def __init__(self, options: Options, stops: ExitStack) -> None:
        self.options = options
        self.children: list[Child] = []
        self._stops = stops
        self._logs = options.data / "logs"

    def run(self) -> NoReturn:
        """Start everything and watch it.

        Raises:
            LocalError, EmbeddedError: a step failed, or a process ended that should not.
        """
        options = self.options
        for port in (options.port, options.simulator_port):
            embedded.require_free_port(options.host, port)
        for folder in (options.data, self._logs):
            make_folder(folder)
        kept = local.load_secrets(options.data / "secrets.json")
        certificate = None
        if options.https:
            certificate = local.load_certificate(options.data / "tls", options.public_host, datetime.now(UTC))
        mongodb_url = os.environ.get("MONGODB_URL") or self._serve(EmbeddedMongo(options.data / "mongo"))
        redis_url = os.environ.get("REDIS_URL") or self._serve(EmbeddedRedis(options.data / "redis"))
        told = os.environ | local.environment(options, kept, mongodb_url, redis_url, certificate)
        self._prepare(told)
        self._start("simulator", local.simulator_command(options), told)
        self._start("server", local.server_command(options, certificate), told)
        self._wait_for("/health/live", options.simulator_port, None)
        self._wait_for("/health/ready", options.port, certificate)
        self._announce(kept)
        while True:
            self._check()
            time.sleep(0.2)

    def _serve(self, server: EmbeddedServer) -> str:
        say(f"Starting {server.name} …")
        if child := self._stops.enter_context(server).child:
            self.children.append(child)
        return server.url

    def _prepare(self, told: dict[str, str]) -> None:
        say("Preparing the database …")
        child = Child(
            "prepare", [sys.executable, "-m", "backend.prepare"], self._logs / "prepare.log", ROOT, told
        )
        try:
            if child.wait() != 0:
                raise LocalError(f"The database could not be prepared: {last_lines(child)}")
        finally:
            child.stop()

    def _start(self, name: str, command: list[str], told: dict[str, str]) -> None:
        say(f"Starting the {name} …")
        child = Child(name, command, self._logs / f"{name}.log", ROOT, told)
        self._stops.callback(child.stop)
        self.children.append(child)

    def _check(self) -> None:
        for child in self.children:
            if child.exit_code is not None:
                raise LocalError(f"The {child.name} ended (status {child.exit_code}): {last_lines(child)}")

    def _wait_for(self, path: str, port: int, certificate: Certificate | None) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not answers(self.options.own_host, port, path, certificate):
            self._check()
            if time.monotonic() > deadline:
                raise LocalError(f"Port {port} is not ready after {READY_TIMEOUT_S:.0f} s; see {self._logs}.")
            time.sleep(0.05)

    def _announce(self, kept: dict[str, str]) -> None:
        say(local.announcement(self.options, kept))
        for line in local.qr_text(self.options.public_url).splitlines():
            say(f"\033[40;97m{line}\033[0m" if sys.stdout.isatty() else line)
        say(f"Logs are in {self._logs}. Ctrl-C stops everything.")


def answers(host: str, port: int, path: str, certificate: Certificate | None) -> bool:
    """Whether this address answers 200; no proxy is asked."""
    if certificate is None:
        connection = http.client.HTTPConnection(host, port, timeout=5)
    else:
        context = ssl.create_default_context(cafile=certificate.certificate)
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def make_folder(folder: Path) -> None:
    """A folder for its owner alone.

    Raises:
        LocalError: it cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(
            f"{folder} cannot be made ({error.strerror}): give another folder by --data."
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LocalError(f"{folder} cannot be written: give another folder by --data.")


def last_lines(child: Child) -> str:
    """The end of what it wrote, after the name of the file that holds it all."""
    return "\n".join([f"the end of {child.log} is", *child.output()[-12:]])


def say(text: str) -> None:
    """Tell whoever started this, if they still listen."""
    with suppress(BrokenPipeError):
        print(text, flush=True)


def interrupt(*_: object) -> NoReturn:
    """The first signal ends everything in order; more of them change nothing."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    options = local.parse()
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    try:
        with ExitStack() as stops:
            Supervisor(options, stops).run()
    except KeyboardInterrupt:
        say("Stopped.")
        return 0
    except (LocalError, EmbeddedError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
