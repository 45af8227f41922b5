"""Ours beside the plain build for what is asked over HTTP: a product, a quote, a webhook, a pass at the gate."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import msgspec

from scripts.benchmarks.bench import Bench, LoadFailed, say
from scripts.benchmarks.figures import Asked
from scripts.benchmarks.plans import Asking
from scripts.benchmarks.report import Row, Section
from scripts.benchmarks.servers import ROOT, Server

KINDS = ("ours", "plain_till")
LABELS = {
    "a_second": "requests a second",
    "p50": "to the answer, p50, ms",
    "p99": "to the answer, p99, ms",
    "cpu_us": "server CPU a request, µs",
}
TRIPS = 150
"""Carts filled, paid and let out, of each server in each round."""

Round = Mapping[str, Mapping[str, Asked]]
"""By server, then by what was asked."""


def requests(bench: Bench, rounds: int) -> list[Section]:
    """Both servers, round by round."""
    found: list[Round] = []
    with ExitStack() as stops:
        told = stops.enter_context(bench.simulator())
        servers = [stops.enter_context(bench.serve(kind, None, **told)) for kind in KINDS]
        for number in range(1, rounds + 1):
            say(f"Requests of ours and the plain build, round {number} of {rounds} ...")
            found.append({server.kind: ask(bench, server) for server in servers})
    return [section(what, found) for what in found[0]["ours"]]


def ask(bench: Bench, server: Server) -> Mapping[str, Asked]:
    """One round at one server, by a process of its own.

    Raises:
        LoadFailed: the server refused something.
    """
    plan = bench.plan([server], TRIPS)
    asking = Asking(
        url=server.url,
        pid=server.child.pid,
        store_id=plan.store_id,
        barcodes=plan.barcodes,
        trips=TRIPS,
        guard=bench.guard,
        webhook_secret=bench.webhook_secret,
    )
    command = [sys.executable, "-m", "scripts.benchmarks.ask", msgspec.json.encode(asking).decode()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise LoadFailed(
            "\n".join([f"Asking `{server.kind}` failed:", done.stderr.decode(), *server.child.output()[-12:]])
        )
    return msgspec.json.decode(done.stdout, type=dict[str, Asked])


def section(what: str, rounds: Sequence[Round]) -> Section:
    rows = []
    for name, label in LABELS.items():
        ours, plain = [[getattr(each[kind][what], name) for each in rounds] for kind in KINDS]
        rows.append(Row(label, ours, "plain", plain))
    return Section(f"{what}, by 16 connections at once", rows)
