"""A server inside a profiler: SIGUSR1 begins, SIGUSR2 ends and writes to the file `BENCH_PROFILE` names."""

import asyncio
import cProfile
import os
import signal
from typing import TypeVar

from litestar import Litestar

from backend import app
from scripts.benchmarks import floor

Application = TypeVar("Application")


def _profiled(application: Application) -> Application:
    """uvicorn calls a factory inside its loop, whose thread is the one that is profiled."""
    profile = cProfile.Profile()

    def end() -> None:
        profile.disable()
        profile.dump_stats(os.environ["BENCH_PROFILE"])

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, profile.enable)
    loop.add_signal_handler(signal.SIGUSR2, end)
    return application


def profiled_ours() -> Litestar:
    """What `uvicorn --factory` runs for ours."""
    return _profiled(app.from_environment())


def profiled_floor() -> floor.Floor:
    """What `uvicorn --factory` runs for the floor."""
    return _profiled(floor.from_environment())
