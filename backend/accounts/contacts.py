"""Phone numbers and e-mail addresses in the one form in which they are compared and stored."""

from typing import TypedDict

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat

from backend.errors import InvalidContact

HOME_REGION = "IN"
"""Where a number without a country code is."""


class Contacts(TypedDict, total=False):
    """Only what the person gave: E.164, and the address in lower case."""

    phone: str
    email: str


def read_contacts(phone: str | None, email: str | None) -> Contacts:
    """Bring what was given into its stored form.

    Raises:
        InvalidContact: not a number that is in use anywhere, or not an address by RFC 5321 and 6531.
    """
    contacts: Contacts = {}
    if phone is not None:
        contacts["phone"] = _e164(phone)
    if email is not None:
        contacts["email"] = _address(email)
    return contacts


def _e164(text: str) -> str:
    try:
        number = phonenumbers.parse(text, HOME_REGION)
    except NumberParseException:
        raise InvalidContact("The phone number cannot be read.") from None
    if not phonenumbers.is_valid_number(number):
        raise InvalidContact("There is no such phone number.")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise InvalidContact(str(error)) from None
