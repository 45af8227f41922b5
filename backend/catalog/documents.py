"""What is stored of products."""

from typing import ClassVar

from beanie import Document
from pymongo import ASCENDING, IndexModel


def _index(name: str, *fields: str, unique: bool = False) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields], name=name, unique=unique)


class ProductDocument(Document):
    """A product; `_id` is its `product_id`. The unique `codes` make a barcode name one product at most."""

    id: str  # type: ignore[assignment]
    barcode: str
    codes: list[str]
    name: str
    brand: str
    category: str
    pack_size: str
    price_minor: int
    currency: str
    tax_class: str
    hsn: str
    images: list[str]
    featured: bool
    revision: int
    search_terms: list[str]

    class Settings:
        name = "products"
        indexes: ClassVar = [
            _index("one_product_a_code", "codes", unique=True),
            _index("by_word", "search_terms"),
            _index("by_name", "name", "_id"),
            _index("by_category", "category", "name", "_id"),
            _index("by_featured", "featured", "name", "_id"),
        ]


DOCUMENTS: list[type[Document]] = [ProductDocument]
