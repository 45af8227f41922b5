"""Save the database to one file, and restore it: `python -m backend.backup save|restore FILE`.

`MONGODB_URL` and `QLESS_DATABASE` are the server's. What a file is worth and what it does not hold is in README.md.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from backend import documents
from backend.kit import backup, mongo

DATABASE = "qless"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m backend.backup", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    save = actions.add_parser("save", help="while the servers serve")
    restore = actions.add_parser("restore", help="while no server runs")
    for action in (save, restore):
        action.add_argument("file", type=Path)
    restore.add_argument("--replace", action="store_true", help="drop what is in the database")
    return parser.parse_args()


def run(options: argparse.Namespace, url: str, database: str) -> str:
    """Do it; what was done, in a sentence."""
    began = time.monotonic()
    with backup.connect(url) as client:
        if options.action == "save":
            manifest = backup.save(client, database, options.file)
            verb = f"saved to {options.file} ({options.file.stat().st_size:,} bytes)"
        else:
            manifest = backup.restore(client, database, options.file, replace=options.replace)
            asyncio.run(_prepare(url, database))
            verb = f"restored to {database}"
    told = f"{manifest.documents:,} documents of {manifest.database} as of {manifest.as_of:%Y-%m-%d %H:%M:%S} UTC"
    return f"{told} {verb} in {time.monotonic() - began:.1f} s."


async def _prepare(url: str, database: str) -> None:
    """The indexes and validators of this release."""
    client = mongo.connect(url)
    await documents.prepare(mongo.open_database(client, database))
    await client.close()


def main() -> int:
    options = parse()
    url = os.environ.get("MONGODB_URL", "")
    if not mongo.is_url(url):
        print("MONGODB_URL is not set, or no address of MongoDB.", file=sys.stderr)
        return 2
    try:
        print(run(options, url, os.environ.get("QLESS_DATABASE") or DATABASE))
    except backup.BackupError as error:
        print(error, file=sys.stderr)
        return 1
    except mongo.StorageError as error:
        print(f"MongoDB: {type(error).__name__}, {getattr(error, 'code', None)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
