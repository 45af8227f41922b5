"""From 100 to 10,000 open carts: whether a scan takes longer, and what an idle cart and its socket hold in memory.

Each cart has one phone, as a cart lives in memory while somebody looks at it. What a cart holds without a socket is
told by a second process of the server, which is asked for the carts by HTTP; what one phone more holds, by second
phones on some of the carts. Memory is what the server's process has resident
(`Rss` of /proc/PID/smaps_rollup): Python's objects and the allocator's gaps, not the kernel's socket buffers.
An amount is the growth from one step to the next, by the cart; code and what a server holds anyhow fall out.
"""

import itertools
import resource
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import msgspec

from scripts.benchmarks.bench import Bench, Holder, holding, say
from scripts.benchmarks.figures import Figures, cpu_seconds, resident_bytes
from scripts.benchmarks.plans import Grow, Order, Read, Second, Stretch
from scripts.benchmarks.plot import Curve, Lines
from scripts.benchmarks.report import Goal, Of, Row, Section, spread
from scripts.benchmarks.servers import Server

KINDS = ("ours", "floor")
LINES = 10
RATE = 500
SECONDS = {"ours": 11.0, "floor": 4.0}
"""Of ours longer than the 10 s in which every process repeats who is present."""
SETTLE_S = 8.0
"""Longer than it takes until the last snapshots are written and all carts are at rest."""
IDLE_S = 10.0
FILES_BESIDE_SOCKETS = 200
MORE_PHONES = 5
"""One of so many carts gets a second phone, to tell what a socket holds."""
MEMORY_GOAL = Goal(6, of=Of.OURS)
P50_GOAL = Goal(1.25)
P99_GOAL = Goal(2)


class Memory(NamedTuple):
    """Kilobytes.

    Attributes:
        cart: of an open cart at rest without a phone.
        with_phone: of one with its phone's socket.
        floor_with_phone: of the floor's.
        phone_more: of a second phone's socket.
    """

    cart: float
    with_phone: float
    floor_with_phone: float
    phone_more: float


class Found(NamedTuple):
    """What was measured: figures by kind of server and number of carts, a value a round."""

    figures: Mapping[str, Mapping[int, Sequence[Figures]]]
    memory: Memory
    idle_share: float
    """Of a core that the server takes with all carts open and nobody scanning."""


class Client(NamedTuple):
    server: Server
    holder: Holder


def possible(steps: Sequence[int]) -> list[int]:
    """Those steps that the limit of open files allows, as far as this process may raise it; servers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = [
        step
        for step in steps
        if hard == resource.RLIM_INFINITY or step + step // MORE_PHONES < hard - FILES_BESIDE_SOCKETS
    ]
    if left_out := sorted(set(steps) - set(allowed)):
        say(
            f"A process may open {hard} files here: left out {', '.join(f'{step:,}' for step in left_out)} carts."
        )
    return allowed


def growth(bench: Bench, steps: Sequence[int], rounds: int) -> tuple[list[Section], list[Lines]]:
    """Ours and the floor, step by step, in turns at each."""
    steps = possible(sorted(steps))
    if len(steps) < 2:
        say("Growth needs two numbers of open carts: left out.")
        return [], []
    with ExitStack() as stops:
        servers = {kind: stops.enter_context(bench.serve(kind)) for kind in KINDS}
        reader = stops.enter_context(bench.serve("ours"))
        plans = {kind: bench.plan([server], LINES) for kind, server in servers.items()}
        plans["ours"] = msgspec.structs.replace(plans["ours"], ways=bench.open_carts(LINES, steps[-1]))
        clients = {
            kind: Client(server, stops.enter_context(holding(plans[kind])))
            for kind, server in servers.items()
        }
        found = _measure(clients, reader, steps, rounds)
    return [section(found)], [plot(found)]


def _measure(clients: Mapping[str, Client], reader: Server, steps: Sequence[int], rounds: int) -> Found:
    figures: dict[str, dict[int, list[Figures]]] = {kind: {step: [] for step in steps} for kind in clients}
    (ours, holder), (floor, floor_holder) = clients["ours"], clients["floor"]
    with_phone = floor_with_phone = 0.0
    for before, step in itertools.pairwise([0, *steps]):
        say(f"{step:,} open carts ...")
        orders = [(ours, holder, Grow(step)), (floor, floor_holder, Grow(step))]
        with_phone, floor_with_phone = (kb / (step - before) for kb in _grown_kb(orders))
        for _ in range(rounds):
            for kind, client in clients.items():
                if result := client.holder.tell(Stretch(SECONDS[kind], RATE)):
                    figures[kind][step].append(result)
    idle_share = _idle_share(ours)
    few, many = steps[-2:]
    holder.tell(Read(reader.url, few))
    phones_more, read = _grown_kb(
        [(ours, holder, Second(many // MORE_PHONES)), (reader, holder, Read(reader.url, many))]
    )
    memory = Memory(
        cart=read / (many - few),
        with_phone=with_phone,
        floor_with_phone=floor_with_phone,
        phone_more=phones_more / (many // MORE_PHONES),
    )
    return Found(figures, memory, idle_share)


def _grown_kb(orders: Sequence[tuple[Server, Holder, Order]]) -> list[float]:
    """By how much each order made the memory of the server beside it grow, once all have settled."""
    time.sleep(SETTLE_S)
    before = [resident_bytes(server.child.pid) for server, _, _ in orders]
    for _, holder, order in orders:
        holder.tell(order)
    time.sleep(SETTLE_S)
    after = [resident_bytes(server.child.pid) for server, _, _ in orders]
    return [(late - early) / 1024 for early, late in zip(before, after, strict=True)]


def _idle_share(server: Server) -> float:
    before = cpu_seconds(server.child.pid)
    time.sleep(IDLE_S)
    return (cpu_seconds(server.child.pid) - before) / IDLE_S


def section(found: Found) -> Section:
    """Latency of every step beside the first one's, then memory."""
    first, *others = found.figures["ours"]
    rows = []
    for name, label, goal in (("all_p50", "p50", P50_GOAL), ("all_p99", "p99", P99_GOAL)):
        ours = {step: [getattr(f, name) for f in each] for step, each in found.figures["ours"].items()}
        floor = {step: [getattr(f, name) for f in each] for step, each in found.figures["floor"].items()}
        for step in others:
            what = f"scan to screen, {label}, {step:,} carts, ms"
            rows.append(Row(what, ours[step], f"{first:,} carts", ours[first], goal))
            rows.append(Row(what, ours[step], "floor", floor[step]))
    last = found.figures["ours"][others[-1]]
    refused = [f.refused / (f.refused + f.scans) * 100 for f in last]
    memory = found.memory
    rows += [
        Row(f"scans refused, {others[-1]:,} carts, %", refused),
        Row(f"idle cart of {LINES} lines, sockets apart, KB", [memory.cart], goal=MEMORY_GOAL),
        Row("the same with a phone, KB", [memory.with_phone], "floor", [memory.floor_with_phone]),
        Row("a second phone on it, KB", [memory.phone_more]),
        Row(f"CPU with {others[-1]:,} carts, nobody scanning, % of a core", [found.idle_share * 100]),
    ]
    return Section(f"Open carts, one phone each, {LINES} lines: {RATE} scans a second in all", rows)


def plot(found: Found) -> Lines:
    curves = []
    for colour, (kind, by_step) in enumerate(found.figures.items()):
        for name, label in (("all_p50", "p50"), ("all_p99", "p99")):
            points = [(step, spread([getattr(f, name) for f in each])) for step, each in by_step.items()]
            curves.append(Curve(f"{kind} {label}", points, colour, dashed=label == "p50"))
    return Lines(f"Scan to screen at {RATE} scans a second", "open carts", "ms", curves, powers=True)
