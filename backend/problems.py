"""Errors on their way out: RFC 9457 problems over HTTP, `error` frames and close codes on sockets."""

import logging
import re
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from backend import errors
from backend.errors import AppError, Category
from backend.kit.logs import request_id
from backend.kit.mongo import DuplicateKeyError, StorageError

log = logging.getLogger(__name__)

STATUS: dict[Category, int] = {
    Category.INVALID: 400,
    Category.UNAUTHENTICATED: 401,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.UNPROCESSABLE: 422,
    Category.TOO_MANY: 429,
    Category.UNAVAILABLE: 503,
}

MEDIA_TYPE = "application/problem+json"

_CODES_OF_HTTP = {405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}
_MISSING = re.compile(r"Missing required (?P<kind>\w+) parameter '(?P<name>[^']+)'")
"""How Litestar says that."""
_BODY_MISSING = "data"
"""What Litestar calls the body; the faults in one that is there are named by the strict decoder."""
_CLIENT_GONE = "client disconnected prematurely"
"""Litestar's words for a caller that hung up in the middle of its body."""


class FieldFault(msgspec.Struct):
    field: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457 problem details with Q-Less's stable `code`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool = False
    request_id: str = ""
    errors: list[FieldFault] = []


def to_problem(error: AppError) -> Problem:
    return Problem(
        type=f"urn:qless:error:{error.code}",
        title=error.title,
        status=STATUS[error.category],
        detail=error.detail,
        code=error.code,
        retryable=error.retryable,
        request_id=request_id.get(),
        errors=[FieldFault(**fault) for fault in error.errors],
    )


def _respond(problem: Problem, retry_after_s: int = 1) -> Response[bytes]:
    headers = {"www-authenticate": "Bearer"} if problem.status == 401 else {}
    if problem.retryable:
        headers["retry-after"] = str(retry_after_s)
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


def on_app_error(_: Request[Any, Any, Any], error: AppError) -> Response[bytes]:
    return _respond(to_problem(error), error.retry_after_s)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Litestar's own refusals (no such route, wrong method, bad parameter), in our form."""
    if error.detail == _CLIENT_GONE:
        return on_app_error(request, errors.MalformedBody("The body ended before its time."))
    if error.status_code >= 500:
        return on_unexpected(request, error)
    extra = error.extra if isinstance(error.extra, list) else []
    told = [fault for fault in extra if isinstance(fault, dict)]
    if missing := _MISSING.match(error.detail):
        told = [{"key": missing["name"], "message": f"This {missing['kind']} is required."}]
    if any(fault.get("key") == _BODY_MISSING for fault in told):
        return on_app_error(request, errors.MalformedBody("The body is missing."))
    known = {
        400: errors.InvalidInput,
        401: errors.NotAuthenticated,
        403: errors.Forbidden,
        404: errors.NotFound,
    }.get(error.status_code)
    if known is not None:
        problem = to_problem(known())
        problem.errors = [
            FieldFault(
                field=_as_sent(request, str(fault.get("key", ""))), message=str(fault.get("message", ""))
            )
            for fault in told
        ]
    else:
        problem = Problem(
            type="about:blank",
            title=error.detail,
            status=error.status_code,
            detail=error.detail,
            code=_CODES_OF_HTTP.get(error.status_code, "http_error"),
            request_id=request_id.get(),
        )
    response = _respond(problem)
    response.headers.update(error.headers or {})
    return response


def _as_sent(request: Request[Any, Any, Any], argument: str) -> str:
    """What the request calls an argument of the handler: a header's name is none in Python."""
    field = request.route_handler.parsed_fn_signature.parameters.get(argument)
    return getattr(field and field.kwarg_definition, "name", None) or argument


def on_storage_error(_: Request[Any, Any, Any], error: StorageError) -> Response[bytes]:
    """MongoDB did not answer in time: retryable, said without its details."""
    log.warning(
        "storage error", extra={"error": type(error).__name__, "number": getattr(error, "code", None)}
    )
    return _respond(to_problem(errors.StorageUnavailable()))


def on_duplicate_key(request: Request[Any, Any, Any], error: DuplicateKeyError) -> Response[bytes]:
    """Whoever inserts what may be there already handles it; one that comes this far is a defect, and stays one.

    It is logged with its trace but without its text, which holds the value that was there: perhaps a phone number.
    """
    index = ", ".join((error.details or {}).get("keyPattern", {}))
    bare = RuntimeError(f"duplicate key in the index of {index}").with_traceback(error.__traceback__)
    return on_unexpected(request, bare)


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A defect of ours: logged with its trace, answered without it."""
    log.error("unexpected error", exc_info=error, extra={"path": request.scope.get("path_template", "")})
    return _respond(_internal())


def _internal() -> Problem:
    return Problem(
        type="urn:qless:error:internal",
        title="A fault of ours",
        status=500,
        detail="The server failed; the request id names this occurrence in its log.",
        code="internal",
        request_id=request_id.get(),
    )


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    AppError: on_app_error,
    HTTPException: on_http_exception,
    StorageError: on_storage_error,
    DuplicateKeyError: on_duplicate_key,
    Exception: on_unexpected,
}
