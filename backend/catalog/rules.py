"""What a product is, and how texts are made comparable for searching."""

import unicodedata

import msgspec


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """Something the shop sells.

    Attributes:
        barcode: the primary code, as printed on the pack.
        codes: GTIN-14 keys of all codes on its packs, the primary one's first; no other product has them.
        tax_class: one of the market's tax classes.
        hsn: heading of the Harmonised System of Nomenclature, for the invoice.
        revision: 0 for one not stored yet; grows by one with each change.

    A field that is added needs a default: other releases of the server read the same cache.
    """

    product_id: str
    barcode: str
    codes: tuple[str, ...]
    name: str
    brand: str
    category: str
    pack_size: str
    price_minor: int
    currency: str
    tax_class: str
    hsn: str
    images: tuple[str, ...] = ()
    featured: bool = False
    revision: int = 0


def words(text: str) -> tuple[str, ...]:
    """The distinct words of a text, without case, accents and apostrophes: of `Lay's Crème` lays, creme.

    Case is folded and the text decomposed (Unicode NFKD), so that what looks alike is alike. Marks that are
    no accents, such as the vowel signs of Devanagari, stay in their words.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return tuple(dict.fromkeys("".join(map(_fold, decomposed)).split()))


def _fold(character: str) -> str:
    if unicodedata.combining(character) or character in "'\u2019":
        return ""
    return character if unicodedata.category(character)[0] in "LMN" else " "


def search_terms(product: Product) -> list[str]:
    """The words under which a product is found."""
    return list(words(f"{product.name} {product.brand} {product.category}"))


class Page(msgspec.Struct, frozen=True):
    """Part of an ordered list: `items` of its page number `page`, counted from 1, out of `total` in all."""

    items: list[Product]
    page: int
    page_size: int
    total: int


class CategoryCount(msgspec.Struct, frozen=True):
    """A category and how many products it has."""

    name: str
    count: int
