"""Wire types: their bases and their bounded fields."""

from typing import Annotated

import msgspec
from msgspec import Meta

from backend.kit.money import MAX_MINOR


class Input(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a client sends: unknown fields are refused, nothing is coerced."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a client receives: fields may be added later, none is renamed."""


Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_\-]+$")]
"""An id of ours."""
CommandId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
"""An id made by a phone: printable ASCII, never reused."""
Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^\S(.*\S)?$")]
"""A person's name as they write it, without space around it."""
ScannedCode = Annotated[str, Meta(min_length=1, max_length=48)]
"""What a scanner read; the catalogue judges it."""
Quantity = Annotated[int, Meta(ge=1, le=999)]
LimitMinor = Annotated[int, Meta(ge=1, le=MAX_MINOR)]
"""A budget's limit in minor units."""
Token = Annotated[str, Meta(min_length=1, max_length=2048)]
