"""What every HTTP request passes: its id, its caller, one log line.

The caller is asked for by whoever needs it: an `authorization` header that names nobody is refused on every
route, its absence only where a guard says so.
"""

import logging
import re
import time
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.middleware.base import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Histogram

from backend.errors import NotAuthenticated
from backend.kit import tracing
from backend.kit.ids import new_id
from backend.kit.logs import request_id

log = logging.getLogger("qless.request")

REQUESTS = Counter("qless_http_requests", "HTTP requests answered", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "qless_http_request_seconds",
    "From a request's head to its answer's",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other is a stranger's word, and counted as one."""

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_\-]{8,64}")


class RequestIds(ASGIMiddleware):
    """Gives each request an id, the caller's own if it is well-formed, and logs its outcome."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        current = given if _ACCEPTABLE_ID.fullmatch(given) else new_id("req")
        mark = request_id.set(current)
        started = time.perf_counter()
        answered = 0

        async def send_with_id(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                MutableScopeHeaders(message)["x-request-id"] = current
                _tell(scope, message["status"], time.perf_counter() - started)
            await send(message)

        try:
            with tracing.span("HTTP", headers.get(b"traceparent", b"").decode("latin-1")) as span:
                await next_app(scope, receive, send_with_id)
                if span is not None:
                    _name(span, scope, current, answered)
        finally:
            request_id.reset(mark)


def _name(span: Any, scope: Scope, request: str, status: int) -> None:
    method, route = scope.get("method", ""), scope.get("path_template", "")
    span.update_name(f"{method} {route}")
    told = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    span.set_attributes({**told, "qless.request_id": request})


def _tell(scope: Scope, status: int, seconds: float) -> None:
    method, route = str(scope.get("method", "")), scope.get("path_template", "")
    told = {"method": method, "route": route, "status": status, "ms": round(seconds * 1e3, 1)}
    log.info("request", extra=told)
    method = method if method in METHODS else "other"
    REQUESTS.labels(method, route, status).inc()
    REQUEST_SECONDS.labels(method, route).observe(seconds)


class Authentication(AbstractAuthenticationMiddleware):
    """Turns a bearer token into `connection.user`: a `Principal`, or None when no token is sent."""

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        header = connection.headers.get("authorization")
        if header is None:
            return AuthenticationResult(user=None, auth=None)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("The authorization header is not of the form `Bearer <access token>`.")
        principal = await connection.app.state.services.accounts.authenticate(token)
        return AuthenticationResult(user=principal, auth=None)
