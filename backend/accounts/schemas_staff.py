"""Staff on the wire."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from backend.accounts.rules import Role
from backend.accounts.schemas import Email, Password
from backend.kit.schema import Input, Name, Output

StaffName = Annotated[Name, Meta(description="How the shop calls them.", examples=["Meera"])]


GivenRole = Annotated[Role, Meta(description="What they do at this store.", examples=["cashier"])]


class StaffIn(Input, frozen=True):
    """Somebody who shall work at the store."""

    email: Email
    name: StaffName
    role: GivenRole


class RoleIn(Input, frozen=True):
    """What they do at the store from now on."""

    role: GivenRole


class CodeOut(Output, frozen=True):
    """By this code they set their password, once. It is never shown again."""

    code: Annotated[
        str,
        Meta(
            description="To be read aloud; upper case and hyphens do not matter.", examples=["k7mq-3xwd-9abc"]
        ),
    ]
    expires_at: Annotated[datetime, Meta(examples=["2026-11-21T12:00:00Z"])]


class StaffOut(Output, frozen=True):
    """Somebody who works at the store."""

    user_id: Annotated[str, Meta(examples=["usr_06gznexa9b3c5t7k2m1q"])]
    name: StaffName
    email: Annotated[str | None, Meta(examples=["meera@example.com"])]
    role: GivenRole
    has_password: Annotated[bool, Meta(description="False until their code is used.", examples=[True])]


class NewStaffOut(StaffOut, frozen=True):
    """Somebody who was just added."""

    code: Annotated[
        CodeOut | None, Meta(description="Null for who works at another store and has an account already.")
    ]


class SetPasswordIn(Input, frozen=True):
    """A new password by a code from a manager."""

    email: Email
    code: Annotated[str, Meta(min_length=1, max_length=40, examples=["k7mq-3xwd-9abc"])]
    new: Password
