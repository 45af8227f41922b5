"""Everything that can be configured, from the environment; the README's table is made of this file."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta


class SettingsError(Exception):
    """A setting is missing, weak or malformed. One sentence that names it and says what to do."""


Seconds = Annotated[int, Meta(ge=1, le=30 * 24 * 3600)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of one server process; the field's upper-case name is the environment's.

    A demo is the same server with the demo store in it: nothing is weaker, but plain http is allowed.
    """

    mongodb_url: str
    redis_url: str
    qless_secret: str
    qless_public_url: str
    qless_mode: str = "production"
    qless_database: str = "qless"
    qless_origins: str = ""
    qless_sandbox_url: str = ""
    qless_sandbox_api_key: str = ""
    qless_sandbox_webhook_secrets: str = ""
    qless_access_ttl_s: Seconds = 900
    qless_refresh_ttl_s: Seconds = 30 * 24 * 3600
    qless_join_ttl_s: Seconds = 4 * 3600
    qless_quote_ttl_s: Seconds = 600
    qless_payment_ttl_s: Seconds = 300
    qless_pass_ttl_s: Seconds = 1800
    qless_log_level: str = "INFO"

    @property
    def is_demo(self) -> bool:
        return self.qless_mode == "demo"

    @property
    def origins(self) -> frozenset[str]:
        """Browser origins whose sockets are accepted: the public address and those configured."""
        named = (part.strip() for part in self.qless_origins.split(","))
        return frozenset({self.qless_public_url, *filter(None, named)})

    @property
    def sandbox_webhook_secrets(self) -> tuple[str, ...]:
        """Newest first; two are valid while one is rotated."""
        return tuple(filter(None, self.qless_sandbox_webhook_secrets.split(",")))


SETTINGS_DOC: dict[str, str] = {
    "MONGODB_URL": "MongoDB replica set, with credentials if it has any",
    "REDIS_URL": "Redis; nothing of record is kept there",
    "QLESS_SECRET": "root secret, 32 characters or more; access tokens, quotes and sealed keys derive from it",
    "QLESS_PUBLIC_URL": "address that phones use; `https` unless in the demo",
    "QLESS_MODE": "`production` or `demo`",
    "QLESS_DATABASE": "name of the database",
    "QLESS_ORIGINS": "further browser origins whose sockets are accepted, by comma",
    "QLESS_SANDBOX_URL": "address of the sandbox payment gateway; empty switches it off",
    "QLESS_SANDBOX_API_KEY": "key for the sandbox gateway's API",
    "QLESS_SANDBOX_WEBHOOK_SECRETS": "secrets of the sandbox's webhooks by comma, newest first",
    "QLESS_ACCESS_TTL_S": "life of an access token",
    "QLESS_REFRESH_TTL_S": "life of a login that is not used",
    "QLESS_JOIN_TTL_S": "life of a join link",
    "QLESS_QUOTE_TTL_S": "life of a quote",
    "QLESS_PAYMENT_TTL_S": "time to approve a payment; afterwards the cart is unlocked",
    "QLESS_PASS_TTL_S": "life of an exit pass",
    "QLESS_LOG_LEVEL": "`DEBUG`, `INFO`, `WARNING` or `ERROR`",
}


def load(environ: Mapping[str, str]) -> Settings:
    """Read and judge the settings.

    Raises:
        SettingsError: a required setting is missing, or one is weak or malformed.
    """
    fields = msgspec.structs.fields(Settings)
    given = {f.name: environ[f.name.upper()] for f in fields if environ.get(f.name.upper(), "") != ""}
    for field in fields:
        if field.required and field.name not in given:
            what = SETTINGS_DOC[field.name.upper()]
            raise SettingsError(f"{field.name.upper()} is not set ({what}).")
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"A setting is malformed: {str(error).upper()}.") from None
    _judge(settings)
    return settings


def _judge(settings: Settings) -> None:
    if settings.qless_mode not in {"production", "demo"}:
        raise SettingsError("QLESS_MODE is neither `production` nor `demo`.")
    if len(settings.qless_secret) < 32 or len(set(settings.qless_secret)) < 10:
        raise SettingsError("QLESS_SECRET is weak: give 32 random characters or more.")
    address = urlsplit(settings.qless_public_url)
    if address.scheme not in {"http", "https"} or not address.netloc or address.path not in {"", "/"}:
        raise SettingsError("QLESS_PUBLIC_URL is not of the form https://host[:port].")
    if address.scheme == "http" and not settings.is_demo:
        raise SettingsError("QLESS_PUBLIC_URL must be https outside the demo.")
    if settings.qless_log_level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise SettingsError("QLESS_LOG_LEVEL is not DEBUG, INFO, WARNING or ERROR.")
    if settings.qless_sandbox_url:
        secrets = settings.sandbox_webhook_secrets
        if not settings.qless_sandbox_api_key or not secrets or min(map(len, secrets)) < 16:
            raise SettingsError(
                "The sandbox gateway needs QLESS_SANDBOX_API_KEY and QLESS_SANDBOX_WEBHOOK_SECRETS (16 or more)."
            )
