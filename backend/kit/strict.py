"""Strict decoding of JSON bodies, for HTTP and for whoever else reads a client's bytes."""

from typing import Any, TypeVar

import msgspec
from litestar import Request

from backend.errors import InvalidField, MalformedBody

T = TypeVar("T")

MAX_MESSAGE = 300
"""Characters of a fault that are told; it names unknown fields, and those may be endlessly long."""


class StrictRequest(Request[Any, Any, Any]):
    """Decodes a JSON body straight into the handler's `data` type.

    Litestar's own binding would coerce "1" to 1 and drop unknown fields; this decoder does neither, and
    its type is what the API description shows.
    """

    async def json(self) -> Any:
        field = self.route_handler.parsed_data_field
        target = field.annotation if field is not None else Any
        return decode_strict(await self.body(), target)


def decode_strict(body: bytes, target: type[T]) -> T:
    """Decode JSON without coercion.

    Raises:
        InvalidField: well-formed JSON of the wrong shape; names the place.
        MalformedBody: not JSON at all.
    """
    try:
        return msgspec.json.decode(body, type=target)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        fault = {"field": path.rstrip("`") or "$", "message": message}
        cut = {name: text[:MAX_MESSAGE] for name, text in fault.items()}
        raise InvalidField(str(error)[:MAX_MESSAGE], [cut]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(str(error)) from None
