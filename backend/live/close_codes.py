"""Why a socket was closed, and whether its client may come back.

This is the one table; README.md and the description of the socket are made of it.
"""

from enum import IntEnum, StrEnum, auto


class ComeBack(StrEnum):
    """When a client may connect again. Whoever does says `hello` with `since`, and misses nothing."""

    AT_ONCE = auto()
    AFTER_A_SECOND = auto()
    AFTER_SIGNING_IN = auto()
    """By a fresh token, from a refresh or a new login."""
    AFTER_MENDING_THE_CLIENT = auto()
    NO = auto()
    """Not by itself: a person may try again."""


class CloseCode(IntEnum):
    """A code of RFC 6455 (section 7.4.1) or, from 4400 on, of ours.

    The first two are sent by the WebSocket library and by uvicorn, with reasons of their own or none.

    Attributes:
        meaning: what happened, in a sentence.
        come_back: whether and when the client may connect again.
    """

    meaning: str
    come_back: ComeBack

    def __new__(cls, code: int, meaning: str, come_back: ComeBack) -> "CloseCode":
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.come_back = come_back
        return member

    @property
    def reason(self) -> str:
        """The word that goes with the code."""
        return self.name.lower()

    FRAME_TOO_LARGE = 1009, "A frame was larger than 16 KiB.", ComeBack.AFTER_MENDING_THE_CLIENT
    RESTARTING = 1012, "The server restarts.", ComeBack.AT_ONCE
    BAD_HELLO = (
        4400,
        "The first frame was not a valid `hello`, or a later `hello` was another user's.",
        ComeBack.AFTER_MENDING_THE_CLIENT,
    )
    NOT_AUTHENTICATED = (
        4401,
        "The token is wrong or has expired, or its login has ended.",
        ComeBack.AFTER_SIGNING_IN,
    )
    FOREIGN_ORIGIN = 4403, "The page's origin is not one of the server's.", ComeBack.NO
    NOT_FOUND = 4404, "There is no such cart for this user, or no longer.", ComeBack.NO
    HELLO_LATE = 4408, "No `hello` came within 5 s.", ComeBack.AT_ONCE
    REPLACED = 4409, "The user opened more sockets than allowed; this was the oldest.", ComeBack.NO
    TOO_SLOW = 4413, "The phone read too slowly.", ComeBack.AT_ONCE
    UNAVAILABLE = 4503, "The database does not answer.", ComeBack.AFTER_A_SECOND
