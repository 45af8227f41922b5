"""Fills an empty server with the demo store; repeated, it adds what is missing and leaves what is there."""

import csv
from contextlib import suppress
from pathlib import Path

from backend.accounts import Accounts, RegisterIn, Role, StoreRole
from backend.catalog import Catalog, Product, parse_barcode
from backend.errors import Conflict, ContactTaken, StoreNotFound
from backend.stores import Store, Stores

STORE = Store(
    store_id="store_demo_blr",
    name="Q-Less Demo Store, Bengaluru",
    merchant_id="mer_demo",
    city="Bengaluru",
    currency="INR",
    time_zone="Asia/Kolkata",
    market="IN",
)
PRODUCTS = Path(__file__).with_name("products.csv")
SHOPPER_PHONE = "+919000000001"


async def seed(stores: Stores, catalog: Catalog, accounts: Accounts, password: str) -> None:
    """Put store, products and sign-ins there; all sign-ins have the same password.

    Raises:
        WeakPassword: the password will not do.
    """
    try:
        await stores.get(STORE.store_id)
    except StoreNotFound:
        await stores.put(STORE)
    for product in read_products():
        with suppress(Conflict):
            await catalog.put(product)
    await seed_accounts(accounts, password)


async def seed_accounts(accounts: Accounts, password: str) -> None:
    """A member of staff for each role, and a shopper. Staff that are there get this password."""
    for role in Role:
        roles = [StoreRole(STORE.store_id, role)]
        await accounts.create_staff(f"{role}@demo.qless.example", password, f"Demo {role}", roles)
    with suppress(ContactTaken):
        await accounts.register(RegisterIn(password=password, name="Demo shopper", phone=SHOPPER_PHONE), None)


def read_products() -> list[Product]:
    """The products of `products.csv`; a product's id is `prd_` and the GTIN-14 key of its first barcode.

    Raises:
        InvalidBarcode, InvalidCheckDigit: a row has a wrong barcode.
    """
    with PRODUCTS.open(encoding="utf-8", newline="") as file:
        return [_product(row) for row in csv.DictReader(file)]


def _product(row: dict[str, str]) -> Product:
    barcodes = row["barcodes"].split()
    codes = tuple(parse_barcode(barcode)[0] for barcode in barcodes)
    return Product(
        product_id=f"prd_{codes[0]}",
        barcode=barcodes[0],
        codes=codes,
        name=row["name"],
        brand=row["brand"],
        category=row["category"],
        pack_size=row["pack_size"],
        price_minor=int(row["price_minor"]),
        currency=STORE.currency,
        tax_class=row["tax_class"],
        hsn=row["hsn"],
        featured=row["featured"] == "1",
    )
