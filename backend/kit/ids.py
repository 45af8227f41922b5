"""Opaque ids: a prefix that says what it names, then 48 bits of time and 52 random bits in base 32.

The time in front keeps neighbours together in an index; the random bits keep two machines apart within one
millisecond. An id is a name, never a credential: whoever must not be guessed gets a token.
"""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """`prefix_` and 20 characters; sorts by the millisecond of its making."""
    number = (time.time_ns() // 1_000_000) << 52 | secrets.randbits(52)
    return prefix + "_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(95, -1, -5))
