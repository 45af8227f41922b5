"""Gate devices in MongoDB."""

from datetime import datetime

from backend.accounts.documents import DeviceDocument


async def insert(device: DeviceDocument) -> None:
    await device.insert()


async def find_live(device_id: str) -> DeviceDocument | None:
    return await DeviceDocument.find_one({"_id": device_id, "revoked_at": None})


async def list_live(store_id: str) -> list[DeviceDocument]:
    """The devices of a store, by gate and name."""
    found = DeviceDocument.find({"store_id": store_id, "revoked_at": None})
    return await found.sort("gate_id", "name", "_id").to_list()


async def saw(device_id: str, now: datetime, unless_since: datetime) -> None:
    """Write that it was seen, unless that was written since: of many requests at once one writes."""
    long_ago = {"$or": [{"last_seen_at": None}, {"last_seen_at": {"$lte": unless_since}}]}
    await DeviceDocument.get_pymongo_collection().update_one(
        {"_id": device_id, **long_ago}, {"$set": {"last_seen_at": now}}
    )


async def revoke(store_id: str, device_id: str, now: datetime) -> bool:
    """Whether there was such a live device at this store; from now on there is none."""
    done = await DeviceDocument.get_pymongo_collection().update_one(
        {"_id": device_id, "store_id": store_id, "revoked_at": None}, {"$set": {"revoked_at": now}}
    )
    return done.modified_count == 1
