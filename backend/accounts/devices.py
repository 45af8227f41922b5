"""Devices at gates: added and revoked by a manager of the store, recognised by a credential of their own."""

from datetime import timedelta

from backend.accounts import store_devices
from backend.accounts.documents import DeviceDocument
from backend.accounts.rules import Kind, Principal, Role, StoreRole
from backend.accounts.schemas_devices import DeviceIn, DeviceOut, NewDeviceOut
from backend.errors import Forbidden, NotAuthenticated, NotFound
from backend.kit.clock import Clock
from backend.kit.ids import new_id
from backend.kit.secrets import digest, random_key, same

PREFIX = "dev"
SEEN_EVERY = timedelta(minutes=1)
"""`last_seen_at` may be so much too old; a scan should not cost a write to say that a gate is alive."""


def is_credential(bearer: str) -> bool:
    """Whether it has the form of a device's credential; no access token begins like one."""
    return bearer.startswith(f"{PREFIX}_")


class Devices:
    """The devices of all stores."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def add(self, manager: Principal, store_id: str, data: DeviceIn) -> NewDeviceOut:
        """Add a device; its credential is told here and never again.

        Raises:
            Forbidden: the caller is no manager of the store.
        """
        _require_manager(manager, store_id)
        device_id = new_id(PREFIX)
        credential = f"{device_id}.{random_key()}"
        device = DeviceDocument(
            id=device_id,
            store_id=store_id,
            gate_id=data.gate_id,
            name=data.name,
            credential_digest=digest(credential),
            added_at=self._clock.now(),
        )
        await store_devices.insert(device)
        return NewDeviceOut(
            device_id=device.id,
            gate_id=device.gate_id,
            name=device.name,
            added_at=device.added_at,
            last_seen_at=None,
            credential=credential,
        )

    async def of_store(self, manager: Principal, store_id: str) -> list[DeviceOut]:
        """The store's devices that are not revoked.

        Raises:
            Forbidden: the caller is no manager of the store.
        """
        _require_manager(manager, store_id)
        return [_out(device) for device in await store_devices.list_live(store_id)]

    async def revoke(self, manager: Principal, store_id: str, device_id: str) -> None:
        """Let the device in no more: what it asks after this is refused.

        Raises:
            Forbidden: the caller is no manager of the store.
            NotFound: the store has no such device, or no longer.
        """
        _require_manager(manager, store_id)
        if not await store_devices.revoke(store_id, device_id, self._clock.now()):
            raise NotFound("The store has no such device.")

    async def authenticate(self, credential: str) -> Principal:
        """The device that holds this credential.

        Raises:
            NotAuthenticated: nobody's, or the device was revoked.
        """
        device = await store_devices.find_live(credential.partition(".")[0])
        if device is None or not same(device.credential_digest, digest(credential)):
            raise NotAuthenticated("The device's credential is wrong or was revoked.")
        now = self._clock.now()
        if device.last_seen_at is None or now - device.last_seen_at >= SEEN_EVERY:
            await store_devices.saw(device.id, now, now - SEEN_EVERY)
        roles = (StoreRole(device.store_id, Role.GATE),)
        return Principal(device.id, device.id, Kind.DEVICE, device.name, roles, device.gate_id)


def _require_manager(caller: Principal, store_id: str) -> None:
    if not caller.works_at(store_id, Role.MANAGER):
        raise Forbidden


def _out(device: DeviceDocument) -> DeviceOut:
    return DeviceOut(
        device_id=device.id,
        gate_id=device.gate_id,
        name=device.name,
        added_at=device.added_at,
        last_seen_at=device.last_seen_at,
    )
