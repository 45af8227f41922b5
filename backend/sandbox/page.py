"""The pages: one order as a shopper's phone shows it, and the console."""

import re
from html import escape
from pathlib import Path
from string import Template

from .orders import Order

_HERE = Path(__file__).parent
_PAGE = Template((_HERE / "page.html").read_text(encoding="utf-8"))

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

ASSETS = {path.name: (path.read_bytes(), _MEDIA_TYPES[path.suffix]) for path in (_HERE / "assets").iterdir()}
"""What the pages load, by file name: the bytes and their media type."""

CONSOLE = (_HERE / "console.html").read_text(encoding="utf-8")
"""The page to drive the simulator by; it holds no data."""

_STATES: dict[str, tuple[str, str]] = {
    "created": ("Payment request", "Check the name and the amount, then approve or decline."),
    "attempted": ("Payment declined", "No money was taken. You can still approve it, or leave this page."),
    "authorized": ("Payment under way", "Your bank agreed. The shop is told as soon as the money is taken."),
    "paid": ("Payment successful", "You can go back to the shop now."),
    "closed": ("Request closed", "The shop takes no payment for this bill any more. No money was taken."),
    "expired": (
        "Request expired",
        "The time to pay is over. No money was taken. Ask the shop for a new bill.",
    ),
}


def rupees(amount_minor: int) -> str:
    """Paise as rupees in Indian grouping: three digits, then pairs.

    >>> rupees(12345678950)
    '₹12,34,56,789.50'
    """
    whole, paise = divmod(amount_minor, 100)
    grouped = re.sub(r"(?<=\d)(?=(\d\d)+\d$)", ",", str(whole))
    return f"₹{grouped}.{paise:02}"


def render(order: Order, is_payable: bool) -> str:
    """The page in the order's present state: the buttons show while it is payable, a result takes the focus."""
    status = "authorized" if order.is_authorized else order.status
    title, hint = _STATES[status]
    rows = {"Bill": order.reference, "For": order.note}
    if order.payments:
        payment = order.payments[-1]
        rows |= {"From": payment.vpa, "UPI transaction": payment.payment_id}
    if order.refunded_minor:
        rows["Refunded"] = rupees(order.refunded_minor)
    texts = {
        "status": status,
        "title": title,
        "hint": hint,
        "amount": rupees(order.amount_minor),
        "payee": order.payee_name,
        "vpa": order.payee_vpa,
    }
    return _PAGE.substitute(
        {name: escape(text) for name, text in texts.items()},
        rows="".join(_row(label, text) for label, text in rows.items() if text),
        autofocus="" if order.status == "created" else "autofocus",
        hide_buttons="" if is_payable else "hidden",
    )


def _row(label: str, text: str) -> str:
    return f"<div><dt>{label}</dt><dd>{escape(text)}</dd></div>"
