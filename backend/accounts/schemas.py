"""What the `/auth` endpoints take and give."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from backend.accounts.rules import PASSWORD_MAX, PASSWORD_MIN, Kind, StoreRole
from backend.kit.schema import Input, Name, Output, Token

Phone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        description="A phone number as people write it; without a country code it is Indian.",
        examples=["+91 98765 43210"],
    ),
]
Email = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=254,
        description="An e-mail address; upper and lower case are the same.",
        examples=["asha@example.com"],
    ),
]
Password = Annotated[
    str,
    Meta(
        min_length=PASSWORD_MIN,
        max_length=PASSWORD_MAX,
        description="Any characters of any script; common ones and one's own phone or e-mail are refused.",
        examples=["blue mangoes at dawn"],
    ),
]


class RegisterIn(Input, frozen=True):
    """A new sign-in, by phone, by e-mail or by both."""

    password: Password
    name: Annotated[Name, Meta(description="How the family sees them.", examples=["Asha"])]
    phone: Phone | None = None
    email: Email | None = None

    def __post_init__(self) -> None:
        if self.phone is None and self.email is None:
            raise ValueError("Give a phone number, an e-mail address or both")


class LoginIn(Input, frozen=True):
    """A sign-in that exists: its phone or its e-mail, and its password."""

    password: Password
    phone: Phone | None = None
    email: Email | None = None

    def __post_init__(self) -> None:
        if (self.phone is None) == (self.email is None):
            raise ValueError("Give either a phone number or an e-mail address")


class GuestIn(Input, frozen=True):
    """Somebody without an account; the name is what the family sees."""

    name: Annotated[Name, Meta(description="How the family sees them.", examples=["Ravi"])] = "Guest"


class RefreshIn(Input, frozen=True):
    """The newest refresh token of a login."""

    refresh_token: Annotated[
        Token,
        Meta(
            description="As given by the last answer that held tokens.",
            examples=["lgn_06gznezxd4nwah3m8918.Ja42JWxwZOckBADSxM3kFIaOVIagb8gH"],
        ),
    ]


class PasswordIn(Input, frozen=True):
    """The password that is, and the one that shall be."""

    old: Annotated[Password, Meta(description="The caller's password until now.")]
    new: Password


class LoginOut(Output, frozen=True):
    """One device signed in."""

    login_id: Annotated[str, Meta(examples=["lgn_06gznezxd4nwah3m8918"])]
    device: Annotated[str, Meta(description="As far as it can be told.", examples=["Chrome on Android"])]
    begun_at: Annotated[datetime, Meta(examples=["2026-11-20T08:30:00Z"])]
    refreshed_at: Annotated[
        datetime | None, Meta(description="The latest refresh, if any.", examples=["2026-11-20T12:00:00Z"])
    ]
    current: Annotated[bool, Meta(description="Whether this request uses it.", examples=[True])]


class UserOut(Output, frozen=True, omit_defaults=True):
    """An account, as its owner sees it."""

    user_id: str
    kind: Kind
    name: str
    roles: Annotated[tuple[StoreRole, ...], Meta(description="What staff do, by store; empty for others.")]
    phone: Annotated[str | None, Meta(description="E.164", examples=["+919876543210"])] = None
    email: Annotated[str | None, Meta(examples=["asha@example.com"])] = None


class TokensOut(Output, frozen=True):
    """A login: show `access_token` with every request, keep `refresh_token` for when it expires."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(description="Seconds until the access token expires.", examples=[900])]
    user: UserOut
