"""What every error is, their categories, and those that any part may raise."""

from enum import StrEnum
from typing import ClassVar


class Category(StrEnum):
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNPROCESSABLE = "unprocessable"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"


class AppError(Exception):
    """An answer that the caller can act on.

    Attributes:
        code: stable name, part of the API.
        title: what the code means, the same in every occurrence.
        category: what kind of no it is.
        retryable: whether the very same request may succeed later.
        retry_after_s: when that may be, if it is.
        detail: this occurrence, in words for the developer or the shopper.
        errors: for invalid input, one `{field, message}` for each fault.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request cannot be fulfilled"
    category: ClassVar[Category] = Category.INVALID
    retryable: ClassVar[bool] = False
    retry_after_s: int = 1

    def __init__(self, detail: str = "", errors: list[dict[str, str]] | None = None) -> None:
        self.detail = detail or f"{self.title}."
        self.errors = errors or []
        super().__init__(self.detail)


class InvalidInput(AppError):
    code = "invalid_request"
    title = "The request is not valid"


class MalformedBody(InvalidInput):
    code = "malformed_body"
    title = "The body is not the JSON that this endpoint takes"


class InvalidField(InvalidInput):
    code = "invalid_field"
    title = "A field has a wrong type or value, or is not known"


class NotAuthenticated(AppError):
    code = "not_authenticated"
    title = "Sign in first"
    category = Category.UNAUTHENTICATED


class Forbidden(AppError):
    code = "forbidden"
    title = "Your role does not allow this"
    category = Category.FORBIDDEN


class NotFound(AppError):
    code = "not_found"
    title = "There is no such thing here"
    category = Category.NOT_FOUND


class Conflict(AppError):
    code = "conflict"
    title = "The state has changed"
    category = Category.CONFLICT


class InProgress(Conflict):
    code = "in_progress"
    title = "The same request is still being carried out; send it again for its answer"
    retryable = True


class Unprocessable(AppError):
    code = "contradiction"
    title = "The request contradicts an earlier one"
    category = Category.UNPROCESSABLE


class IdReused(Unprocessable):
    code = "id_reused"
    title = "This id was used for another command or request"


class TooMany(AppError):
    code = "too_many"
    title = "Too many requests; slow down"
    category = Category.TOO_MANY
    retryable = True


class TooManyTries(TooMany):
    code = "too_many_tries"
    title = "Too many tries; wait before the next"

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail or f"{self.title}: {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class Unavailable(AppError):
    code = "unavailable"
    title = "The server cannot do this right now; try again"
    category = Category.UNAVAILABLE
    retryable = True


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    title = "The database does not answer; try again"
