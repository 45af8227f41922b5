"""Everything that can be configured, from the environment; the README's table is made of this file."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from backend.kit import mongo, redis


class SettingsError(Exception):
    """A setting is missing, weak or malformed. One sentence that names it and says what to do."""


Seconds = Annotated[int, Meta(ge=1, le=30 * 24 * 3600)]

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
_SECRET = re.compile("secret|key")
_CREDENTIALS = re.compile("//.*@")
_DATABASE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def as_origin(address: str) -> str | None:
    """The address as a browser names it in `Origin` (RFC 6454, section 6.2): lower case, no default port, no slash.

    None when it is anything but scheme, host and perhaps port.
    """
    match = _ADDRESS.fullmatch(address.strip().lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    if port is None or int(port) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"


def _shown(name: str, value: object) -> str:
    if value and _SECRET.search(name):
        return "***"
    return _CREDENTIALS.sub("//***@", repr(value))


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
    qless_session_idle_s: Seconds = 4 * 3600
    qless_quote_ttl_s: Seconds = 600
    qless_payment_ttl_s: Seconds = 300
    qless_pass_ttl_s: Seconds = 1800
    qless_exit_key_days: Annotated[int, Meta(ge=2, le=3650)] = 90
    qless_drain_s: Annotated[int, Meta(ge=0, le=300)] = 0
    qless_metrics_host: str = "127.0.0.1"
    qless_metrics_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    qless_otlp_url: str = ""
    qless_log_level: str = "INFO"

    def __repr__(self) -> str:
        """For logs and traces: what is named like a secret is `***`, addresses come without their credentials."""
        return f"Settings({', '.join(f'{name}={_shown(name, getattr(self, name))}' for name in self.__struct_fields__)})"

    @property
    def is_demo(self) -> bool:
        return self.qless_mode == "demo"

    @property
    def origins(self) -> frozenset[str]:
        """Browser origins whose sockets are accepted: the public address and those configured."""
        named = (as_origin(part) for part in (self.qless_public_url, *self.qless_origins.split(",")))
        return frozenset(filter(None, named))

    @property
    def sandbox_webhook_secrets(self) -> tuple[str, ...]:
        """Newest first; two are valid while one is rotated."""
        named = (part.strip() for part in self.qless_sandbox_webhook_secrets.split(","))
        return tuple(filter(None, named))


SETTINGS_DOC: dict[str, str] = {
    "MONGODB_URL": "MongoDB replica set, or the routers of a sharded cluster, with credentials if it has any",
    "REDIS_URL": "Redis; nothing of record is kept there; `redis+cluster://` or `rediss+cluster://` names any node of a cluster",
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
    "QLESS_SESSION_IDLE_S": "a cart in which nothing happens for so long is abandoned; its members can restore it",
    "QLESS_QUOTE_TTL_S": "life of a quote",
    "QLESS_PAYMENT_TTL_S": "time to approve a payment; afterwards the cart is unlocked",
    "QLESS_PASS_TTL_S": "life of an exit pass",
    "QLESS_EXIT_KEY_DAYS": "how long a store signs passes with one key; the next is published a day before",
    "QLESS_DRAIN_S": "how long a process that is told to end answers 503 at `/health/ready` before it does; longer than a balancer takes to notice",
    "QLESS_METRICS_HOST": "address at which `/metrics` is served; never one that strangers reach",
    "QLESS_METRICS_PORT": "its port: each process takes the first free one from here on; 0 serves no metrics",
    "QLESS_OTLP_URL": "OpenTelemetry collector that takes traces by OTLP over HTTP, such as http://collector:4318; empty sends none",
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
        message, _, name = str(error).partition(" - at `$.")
        raise SettingsError(f"{name.rstrip('`').upper()} is malformed: {message.lower()}.") from None
    _judge(settings)
    return msgspec.structs.replace(settings, qless_public_url=as_origin(settings.qless_public_url))


def _judge(settings: Settings) -> None:
    """One sentence for the first fault; a value is never repeated, as it may hold a password."""
    _judge_databases(settings)
    if settings.qless_mode not in {"production", "demo"}:
        raise SettingsError("QLESS_MODE is neither `production` nor `demo`.")
    if len(settings.qless_secret) < 32 or len(set(settings.qless_secret)) < 10:
        raise SettingsError("QLESS_SECRET is weak: give 32 random characters or more.")
    address = as_origin(settings.qless_public_url) or ""
    if not address.startswith(("http://", "https://")):
        raise SettingsError("QLESS_PUBLIC_URL is not of the form https://host[:port].")
    if address.startswith("http://") and not settings.is_demo:
        raise SettingsError("QLESS_PUBLIC_URL must be https outside the demo.")
    for origin in filter(None, settings.qless_origins.split(",")):
        if as_origin(origin) is None:
            raise SettingsError("QLESS_ORIGINS holds something that is not of the form https://host[:port].")
    if settings.qless_log_level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise SettingsError("QLESS_LOG_LEVEL is not DEBUG, INFO, WARNING or ERROR.")
    if settings.qless_otlp_url and as_origin(settings.qless_otlp_url) is None:
        raise SettingsError("QLESS_OTLP_URL is not of the form http://host[:port].")
    if settings.qless_sandbox_url:
        if as_origin(settings.qless_sandbox_url) is None:
            raise SettingsError("QLESS_SANDBOX_URL is not of the form http://host[:port].")
        secrets = settings.sandbox_webhook_secrets
        if not settings.qless_sandbox_api_key or not secrets or min(map(len, secrets)) < 16:
            raise SettingsError(
                "The sandbox gateway needs QLESS_SANDBOX_API_KEY and QLESS_SANDBOX_WEBHOOK_SECRETS (16 or more)."
            )


def _judge_databases(settings: Settings) -> None:
    if not mongo.is_url(settings.mongodb_url):
        raise SettingsError("MONGODB_URL is not of the form mongodb://host[:port][,…]/?options.")
    if not redis.is_url(settings.redis_url):
        raise SettingsError(
            "REDIS_URL is not of the form redis://host[:port]/number or redis+cluster://host[:port]."
        )
    if _DATABASE.fullmatch(settings.qless_database) is None:
        raise SettingsError("QLESS_DATABASE is not 1 to 63 letters, digits, `_` and `-`.")
