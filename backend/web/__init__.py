"""What browsers are served: for now the API's page, with its third-party module vendored (see `vendor/lock.json`)."""

from pathlib import Path

from litestar.static_files import create_static_files_router

VENDOR = Path(__file__).parent / "vendor"

ROUTES = [
    create_static_files_router(
        path="/vendor", directories=[VENDOR], include_in_schema=False, opt={"exclude_from_auth": True}
    )
]
