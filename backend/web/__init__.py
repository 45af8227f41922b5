"""What browsers are served: for now the API's page, with its third-party module vendored (see `vendor/lock.json`)."""

from pathlib import Path

from litestar import get
from litestar.response import Redirect
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

__all__ = ["ROUTES"]

VENDOR = Path(__file__).parent / "vendor"


@get("/", include_in_schema=False, status_code=302, opt={"exclude_from_auth": True}, sync_to_thread=False)
def front_door() -> Redirect:
    """Who types the bare address finds what the server can do."""
    return Redirect("/schema", status_code=302)


ROUTES: list[ControllerRouterHandler] = [
    front_door,
    create_static_files_router(
        path="/vendor", directories=[VENDOR], include_in_schema=False, opt={"exclude_from_auth": True}
    ),
]
