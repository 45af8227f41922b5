"""UPI deep links (NPCI linking specification 1.6): what a UPI app opens or scans."""

from urllib.parse import quote

import msgspec

from backend.kit.money import to_major

MODE_INTENT = "04"
MODE_DYNAMIC_QR = "22"
"""Online dynamic QR (NPCI mode codes)."""


class Payee(msgspec.Struct, frozen=True):
    """Who is paid: virtual payment address, name, merchant category code."""

    vpa: str
    name: str
    merchant_code: str


def upi_uri(payee: Payee, reference: str, amount_minor: int, note: str, mode: str) -> str:
    """The link of one payment over a fixed amount in rupees.

    `tr` is the merchant's reference, by which the payment is found again; `tid` belongs to the payer's app and is
    left out. Spaces are written `%20`, never `+`.
    """
    fields = {
        "ver": "01",
        "mode": mode,
        "pa": payee.vpa,
        "pn": payee.name,
        "mc": payee.merchant_code,
        "tr": reference,
        "tn": note,
        "am": to_major(amount_minor, "INR"),
        "cu": "INR",
    }
    return "upi://pay?" + "&".join(f"{name}={quote(value, safe='@.-_')}" for name, value in fields.items())
