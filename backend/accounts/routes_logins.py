"""`/auth/logins` and `/auth/password`: where somebody is signed in, and by which password."""

from typing import Annotated

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import JSONBody, PathParameter

from backend.accounts.contacts import read_contacts
from backend.accounts.guards import BEARER, Caller, MaybeCaller, signed_in
from backend.accounts.guessing import account_limits, address_limit
from backend.accounts.schemas import LoginOut, PasswordIn, TokensOut
from backend.accounts.schemas_staff import SetPasswordIn
from backend.accounts.service import Accounts
from backend.accounts.sources import source_of
from backend.errors import WrongCredentials
from backend.kit.schema import ID_PATTERN
from backend.kit.throttle import Throttle

LoginId = Annotated[
    str,
    PathParameter(max_length=64, pattern=ID_PATTERN, examples=[Example(value="lgn_06gznezxd4nwah3m8918")]),
]


@get(
    "/logins",
    operation_id="listLogins",
    summary="Where am I signed in",
    description="The caller's live logins, the newest first; at most the newest 100.",
    guards=[signed_in],
    security=BEARER,
)
async def list_logins(request: Caller, accounts: NamedDependency[Accounts]) -> list[LoginOut]:
    return await accounts.logins.of_caller(request.user)


@delete(
    "/logins",
    operation_id="endOtherLogins",
    summary="Sign out everywhere else",
    description="Ends all of the caller's logins but the one in use. Their sockets are closed within 5 s.",
    guards=[signed_in],
    security=BEARER,
)
async def end_other_logins(request: Caller, accounts: NamedDependency[Accounts]) -> None:
    await accounts.logins.end_others(request.user)


@delete(
    "/logins/{login_id:str}",
    operation_id="endLogin",
    summary="Sign out one device",
    description="Ends one of the caller's own logins; its sockets are closed within 5 s.",
    guards=[signed_in],
    security=BEARER,
)
async def end_login(login_id: LoginId, request: Caller, accounts: NamedDependency[Accounts]) -> None:
    await accounts.logins.end(request.user, login_id)


@put(
    "/password",
    status_code=204,
    operation_id="changePassword",
    summary="Change the password",
    description="Ends all of the caller's logins but the one in use.",
    response_description="Only the new password signs in from now on.",
    guards=[signed_in],
    security=BEARER,
)
async def change_password(
    data: JSONBody[PasswordIn],
    request: Caller,
    accounts: NamedDependency[Accounts],
    throttle: NamedDependency[Throttle],
) -> None:
    source = source_of(request)
    limits = account_limits("password", request.user.user_id, source)
    async with throttle.counting(address_limit(source), *limits, wrong=WrongCredentials):
        await accounts.change_password(request.user, data)


@post(
    "/password",
    status_code=200,
    operation_id="setPassword",
    summary="Set a password by a code",
    description="For staff: the code comes from their manager, is good once and for 24 hours. Ends all of their logins.",
    response_description="Signed in.",
)
async def set_password(
    data: JSONBody[SetPasswordIn],
    request: MaybeCaller,
    accounts: NamedDependency[Accounts],
    throttle: NamedDependency[Throttle],
) -> TokensOut:
    source = source_of(request)
    limits = account_limits("code", read_contacts(None, data.email)["email"], source)
    async with throttle.counting(address_limit(source), *limits, wrong=WrongCredentials):
        return await accounts.set_password(data, source)


LOGIN_ROUTES = [list_logins, end_other_logins, end_login, change_password, set_password]
