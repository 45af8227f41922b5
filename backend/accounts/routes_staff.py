"""`/stores/{store_id}/staff`: who works at a store, for its managers."""

from typing import Annotated

from litestar import Router, delete, get, post, put
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import JSONBody, PathParameter

from backend.accounts.guards import BEARER, Caller, staff
from backend.accounts.routes_devices import StoreId
from backend.accounts.schemas_staff import CodeOut, NewStaffOut, RoleIn, StaffIn, StaffOut
from backend.accounts.service import Accounts
from backend.kit.schema import ID_PATTERN

UserId = Annotated[
    str,
    PathParameter(max_length=64, pattern=ID_PATTERN, examples=[Example(value="usr_06gznexa9b3c5t7k2m1q")]),
]


@get(
    "/",
    operation_id="listStaff",
    summary="Who works at the store",
    description="By name.",
    guards=[staff],
    security=BEARER,
)
async def list_staff(
    store_id: StoreId, request: Caller, accounts: NamedDependency[Accounts]
) -> list[StaffOut]:
    return await accounts.staff.of_store(request.user, store_id)


@post(
    "/",
    operation_id="addStaff",
    summary="Add somebody",
    description="Makes an account and answers with a code that the manager reads to them; with it they set their "
    "password by `POST /auth/password`. Who works at another store keeps account and password and gets a role.",
    guards=[staff],
    security=BEARER,
)
async def add_staff(
    store_id: StoreId, data: JSONBody[StaffIn], request: Caller, accounts: NamedDependency[Accounts]
) -> NewStaffOut:
    return await accounts.staff.add(request.user, store_id, data)


@put(
    "/{user_id:str}",
    operation_id="setStaffRole",
    summary="Change somebody's role",
    description="At this store; it counts with their next request. The last manager stays one.",
    guards=[staff],
    security=BEARER,
)
async def set_role(
    store_id: StoreId,
    user_id: UserId,
    data: JSONBody[RoleIn],
    request: Caller,
    accounts: NamedDependency[Accounts],
) -> StaffOut:
    return await accounts.staff.set_role(request.user, store_id, user_id, data.role)


@delete(
    "/{user_id:str}",
    operation_id="removeStaff",
    summary="Take somebody's role away",
    description="At this store; it counts with their next request. Their account stays, and their roles elsewhere.",
    guards=[staff],
    security=BEARER,
)
async def remove_staff(
    store_id: StoreId, user_id: UserId, request: Caller, accounts: NamedDependency[Accounts]
) -> None:
    await accounts.staff.remove(request.user, store_id, user_id)


@post(
    "/{user_id:str}/code",
    operation_id="giveCode",
    summary="A code for a new password",
    description="For somebody who forgot theirs, from a manager of every store where they work. It is good once and "
    "for 24 hours; the old password goes on until it is used.",
    guards=[staff],
    security=BEARER,
)
async def give_code(
    store_id: StoreId, user_id: UserId, request: Caller, accounts: NamedDependency[Accounts]
) -> CodeOut:
    return await accounts.staff.give_code(request.user, store_id, user_id)


STAFF_ROUTES = Router(
    path="/stores/{store_id:str}/staff",
    route_handlers=[list_staff, add_staff, set_role, remove_staff, give_code],
    tags=["Staff"],
    cache_control=CacheControlHeader(no_store=True),
)
