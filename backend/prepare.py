"""Make a database ready: collections, validators, indexes; in the demo, the demo store.

`python -m backend.prepare` is run once before any process serves. It may be repeated.
"""

import asyncio
import os
import sys

from backend import demo, documents
from backend.kit import logs, mongo
from backend.kit.clock import SystemClock
from backend.lifespan import open_services
from backend.settings import Settings, SettingsError, load


async def prepare(settings: Settings) -> None:
    client = mongo.connect(settings.mongodb_url)
    await documents.prepare(mongo.open_database(client, settings.qless_database))
    await client.close()
    if settings.is_demo:
        async with open_services(settings, SystemClock()) as services:
            await demo.seed(
                services.stores, services.catalog, services.accounts, os.environ["QLESS_DEMO_PASSWORD"]
            )


def main() -> int:
    try:
        settings = load(os.environ)
        logs.configure(settings.qless_log_level)
        asyncio.run(prepare(settings))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except mongo.StorageError as error:
        print(f"MongoDB at MONGODB_URL does not answer: {type(error).__name__}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
