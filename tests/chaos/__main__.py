"""What `scripts/chaos` runs: kills while people pay and leave, and a report to be read."""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.till_run import Outcome, run_till

HANGS_AFTER_S = 4 * 3600


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Kills servers, mongod and Redis with SIGKILL while shoppers pay and leave, then judges "
        "what they were told, what MongoDB holds and what the sandbox gateway took and gave back.",
    )
    parser.add_argument(
        "--kills", type=int, default=50, metavar="N", help="of each of the three (default 50)"
    )
    parser.add_argument("--seed", type=int, help="repeat the random choices of the run that printed it")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), metavar="T", help="begin no kill after so long"
    )
    return parser.parse_args()


def report(outcome: Outcome, seed: int, took_s: float, folder: Path) -> str:
    """One line a figure, then the findings."""
    figures = {"seed": seed, "took s": round(took_s), **outcome.figures}
    lines = [f"{name.replace('_', ' '):>20}  {value}" for name, value in figures.items()]
    return "\n".join(
        [*lines, *(f"FOUND: {finding}" for finding in outcome.findings), f"Diaries and logs: {folder}"]
    )


def main() -> int:
    """0 when nothing was found, else 1."""
    given = read_arguments()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    folder = Path(tempfile.mkdtemp(prefix="qless-chaos-"))
    print(f"--seed {seed}", flush=True)
    began = time.monotonic()
    outcome = asyncio.run(run_till(folder, given.kills, seed, HANGS_AFTER_S, given.seconds))
    print(report(outcome, seed, time.monotonic() - began, folder))
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
