"""How often somebody may be wrong about a join link. Its 192 random bits carry the rest."""

from backend.accounts import Caller
from backend.kit.throttle import Limit, network_of

USER_TRIES, USER_PER_S = 10, 600
"""Of one person: more old links than a family has, and half of the 20 tries within which a guesser is stopped."""
ADDRESS_TRIES, ADDRESS_PER_S = 60, 60
"""Of one address, as a guesser may come as ever new guests. A whole shop shares the address of its WiFi: this is more
than all its shoppers together are wrong, and a guesser among them shuts the others out for a minute, not for ten."""


def join_limits(request: Caller) -> tuple[Limit, Limit]:
    """Of the caller, and of the address that uvicorn gives: the client's own, told by nobody but our proxy."""
    host = request.client.host if request.client else "unknown"
    return (
        Limit(f"join:user:{request.user.user_id}", USER_TRIES, USER_PER_S),
        Limit(f"join:address:{network_of(host)}", ADDRESS_TRIES, ADDRESS_PER_S),
    )
