"""The `/auth` endpoints."""

from litestar import Router, get, post
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from backend.accounts.contacts import read_contacts
from backend.accounts.guards import BEARER, Caller, MaybeCaller, signed_in
from backend.accounts.guessing import (
    account_limits,
    address_limit,
    guest_limit,
    refresh_limit,
    registration_limits,
)
from backend.accounts.routes_devices import DEVICE_ROUTES
from backend.accounts.routes_logins import LOGIN_ROUTES
from backend.accounts.routes_staff import STAFF_ROUTES
from backend.accounts.schemas import GuestIn, LoginIn, RefreshIn, RegisterIn, TokensOut, UserOut
from backend.accounts.service import Accounts
from backend.accounts.sources import source_of
from backend.errors import NotAuthenticated, WrongCredentials
from backend.kit.throttle import Throttle


@post(
    "/register",
    operation_id="register",
    summary="Register",
    description=(
        "Makes a customer with a password and signs them in. Sent with a guest's bearer token, it makes that "
        "guest a customer, who keeps user id, cart, orders and points."
    ),
    response_description="Signed in; the guest's own logins go on.",
    security=[{}, {"bearer": []}],
)
async def register(
    request: MaybeCaller,
    data: JSONBody[RegisterIn],
    accounts: NamedDependency[Accounts],
    throttle: NamedDependency[Throttle],
) -> TokensOut:
    source = source_of(request)
    await throttle.count(*registration_limits(read_contacts(data.phone, data.email), source))
    return await accounts.register(data, request.user, source)


@post(
    "/login",
    status_code=200,
    operation_id="login",
    summary="Sign in",
    description="Starts a login on this device; the account's other logins go on. Who is often wrong must wait.",
    response_description="Signed in.",
)
async def login(
    request: MaybeCaller,
    data: JSONBody[LoginIn],
    accounts: NamedDependency[Accounts],
    throttle: NamedDependency[Throttle],
) -> TokensOut:
    source, contacts = source_of(request), read_contacts(data.phone, data.email)
    contact = " ".join(map(str, contacts.values()))
    # Most guessers are refused before MongoDB is asked.
    at_first = account_limits("contact", contact, source, from_anywhere=False)
    async with throttle.counting(address_limit(source), *at_first, wrong=WrongCredentials):
        account, known_here = await accounts.whose(contacts, source)
        limits = account_limits("login", account, source, from_anywhere=not known_here)
        async with throttle.counting(*limits, wrong=WrongCredentials):
            return await accounts.login(data, source)


@post(
    "/guest",
    operation_id="guest",
    summary="Come as a guest",
    description="Makes an account without phone, e-mail or password. The body may be left out.",
    response_description="Signed in as a guest.",
)
async def guest(
    request: MaybeCaller,
    accounts: NamedDependency[Accounts],
    throttle: NamedDependency[Throttle],
    data: JSONBody[GuestIn | None] = None,
) -> TokensOut:
    await throttle.count(guest_limit(source_of(request)))
    return await accounts.guest((data or GuestIn()).name, source_of(request))


@post(
    "/refresh",
    status_code=200,
    operation_id="refresh",
    summary="Refresh the tokens",
    description=(
        "Exchanges the newest refresh token for new tokens. Sent again within 10 s, because the answer was "
        "lost, it gets the same refresh token. Any older one ends the login: somebody else may have it."
    ),
    response_description="The login's next tokens.",
)
async def refresh(
    request: MaybeCaller,
    data: JSONBody[RefreshIn],
    accounts: NamedDependency[Accounts],
    throttle: NamedDependency[Throttle],
) -> TokensOut:
    await throttle.count(refresh_limit(data.refresh_token))
    async with throttle.counting(address_limit(source_of(request)), wrong=NotAuthenticated):
        return await accounts.refresh(data.refresh_token)


@post(
    "/logout",
    status_code=204,
    operation_id="logout",
    summary="Sign out",
    description="Ends this login: its access and refresh tokens are refused from now on, its sockets closed within 5 s.",
    response_description="The login has ended.",
    guards=[signed_in],
    security=BEARER,
)
async def logout(request: Caller, accounts: NamedDependency[Accounts]) -> None:
    await accounts.logout(request.user)


@get(
    "/me",
    operation_id="me",
    summary="Who am I",
    description="The account that the bearer token stands for.",
    response_description="The caller's account.",
    guards=[signed_in],
    security=BEARER,
)
async def me(request: Caller, accounts: NamedDependency[Accounts]) -> UserOut:
    return await accounts.me(request.user)


ROUTES: list[ControllerRouterHandler] = [
    Router(
        path="/auth",
        route_handlers=[register, login, guest, refresh, logout, me, *LOGIN_ROUTES],
        tags=["Accounts"],
        cache_control=CacheControlHeader(no_store=True),
    ),
    STAFF_ROUTES,
    DEVICE_ROUTES,
]
