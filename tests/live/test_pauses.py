"""What would stop every cart of a process at once."""

import asyncio
import subprocess
import sys
from pathlib import Path

from backend.settings import Settings

START = """
import asyncio, gc
from backend.app import from_environment

async def main():
    app = from_environment()
    async with app.lifespan():
        await asyncio.sleep(0.5)
        print(len(gc.get_objects()))

asyncio.run(main())
"""


async def test_a_server_collects_nothing_of_what_it_began_with(settings: Settings) -> None:
    """What the collector looks through is what came since: it was above 100,000 objects."""
    told = {
        "MONGODB_URL": settings.mongodb_url,
        "REDIS_URL": settings.redis_url,
        "QLESS_DATABASE": settings.qless_database,
        "QLESS_MODE": "demo",
        "QLESS_PUBLIC_URL": settings.qless_public_url,
        "QLESS_SECRET": settings.qless_secret,
    }
    root = Path(__file__).parent.parent.parent
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", START, cwd=root, env=told, stdout=subprocess.PIPE
    )
    output, _ = await started.communicate()
    assert started.returncode == 0
    assert int(output) < 10_000
