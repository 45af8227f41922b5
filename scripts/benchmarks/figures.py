"""What one stretch of scanning showed, and what the kernel tells of a process."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Figures(msgspec.Struct, frozen=True):
    """Times in milliseconds, from the sending of a scan; the server's CPU time in microseconds a scan.

    Attributes:
        own_p50, own_p99: until its answer came to the scanner.
        all_p50, all_p99: until it was on the last screen.
        here_p50, there_p50: until it was on a screen, not the scanner's, that the scanner's server process
            serves, or another process; None where there is no such screen.
        refused: scans that the server did not take; they are in no other figure.
        client_busy: share of a core that the client took; near 1, it is the client that was measured.
    """

    scans: int
    scans_a_second: float
    own_p50: float
    own_p99: float
    all_p50: float
    all_p99: float
    server_cpu_us: float
    client_busy: float
    here_p50: float | None = None
    there_p50: float | None = None
    refused: int = 0


class Asked(msgspec.Struct, frozen=True):
    """Requests of one kind: milliseconds to the answer, microseconds of the server's CPU each."""

    a_second: float
    p50: float
    p99: float
    cpu_us: float


class Times(msgspec.Struct):
    """Seconds from the sending of each scan to what `Figures` tells of."""

    own: list[float] = []
    everybody: list[float] = []
    here: list[float] = []
    there: list[float] = []
    refused: int = 0


def summarise(times: Times, took_s: float, server_cpu_s: float, client_cpu_s: float) -> Figures:
    """The figures of a stretch from the times of its scans."""
    own, everybody = sorted(times.own), sorted(times.everybody)
    return Figures(
        scans=len(everybody),
        scans_a_second=len(everybody) / took_s,
        own_p50=quantile(own, 0.50) * 1e3,
        own_p99=quantile(own, 0.99) * 1e3,
        all_p50=quantile(everybody, 0.50) * 1e3,
        all_p99=quantile(everybody, 0.99) * 1e3,
        server_cpu_us=server_cpu_s / len(everybody) * 1e6,
        client_busy=client_cpu_s / took_s,
        here_p50=quantile(sorted(times.here), 0.50) * 1e3 if times.here else None,
        there_p50=quantile(sorted(times.there), 0.50) * 1e3 if times.there else None,
        refused=times.refused,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return ordered[round((len(ordered) - 1) * share)]


def cpu_seconds(pid: int) -> float:
    """A process's CPU time, the kernel's for it included, to the clock tick (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def resident_bytes(pid: int) -> int:
    """A process's resident memory, shared libraries included; the kernel's buffers of its sockets are not in it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup names no resident memory")
