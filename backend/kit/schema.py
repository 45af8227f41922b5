"""Wire types: their bases and their bounded fields."""

from typing import Annotated

import msgspec
from msgspec import Meta

from backend.kit.money import MAX_MINOR


class Input(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a client sends: unknown fields are refused, nothing is coerced."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a client receives: fields may be added later, none is renamed."""


# In Python `$` also matches before a last line feed, hence `(?!\n)`; other readers of the API's description have no `\Z`.
Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_\-]+$(?!\n)")]
"""An id of ours."""
CommandId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$(?!\n)")]
"""An id made by a phone: printable ASCII, never reused."""
Name = Annotated[
    str,
    Meta(min_length=1, max_length=60, pattern=r"^(?!\s)[^\x00-\x1f\x7f-\x9f\u2028\u2029]+(?<!\s)$(?!\n)"),
]
"""A person's name as they write it, on one line, without space around it and without control characters."""
ScannedCode = Annotated[str, Meta(min_length=1, max_length=48)]
"""What a scanner read; the catalogue judges it."""
Quantity = Annotated[int, Meta(ge=1, le=999)]
LimitMinor = Annotated[int, Meta(ge=1, le=MAX_MINOR)]
"""A budget's limit in minor units."""
Token = Annotated[str, Meta(min_length=1, max_length=2048)]
Category = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")]
"""A product category by its name."""
