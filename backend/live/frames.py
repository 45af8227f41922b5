"""Text messages as they travel from a server to a phone, so that one encoding serves every screen."""

import struct
from typing import NewType

Frame = NewType("Frame", bytes)
"""A whole WebSocket text message: header and UTF-8 payload, unmasked, uncompressed (RFC 6455, section 5.2)."""

_TEXT = 0x81
"""Opcode 1, and the bit that says that the message ends with this frame."""
_TWO_BYTES, _EIGHT_BYTES = 126, 127
"""In the place of the length: the length follows, in so many bytes."""


def text_frame(payload: bytes) -> Frame:
    """The frame of a payload, which must be UTF-8."""
    size = len(payload)
    if size < _TWO_BYTES:
        return Frame(bytes((_TEXT, size)) + payload)
    if size < 1 << 16:
        return Frame(struct.pack("!BBH", _TEXT, _TWO_BYTES, size) + payload)
    return Frame(struct.pack("!BBQ", _TEXT, _EIGHT_BYTES, size) + payload)


def text_of(frame: Frame) -> str:
    """The payload again, for a server that frames messages itself."""
    header = {_TWO_BYTES: 4, _EIGHT_BYTES: 10}.get(frame[1], 2)
    return frame[header:].decode()
