"""Why a socket was closed, and what the client may do about it.

| code | reason | come back? |
|---|---|---|
| 1009 | a frame over 16 KiB | with smaller frames |
| 1012 | the server restarts | at once, with `since` |
| 4400 | the first frame was not a valid `hello` | after mending the client |
| 4401 | the token is wrong or expired | after signing in or refreshing |
| 4403 | the page's origin is not one of ours | no |
| 4404 | no such cart for this user | no |
| 4408 | no `hello` within 5 s | at once |
| 4413 | the phone read too slowly | at once, with `since` |
| 4503 | the database does not answer | after a second, with `since` |
"""

from enum import IntEnum


class CloseCode(IntEnum):
    RESTARTING = 1012
    BAD_HELLO = 4400
    NOT_AUTHENTICATED = 4401
    FOREIGN_ORIGIN = 4403
    NOT_FOUND = 4404
    HELLO_LATE = 4408
    TOO_SLOW = 4413
    UNAVAILABLE = 4503
