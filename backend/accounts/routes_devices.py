"""`/stores/{store_id}/devices`: a store's gate devices, for its managers."""

from typing import Annotated

from litestar import Router, delete, get, post
from litestar.datastructures import CacheControlHeader
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import JSONBody, PathParameter

from backend.accounts.guards import BEARER, Caller, staff
from backend.accounts.schemas_devices import DeviceIn, DeviceOut, NewDeviceOut
from backend.accounts.service import Accounts
from backend.kit.schema import ID_PATTERN

StoreId = Annotated[
    str, PathParameter(max_length=64, pattern=ID_PATTERN, examples=[Example(value="store_demo_blr")])
]
DeviceId = Annotated[
    str,
    PathParameter(max_length=64, pattern=ID_PATTERN, examples=[Example(value="dev_06gznexa9b3c5t7k2m1q")]),
]


@post(
    "/",
    operation_id="addDevice",
    summary="Add a gate device",
    description="Answers with the device's credential, which is not shown again. With it the device does the "
    "gate's work, at its own gate, and nothing else. A device that lost it is revoked and added anew.",
    guards=[staff],
    security=BEARER,
)
async def add_device(
    store_id: StoreId, data: JSONBody[DeviceIn], request: Caller, accounts: NamedDependency[Accounts]
) -> NewDeviceOut:
    return await accounts.devices.add(request.user, store_id, data)


@get(
    "/",
    operation_id="listDevices",
    summary="The store's gate devices",
    description="Those that are not revoked, by gate and name.",
    guards=[staff],
    security=BEARER,
)
async def list_devices(
    store_id: StoreId, request: Caller, accounts: NamedDependency[Accounts]
) -> list[DeviceOut]:
    return await accounts.devices.of_store(request.user, store_id)


@delete(
    "/{device_id:str}",
    operation_id="revokeDevice",
    summary="Revoke a gate device",
    description="Its credential is refused from now on.",
    guards=[staff],
    security=BEARER,
)
async def revoke_device(
    store_id: StoreId, device_id: DeviceId, request: Caller, accounts: NamedDependency[Accounts]
) -> None:
    await accounts.devices.revoke(request.user, store_id, device_id)


DEVICE_ROUTES = Router(
    path="/stores/{store_id:str}/devices",
    route_handlers=[add_device, list_devices, revoke_device],
    tags=["Staff"],
    cache_control=CacheControlHeader(no_store=True),
)
