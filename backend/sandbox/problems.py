"""What goes wrong, as an answer: RFC 9457 problems, and the answer that is cut off."""

import logging
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from .errors import GatewayError

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

logger = logging.getLogger(__name__)

AnyRequest = Request[Any, Any, Any]


def problem(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> Response[dict[str, Any]]:
    """An RFC 9457 answer whose title is the status's own phrase."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    headers = SECURITY_HEADERS | (headers or {})
    return Response(content, status_code=status, media_type="application/problem+json", headers=headers)


def on_gateway_error(_: AnyRequest, error: GatewayError) -> Response[dict[str, Any]]:
    """What the gateway refuses, with the status of its kind."""
    return problem(error.status, error.code, error.detail)


def on_http_error(_: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    """What Litestar, the key's guard and ``body_of`` refuse; the code is the status's name."""
    code = HTTPStatus(error.status_code).name.lower()
    return problem(error.status_code, code, error.detail, error.headers)


def on_defect(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    """A defect of the gateway itself, told in the log alone."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "internal_server_error", "The gateway failed; the fault is in its log.")


class CutOff(Response[None]):
    """No answer: the connection is closed.

    ASGI knows no bare close, so the head of a 503 goes out that promises a body, and the server, left without one,
    closes the connection: the caller's HTTP client fails by its transport, and no status is to be trusted.
    """

    def __init__(self) -> None:
        super().__init__(None, status_code=503)

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _CutOff(status_code=503)


class _CutOff(ASGIResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-length", b"1"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 503, "headers": head})
