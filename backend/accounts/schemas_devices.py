"""Gate devices on the wire."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from backend.kit.schema import Id, Input, Name, Output

GateId = Annotated[Id, Meta(description="The one gate that it works at.", examples=["gate-1"])]
DeviceName = Annotated[
    Name, Meta(description="How the shop calls it.", examples=["Scanner by the left door"])
]
DeviceId = Annotated[str, Meta(examples=["dev_06gznexa9b3c5t7k2m1q"])]
AddedAt = Annotated[datetime, Meta(examples=["2026-11-20T08:30:00Z"])]


class DeviceIn(Input, frozen=True):
    """A device to be put up at a gate."""

    name: DeviceName
    gate_id: GateId


class DeviceOut(Output, frozen=True):
    """A device at a gate."""

    device_id: DeviceId
    gate_id: GateId
    name: DeviceName
    added_at: AddedAt
    last_seen_at: Annotated[
        datetime | None,
        Meta(
            description="At most a minute too old; null before its first request.",
            examples=["2026-11-20T12:00:00Z"],
        ),
    ]


class NewDeviceOut(DeviceOut, frozen=True):
    """A device that was just added. Its credential is never shown again."""

    credential: Annotated[
        str,
        Meta(
            description="256 random bits that do not expire; sent as `Authorization: Bearer`.",
            examples=["dev_06gznexa9b3c5t7k2m1q.sCqGdKQ0mE4u8vT2pJw6YhZb1nXr9LfA3oVi7eUkRgM"],
        ),
    ]
