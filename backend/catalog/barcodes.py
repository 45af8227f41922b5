"""Retail barcodes as GTIN-14 keys (GS1 General Specifications; the check digit is section 7.9).

Every code of the family is one number with leading zeros left out, so it is looked up zero-padded to 14
digits: a UPC-A and the EAN-13 with a zero in front are one key, and the check digit, weighted from the right,
stays right. UPC-E is the exception: it is a UPC-A with zeros squeezed out of its middle.
"""

from functools import lru_cache

from backend.errors import InvalidBarcode, InvalidCheckDigit

LENGTHS = (8, 12, 13, 14)


def check_digit(payload: str) -> int:
    """The digit that follows these digits: weights 3, 1, 3, ... from the right, up to the next ten."""
    weighted = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(payload)))
    return -weighted % 10


@lru_cache(maxsize=65_536)
def parse(text: str) -> tuple[str, ...]:
    """The GTIN-14 keys that a scanned text may stand for, the likeliest first.

    Eight digits may be an EAN-8 or a UPC-E. More than half of all UPC-E codes pass as both, and then both are
    given, EAN-8 first; every other text has one key.

    Raises:
        InvalidBarcode: not 8, 12, 13 or 14 ASCII digits, with or without white space around them.
        InvalidCheckDigit: the last digit is not the one the others ask for; says which was expected.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) in LENGTHS):
        raise InvalidBarcode
    readings = [digits]
    if len(digits) == 8 and digits[0] in "01":
        readings.append(expand_upc_e(digits))
    expected = [check_digit(reading[:-1]) for reading in readings]
    if int(digits[-1]) not in expected:
        named = " or ".join(str(digit) for digit in dict.fromkeys(expected))
        raise InvalidCheckDigit(f"The last digit is {digits[-1]}, {named} was expected; scan it again.")
    pairs = zip(readings, expected, strict=True)
    return tuple(reading.zfill(14) for reading, digit in pairs if int(digits[-1]) == digit)


def expand_upc_e(code: str) -> str:
    """The UPC-A of an 8-digit UPC-E: number system 0 or 1, six digits, and the check digit both share.

    The last of the six says how many zeros were squeezed out, and where (GS1's zero suppression).
    """
    system, body, check = code[0], code[1:7], code[7]
    last = body[5]
    if last in "012":
        middle = body[:2] + last + "0000" + body[2:5]
    elif last == "3":
        middle = body[:3] + "00000" + body[3:5]
    elif last == "4":
        middle = body[:4] + "00000" + body[4]
    else:
        middle = body[:5] + "0000" + last
    return system + middle + check
