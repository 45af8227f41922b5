"""What the shop has."""

from backend.errors.base import InvalidInput, NotFound


class InvalidBarcode(InvalidInput):
    code = "invalid_barcode"
    title = "This is not an EAN-8, EAN-13, UPC-A, UPC-E or GTIN-14"


class InvalidCheckDigit(InvalidInput):
    code = "invalid_check_digit"
    title = "The barcode's check digit is wrong; scan it again"


class ProductNotFound(NotFound):
    code = "product_not_found"
    title = "No product carries this barcode"


class StoreNotFound(NotFound):
    code = "store_not_found"
    title = "There is no such store"
