"""A device that is fixed to one gate scans there and nowhere else."""

from dataclasses import dataclass

import httpx
import pytest
from litestar import Litestar

from backend.accounts import Kind, Principal, Role, StoreRole
from backend.errors import Forbidden
from backend.exits.schemas import ScanIn
from tests.gates import at_the_gate
from tests.world import services_of

pytestmark = pytest.mark.usefixtures("sandbox")


@dataclass(frozen=True)
class Device(Principal):
    gate_id: str | None = None


async def test_scans_for_its_own_gate_alone(app: Litestar, api: httpx.AsyncClient) -> None:
    _, issued, gate = await at_the_gate(app, api)
    works = (StoreRole(gate.store_id, Role.GATE),)
    device = Device("dev_1", "lgn_1", Kind.STAFF, "Turnstile", works, gate_id="gate-1")
    judge = services_of(app).gate
    for gate_id in ("gate-2", "gate-11", "GATE-1"):
        scan = ScanIn(**gate.beside(gate_id).body(issued["token"]))
        with pytest.raises(Forbidden):
            await judge.verify(device, scan)
        with pytest.raises(Forbidden):
            await judge.release(device, scan)
    assert (await judge.verify(device, ScanIn(**gate.body(issued["token"])))).verdict == "open"
