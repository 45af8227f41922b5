"""What a process opens, in order, and closes in the opposite order."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from backend import documents
from backend.accounts import Accounts
from backend.carts import CartLog, Carts, Rooms, run_abandonment
from backend.catalog import Catalog
from backend.checkout import Orders, Quotes
from backend.exits import ExitKeys, Exits, Gate
from backend.kit import mongo, redis
from backend.kit.clock import Clock
from backend.kit.idempotency import Idempotency
from backend.kit.outbox import Outbox
from backend.kit.secrets import Keyring
from backend.kit.tasks import Background
from backend.kit.throttle import Throttle
from backend.kit.tracing import MongoSpans
from backend.live import Bus
from backend.payments import (
    Gateway,
    Payments,
    Reconciler,
    Refunds,
    SandboxGateway,
    Settlement,
    run_expiry,
)
from backend.rewards import Rewards
from backend.settings import Settings
from backend.stores import Stores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """Everything that lives as long as the process; a handler gets each by its field's name."""

    settings: Settings
    clock: Clock
    client: mongo.Client
    redis: redis.Client
    bus: Bus
    throttle: Throttle
    outbox: Outbox
    accounts: Accounts
    stores: Stores
    catalog: Catalog
    carts: Carts
    quotes: Quotes
    orders: Orders
    payments: Payments
    refunds: Refunds
    settlement: Settlement
    reconciler: Reconciler
    idempotency: Idempotency
    exits: Exits
    gate: Gate
    rewards: Rewards


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock) -> AsyncIterator[Services]:
    """Connect, wire the slices together, and run the background loops until the block ends."""
    async with AsyncExitStack() as stack:
        client = mongo.connect(settings.mongodb_url, [MongoSpans()] if settings.qless_otlp_url else [])
        stack.push_async_callback(mongo.close, client)
        redis_client = redis.connect(settings.redis_url)
        stack.push_async_callback(redis_client.aclose)
        database = mongo.open_database(client, settings.qless_database)
        await documents.bind(database)
        bus = Bus(redis_client)
        cart_log = CartLog(database)
        rooms = Rooms(cart_log, bus, clock)
        gateways: dict[str, Gateway] = {}
        if settings.qless_sandbox_url:
            sandbox = SandboxGateway(settings)
            stack.push_async_callback(sandbox.close)
            gateways[sandbox.name] = sandbox
        services = _wire(settings, clock, client, redis_client, bus, cart_log, rooms, gateways)
        background = _start_loops(services, cart_log)
        stack.push_async_callback(background.stop)
        stack.push_async_callback(rooms.close)
        yield services


def _wire(
    settings: Settings,
    clock: Clock,
    client: mongo.Client,
    redis_client: redis.Client,
    bus: Bus,
    cart_log: CartLog,
    rooms: Rooms,
    gateways: dict[str, Gateway],
) -> Services:
    keyring = Keyring(settings.qless_secret)
    outbox = Outbox(clock)
    stores = Stores(clock)
    catalog = Catalog(redis_client, bus, clock)
    carts = Carts(settings, clock, stores, catalog, rooms, cart_log)
    quotes = Quotes(settings, clock, keyring, carts)
    orders = Orders()
    exit_keys = ExitKeys(settings, clock, keyring)
    exits = Exits(settings, clock, client, keyring, exit_keys)
    rewards = Rewards()
    payments = Payments(settings, clock, client, carts, quotes, gateways, outbox)
    refunds = Refunds(clock, client, payments, orders, exits, rewards, gateways, outbox)
    settlement = Settlement(
        clock, client, stores, carts, quotes, orders, exits, rewards, payments, refunds, gateways, outbox
    )
    return Services(
        settings=settings,
        clock=clock,
        client=client,
        redis=redis_client,
        bus=bus,
        throttle=Throttle(redis_client),
        outbox=outbox,
        accounts=Accounts(settings, clock, keyring),
        stores=stores,
        catalog=catalog,
        carts=carts,
        quotes=quotes,
        orders=orders,
        payments=payments,
        refunds=refunds,
        settlement=settlement,
        reconciler=Reconciler(clock, settlement, gateways),
        idempotency=Idempotency(clock, keyring),
        exits=exits,
        gate=Gate(clock, exit_keys),
        rewards=rewards,
    )


def _start_loops(services: Services, cart_log: CartLog) -> Background:
    background = Background()
    background.start("cart-log", cart_log.run)
    background.start("bus-sender", services.bus.run_sender)
    background.start("bus-receiver", services.bus.run_receiver)
    background.start("catalog-fencing", services.catalog.run_fencing)
    background.start("head-check", services.carts.rooms.run_head_check)
    background.start("housekeeping", services.carts.rooms.run_housekeeping)
    background.start(
        "ended-logins", lambda: services.accounts.logins.run_watch(services.carts.rooms.end_logins)
    )
    background.start("snapshots", services.carts.rooms.run_snapshots)
    background.start("idle-carts", lambda: run_abandonment(services.carts))
    for kind in services.outbox.kinds:
        background.start(f"outbox-{kind}", partial(services.outbox.run, kind))
    background.start("payment-expiry", lambda: run_expiry(services.payments))
    background.start("reconciler", services.reconciler.run)
    return background
