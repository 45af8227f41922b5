"""Which passwords are refused: too short or long, somebody's own contact, or soon guessed.

How soon is estimated by zxcvbn (Wheeler, USENIX Security 2016): it knows 30,000 leaked passwords, words, names,
keyboards, dates, and what people do to them. Here it is the package `zxcvbn-rs-py` (MIT, typed): 9 MB in the process,
13 ms to load, then 0.3 ms a password and 2 ms at most. The original package `zxcvbn` has no types, takes 14 MB and 5 times as long. Lists
alone, as in `commonpasswords` or of our own, do not find `Krishna@2024`.
"""

import string
import unicodedata
from collections.abc import Iterable

from zxcvbn_rs_py import zxcvbn

from backend.accounts.rules import PASSWORD_MAX, PASSWORD_MIN, normalise_password

GUESSES_MIN = 10**6
"""Of which a guesser who is let through `guessing.WRONG_FROM_ANYWHERE` needs 70 days for the last."""
JUDGED = 64
"""Characters that are looked at: the time grows with their square, and what begins well is good enough."""

_OWN_PART_MIN = 4
_PHONE_TAIL = 8
_WORDS_HERE = (
    *(
        "india",
        "indian",
        "hindustan",
        "bharat",
        "jaihind",
        "delhi",
        "mumbai",
        "kolkata",
        "chennai",
        "bengaluru",
    ),
    *(
        "krishna",
        "ganesh",
        "shiva",
        "sairam",
        "sriram",
        "bismillah",
        "waheguru",
        "cricket",
        "sachin",
        "qless",
    ),
)
"""Common in passwords where the shops are, and in none of the lists, which are English."""
_NOTHING_BETWEEN = str.maketrans("", "", string.punctuation + " ")


def password_fault(password: str, contacts: Iterable[str], name: str = "") -> str | None:
    """Why a password is refused for the person with these contacts and this name, or None when it will do.

    Counted in code points of the normalised form. Their own e-mail's local part (from 4 characters on) and
    their own phone number (its last 8 digits) may not occur in it.
    """
    normal = normalise_password(password)
    if not PASSWORD_MIN <= len(normal) <= PASSWORD_MAX:
        return f"A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters."
    folded = normal.casefold()
    if any(part in folded for part in map(_own_part, contacts) if len(part) >= _OWN_PART_MIN):
        return "The password contains your own phone number or e-mail address; choose another."
    if _guesses(normal, name) < GUESSES_MIN:
        return "This password is common or easily guessed; choose another, such as three or four words."
    return None


def _own_part(contact: str) -> str:
    if "@" in contact:
        return contact.partition("@")[0].partition("+")[0].casefold()
    return contact[-_PHONE_TAIL:]


def _guesses(password: str, name: str) -> int:
    """How many guesses find it, as it is or without what stands between letters and digits: `welcome@123`."""
    wide_as_narrow = unicodedata.normalize("NFKC", password)[:JUDGED]
    known = [*_WORDS_HERE, *name.casefold().split()]
    forms = {wide_as_narrow, wide_as_narrow.translate(_NOTHING_BETWEEN) or wide_as_narrow}
    return min(zxcvbn(form, known).guesses for form in forms)
