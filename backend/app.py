"""The one place where the parts meet."""

import asyncio
import dataclasses
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware

from backend import accounts, carts, catalog, checkout, exits, health, metrics, payments, rewards, stores
from backend.accounts import Principal
from backend.catalog import PreviewAdd, Product, WhatIf, WhatIfBudget
from backend.description import Description
from backend.errors import NotAuthenticated
from backend.kit import logs, tracing
from backend.kit.clock import Clock, SystemClock
from backend.kit.drain import Drain
from backend.kit.garbage import run_collection
from backend.kit.strict import StrictRequest
from backend.kit.tasks import Background
from backend.lifespan import Services, open_services
from backend.middleware import Authentication, RequestIds
from backend.problems import EXCEPTION_HANDLERS
from backend.settings import Settings, SettingsError, load
from backend.web import ROUTES as WEB_ROUTES

MAX_BODY_BYTES = 1_000_000


def create_app(settings: Settings, clock: Clock | None = None) -> Litestar:
    """The server as an ASGI application; what it needs is opened in its lifespan."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_services(settings, clock or SystemClock()) as services:
            app.state.services = services
            async with metrics.watching(services) as app.state.metrics_port:
                yield

    app = Litestar(
        route_handlers=[
            *accounts.ROUTES,
            *stores.ROUTES,
            *catalog.ROUTES,
            *carts.ROUTES,
            *checkout.ROUTES,
            *payments.ROUTES,
            *exits.ROUTES,
            *rewards.ROUTES,
            *health.ROUTES,
            *WEB_ROUTES,
        ],
        dependencies={
            **{field.name: _provide(field.name) for field in dataclasses.fields(Services)},
            "preview_add": Provide(_preview_add, sync_to_thread=False),
        },
        middleware=[DefineMiddleware(Authentication)],
        exception_handlers=EXCEPTION_HANDLERS,
        request_class=StrictRequest,
        request_max_body_size=MAX_BODY_BYTES,
        plugins=[Description()],
        lifespan=[lifespan],
        logging_config=None,
        debug=False,
    )
    app.state.drain = Drain()
    # Litestar's own middleware begins behind its router and never sees a path that does not exist.
    app.asgi_handler = RequestIds()(app.asgi_handler)
    return app


def _provide(name: str) -> Provide:
    """A handler's argument of this name is the service of this name."""

    def provider(state: State) -> Any:
        return getattr(state.services, name)

    return Provide(provider, sync_to_thread=False)


def _preview_add(state: State) -> PreviewAdd:
    """How the catalogue asks the cart what a scan would do; the catalogue knows no carts."""
    carts_service: carts.Carts = state.services.carts

    async def preview(principal: Principal | None, session_id: str, product: Product) -> WhatIf | None:
        if principal is None:
            raise NotAuthenticated
        after = await carts_service.preview_add(principal, session_id, product)
        return after and WhatIf(
            total_minor=after.total_minor,
            waiting=after.waiting,
            budget=_what_if(after.budget),
            allowance=_what_if(after.allowance),
            category_budget=_what_if(after.category_budget),
        )

    return preview


def _what_if(budget: carts.Budget | None) -> WhatIfBudget | None:
    return msgspec.convert(budget, WhatIfBudget | None, from_attributes=True)


def from_environment() -> Litestar:
    """What `uvicorn --factory` runs.

    Raises:
        SystemExit: with one sentence, as the environment does not describe a server that could run.
    """
    try:
        settings = load(os.environ)
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    logs.configure(settings.qless_log_level)
    app = create_app(settings)
    if settings.qless_otlp_url:
        _trace(app, settings.qless_otlp_url)
    # The collector is the process's, and tests run several applications in one.
    collection = Background()
    app.on_startup.append(lambda: collection.start("garbage", run_collection))
    app.on_startup.append(lambda: app.state.drain.on_sigterm(settings.qless_drain_s))
    app.on_shutdown.append(collection.stop)
    return app


def _trace(app: Litestar, url: str) -> None:
    """Have the process send traces; the last of them once everything else is closed."""
    try:
        stop = tracing.start(url, socket.gethostname())
    except tracing.TracingMissing:
        raise SystemExit("QLESS_OTLP_URL is set: install requirements-otel.txt, or leave it empty.") from None

    async def end() -> None:
        await asyncio.to_thread(stop)

    app.on_shutdown.append(end)
