"""Wire types: their bases and their bounded fields."""

from typing import Annotated

import msgspec
from msgspec import Meta

from backend.kit.money import MAX_MINOR


class Input(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a client sends: unknown fields are refused, nothing is coerced."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a client receives: fields may be added later, none is renamed."""


# Python and ECMAScript must read a pattern alike, as the API's description tells it to both. In Python `$` also matches
# before a last line feed, hence `(?!\n)`; ECMAScript has no `\Z`.
ID_PATTERN = r"^[A-Za-z0-9_\-]+$(?!\n)"
COMMAND_ID_PATTERN = r"^[\x21-\x7e]+$(?!\n)"
# What shows nothing: Unicode's Default_Ignorable_Code_Point and the empty braille cell. Beyond \uffff they share no escape.
_SHOWS_NOTHING = (
    r"\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
NAME_PATTERN = rf"^(?![\s\ufeff])(?=.*[^{_SHOWS_NOTHING}])[^{_CONTROLS}]+(?<![\s\ufeff])$(?!\n)"

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN)]
"""An id of ours."""
CommandId = Annotated[str, Meta(min_length=1, max_length=64, pattern=COMMAND_ID_PATTERN)]
"""An id made by a phone: printable ASCII, never reused."""
Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=NAME_PATTERN)]
"""A person's name as they write it: on one line, something to be seen, no space around it, no control characters."""
ScannedCode = Annotated[str, Meta(min_length=1, max_length=48)]
"""What a scanner read; the catalogue judges it."""
Quantity = Annotated[int, Meta(ge=1, le=999)]
LimitMinor = Annotated[int, Meta(ge=1, le=MAX_MINOR)]
"""A budget's limit in minor units."""
Token = Annotated[str, Meta(min_length=1, max_length=2048)]
Category = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")]
"""A product category by its name."""
