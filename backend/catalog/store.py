"""The products in MongoDB."""

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from pymongo import ASCENDING

from backend.catalog.documents import ProductDocument
from backend.catalog.rules import CategoryCount, Page, Product, search_terms
from backend.errors import Conflict
from backend.kit.mongo import Document, DuplicateKeyError

Filter = dict[str, Any]

ALL: Filter = {}
FEATURED: Filter = {"featured": True}
BY_NAME = [("name", ASCENDING), ("_id", ASCENDING)]


def in_category(category: str) -> Filter:
    return {"category": category}


def with_words(words: Iterable[str]) -> Filter:
    """Products in which every one of these folded words begins a word; each is a range of the index."""
    return {"$and": [{"search_terms": {"$regex": f"^{re.escape(word)}"}} for word in words]}


def collection_name() -> str:
    """Database and collection, which together name the products in all of MongoDB."""
    return ProductDocument.get_pymongo_collection().full_name


async def find_by_code(code: str) -> Product | None:
    """The product that carries a GTIN-14 key."""
    row = await ProductDocument.get_pymongo_collection().find_one({"codes": code})
    return _to_product(row) if row else None


async def find(product_id: str) -> Product | None:
    row = await ProductDocument.get_pymongo_collection().find_one({"_id": product_id})
    return _to_product(row) if row else None


async def write_if_unchanged(product: Product) -> Product:
    """Insert a product of revision 0, or change the one that still has its revision; as it is stored now.

    Raises:
        Conflict: it was changed since it was read, or another product has one of its codes.
    """
    products = ProductDocument.get_pymongo_collection()
    row = msgspec.to_builtins(product) | {"search_terms": search_terms(product)}
    key = {"_id": row.pop("product_id"), "revision": row.pop("revision")}
    try:
        if product.revision == 0:
            await products.insert_one({**row, **key, "revision": 1})
        else:
            result = await products.update_one(key, {"$set": row, "$inc": {"revision": 1}})
            if not result.matched_count:
                raise Conflict("Somebody else has just changed the product; read it again.")
    except DuplicateKeyError:
        raise Conflict("A product with this id or with one of these barcodes exists.") from None
    return msgspec.structs.replace(product, revision=product.revision + 1)


async def read_page(matching: Filter, page: int, page_size: int) -> Page:
    """One page of the matching products, by name."""
    products = ProductDocument.get_pymongo_collection()
    rows = products.find(matching).sort(BY_NAME).skip((page - 1) * page_size).limit(page_size)
    found, total = await asyncio.gather(rows.to_list(), products.count_documents(matching))
    return Page([_to_product(row) for row in found], page, page_size, total)


async def count_by_category(matching: Filter) -> list[CategoryCount]:
    """The categories of the matching products, by name."""
    cursor = await ProductDocument.get_pymongo_collection().aggregate(
        [
            {"$match": matching},
            {"$group": {"_id": "$category", "count": {"$sum": 1}}},
            {"$sort": {"_id": ASCENDING}},
        ]
    )
    return [CategoryCount(row["_id"], row["count"]) async for row in cursor]


def _to_product(row: Document) -> Product:
    return msgspec.convert({**row, "product_id": row["_id"]}, Product)
