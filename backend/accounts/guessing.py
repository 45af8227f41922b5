"""How often passwords, codes and refresh tokens may be tried, and accounts be made.

The numbers are for a family behind one address, for a shop where hundreds of shoppers share the address of its WiFi,
and for phone networks that put thousands behind one. What tells the good from the bad is that the good are rarely
wrong: for secrets only wrong tries count, those under way included. What costs a document counts always, generously.
"""

from typing import NamedTuple

from backend.accounts.contacts import Contacts
from backend.accounts.sources import Source
from backend.kit.secrets import digest
from backend.kit.throttle import Limit


class Rate(NamedTuple):
    """At most `tries` in any `per_s` seconds."""

    tries: int
    per_s: int


WRONG_FROM_HERE = Rate(10, 600)
"""Wrong tries of one account from one address: more than somebody needs who mixes up their passwords."""
WRONG_FROM_ANYWHERE = Rate(100, 600)
"""Wrong tries of one account from all addresses, where nobody signed in to it before: 14,400 a day, so that the 10**6
guesses that a password is good for (`strength`) take 70 days of being seen. It holds for ten minutes, and not at the
addresses from which the account was signed in to lately: who attacks an account does not shut its owner out there."""
WRONG_OF_ANYBODY = Rate(120, 60)
"""Wrong tries of all accounts from one address. A shop's shoppers together are wrong less often; a guesser among them
shuts the others out for a minute, not for ten."""
REGISTRATIONS = Rate(600, 600)
"""From one address, refused ones included: a hash of some 30 ms each, so 3 % of a core."""
REGISTRATIONS_OF_ONE = Rate(30, 600)
"""For one phone or e-mail, from one address."""
GUESTS = Rate(3_000, 600)
"""From one address: eighteen big stores with a thousand shoppers an hour each could share it. About 0.8 KB each, so one
address makes at most 350 MB a day."""
REFRESHES = Rate(60, 60)
"""Of one login: every 15 minutes is usual, and a phone on a bad network sends one refresh several times."""


def address_limit(source: Source) -> Limit:
    """For a try at any secret."""
    return Limit(f"wrong:{source.network}", *WRONG_OF_ANYBODY)


def account_limits(what: str, account: str, source: Source, *, from_anywhere: bool = True) -> list[Limit]:
    """For a try at one secret of an account, named by whatever stays the same for it.

    Args:
        what: which secret; the limits of an account's secrets do not mix.
        from_anywhere: whether tries from other addresses count here as well.
    """
    named = f"{what}:{digest(account)[:32]}"
    here = Limit(f"{named}:{source.network}", *WRONG_FROM_HERE)
    return [here, Limit(named, *WRONG_FROM_ANYWHERE)] if from_anywhere else [here]


def registration_limits(contacts: Contacts, source: Source) -> list[Limit]:
    return [
        Limit(f"register:{source.network}", *REGISTRATIONS),
        *(
            Limit(f"register:{digest(str(contact))[:32]}:{source.network}", *REGISTRATIONS_OF_ONE)
            for contact in contacts.values()
        ),
    ]


def guest_limit(source: Source) -> Limit:
    return Limit(f"guest:{source.network}", *GUESTS)


def refresh_limit(token: str) -> Limit:
    return Limit(f"refresh:{digest(token.partition('.')[0])[:32]}", *REFRESHES)
