"""The live cart's shortest ways, and that it goes without them under any other server."""

import asyncio
from typing import Any, NamedTuple

import httpx
import pytest
from litestar import Litestar

from backend import documents
from backend.app import create_app
from backend.catalog import Catalog, Product
from backend.kit import mongo
from backend.live.protocol import LiveProtocol
from backend.settings import Settings
from tests.phones import phone_at
from tests.support import LIVE_PROTOCOL, PLAIN_PROTOCOL, serving
from tests.world import Person, guest, open_store, services_of, start_session, stock


class Family(NamedTuple):
    session_id: str
    host: Person
    member: Person
    products: list[Product]


@pytest.fixture
async def family(apps: list[Litestar], web: httpx.AsyncClient) -> Family:
    """Two members of one cart, and what the shop sells."""
    services = services_of(apps[0])
    store = await open_store(services)
    products = await stock(services, 1000, 2000, 4000)
    host, member = await guest(web, "Host"), await guest(web, "Member")
    session = await start_session(host, store)
    await member.post("/session/join", {"token": session["join"]["token"]})
    return Family(session["session_id"], host, member, products)


def is_ack(command_id: str | None = None) -> Any:
    return lambda frame: frame["type"] == "ack" and command_id in {None, frame["id"]}


class TestTheShortWay:
    async def test_an_ack_leaves_in_one_write_with_its_event_and_before_it(
        self, addresses: list[str], family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writes: list[bytes] = []
        write_now = LiveProtocol.write_now

        def watched(protocol: LiveProtocol, frames: bytes) -> bool:
            writes.append(frames)
            return write_now(protocol, frames)

        monkeypatch.setattr(LiveProtocol, "write_now", watched)
        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            await phone.scan(family.products[0].barcode)
        (both,) = [frames for frames in writes if b'"ack"' in frames]
        assert both.index(b'"type":"ack"') < both.index(b'"type":"event"')

    async def test_a_scan_is_carried_out_within_the_read_that_brought_it(
        self, addresses: list[str], family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queued: list[str] = []
        queue = LiveProtocol.send_receive_event_to_app

        def watched(protocol: LiveProtocol) -> None:
            queued.append(str(protocol.frames))
            queue(protocol)

        async with phone_at(addresses[0], family.session_id, family.host.token) as phone:
            await phone.scan(family.products[0].barcode)
            monkeypatch.setattr(LiveProtocol, "send_receive_event_to_app", watched)
            await phone.scan(family.products[0].barcode)
            assert queued == []
            await phone.send({"type": "ping"})
            await phone.until(lambda frame: frame["type"] == "pong")
            assert len(queued) == 1

    @pytest.mark.parametrize("ws", [LIVE_PROTOCOL, PLAIN_PROTOCOL])
    async def test_commands_keep_their_order_also_when_one_must_be_looked_up(
        self,
        settings: Settings,
        database: mongo.Database,
        addresses: list[str],
        family: Family,
        ws: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        app = create_app(settings)
        known, unknown = family.products[:2]
        find = Catalog.find

        async def find_slowly(catalog: Catalog, text: str) -> Product:
            await asyncio.sleep(0.1)
            return await find(catalog, text)

        async with serving(app, ws=ws) as address:
            await documents.bind(database)
            async with phone_at(address, family.session_id, family.host.token) as phone:
                await phone.scan(known.barcode)
                monkeypatch.setattr(Catalog, "find", find_slowly)
                for command_id, product in [("1", unknown), ("2", known), ("3", unknown), ("4", known)]:
                    await phone.send({"type": "add", "id": command_id, "barcode": product.barcode})
                    await asyncio.sleep(0.03)
                await phone.until(is_ack("4"))
                acks = [frame["id"] for frame in phone.frames if is_ack()(frame)]
                assert acks[1:] == ["1", "2", "3", "4"]


class TestUnderAnyServer:
    async def test_a_scan_is_acked_and_shown_without_the_way_past_asgi(
        self, settings: Settings, database: mongo.Database, addresses: list[str], family: Family
    ) -> None:
        async with serving(create_app(settings), ws=PLAIN_PROTOCOL) as plain:
            await documents.bind(database)
            async with (
                phone_at(plain, family.session_id, family.host.token) as mine,
                phone_at(addresses[0], family.session_id, family.member.token) as theirs,
            ):
                for product in family.products:
                    await mine.scan(product.barcode)
                await theirs.reaches(mine.seq)
                assert theirs.lines == mine.lines
