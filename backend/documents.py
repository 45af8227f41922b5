"""Every collection of Q-Less, and the one place where indexes are made."""

from beanie import Document, init_beanie

from backend import accounts, carts, catalog, checkout, exits, payments, rewards, stores
from backend.kit.idempotency import IdempotencyDocument
from backend.kit.mongo import Database
from backend.kit.outbox import OutboxDocument

DOCUMENTS: list[type[Document]] = [
    OutboxDocument,
    IdempotencyDocument,
    *accounts.DOCUMENTS,
    *stores.DOCUMENTS,
    *catalog.DOCUMENTS,
    *carts.DOCUMENTS,
    *checkout.DOCUMENTS,
    *payments.DOCUMENTS,
    *exits.DOCUMENTS,
    *rewards.DOCUMENTS,
]


async def bind(database: Database) -> None:
    """Bind the documents to a database. Makes nothing; every process does it."""
    await init_beanie(database=database, document_models=DOCUMENTS, skip_indexes=True)


async def prepare(database: Database) -> None:
    """Make collections, validators and indexes; run once before any process serves, and harmless to repeat."""
    await carts.prepare_log(database)
    await init_beanie(database=database, document_models=DOCUMENTS)
