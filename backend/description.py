"""The API's description: OpenAPI at `/schema`, its page served without any outside host.

Litestar makes it of the routes. Where that tells something else than the server does, it is put right here: what a
body may hold, whether it may be left out, how errors look.
"""

from collections.abc import Iterator, Set
from dataclasses import fields
from inspect import cleandoc
from typing import Any

import msgspec
from litestar.config.app import AppConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Reference,
    SecurityScheme,
    Tag,
)
from litestar.plugins import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.typing import FieldDefinition

from backend.problems import MEDIA_TYPE, Problem

ABOUT = (
    "Scan and go: a family's phones scan into one live cart, see the bill against their budget, pay by UPI and "
    "leave through a gate that checks a signed pass.\n\n"
    "Money is an integer in minor units (`_minor`), times are RFC 3339 UTC, ids are opaque. Every error is "
    "`application/problem+json` with a stable `code`. Unknown fields are refused and nothing is coerced. "
    "Send `Authorization: Bearer <access_token>`; `POST /auth/guest` gives one at once. The live cart is a "
    "WebSocket at `/ws/cart/{session_id}`, described as AsyncAPI at [`/schema/events`](/schema/events)."
)

TAGS = [
    Tag("Accounts", "Who somebody is: guests, customers, staff."),
    Tag("Staff", "Who and what works at a store: people with roles, devices at gates."),
    Tag("Stores", "Shops and the markets they sell in."),
    Tag("Catalogue", "Products by barcode, word and category."),
    Tag("Session", "A family's shopping session and the way into it."),
    Tag("Cart", "Commands on the cart; the socket takes the same."),
    Tag("Checkout", "The signed quote."),
    Tag("Payment", "UPI payments and gateways' webhooks."),
    Tag("Exit", "The pass and the gate."),
    Tag("Orders", "What was bought."),
    Tag("Rewards", "Points."),
    Tag("Operating", "Health."),
]

_MODULE = "/vendor/swagger-ui-dist"
PAGE = SwaggerRenderPlugin(
    path="/",
    js_url=f"{_MODULE}/swagger-ui-bundle.js",
    css_url=f"{_MODULE}/swagger-ui.css",
    standalone_preset_js_url=f"{_MODULE}/swagger-ui-bundle.js",
    favicon='<link rel="icon" href="data:,">',
)

_SCHEMA = "#/components/schemas/{name}"
_RESPONSE = "#/components/responses/{name}"


def _problem(description: str) -> OpenAPIResponse:
    schema = Reference(ref=_SCHEMA.format(name=Problem.__name__))
    return OpenAPIResponse(description=description, content={MEDIA_TYPE: OpenAPIMediaType(schema=schema)})


COMPONENTS = Components(
    security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")},
    responses={
        "Invalid": _problem("The request is not valid: `code` says how, `errors` names the fields."),
        "NotAuthenticated": _problem("No valid access token was sent: sign in or refresh."),
        "Error": _problem(
            "Any other error: `code` says which, `retryable` whether to send the request again."
        ),
    },
)


class Description(InitPlugin, ReceiveRoutePlugin):
    """Gives an application its `/schema`."""

    def __init__(self) -> None:
        self._structs: set[type[msgspec.Struct]] = {Problem}

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.openapi_config = _Config(self._structs)
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        if isinstance(route, HTTPRoute):
            for handler, _ in route.route_handler_map.values():
                for field in (handler.parsed_data_field, handler.parsed_return_field):
                    self._structs.update(_structs_in(field) if field else ())


def _structs_in(field: FieldDefinition) -> Iterator[type[msgspec.Struct]]:
    if field.is_subclass_of(msgspec.Struct):
        yield field.annotation
    for inner in field.inner_types:
        yield from _structs_in(inner)


class _Config(OpenAPIConfig):
    def __init__(self, structs: Set[type[msgspec.Struct]]) -> None:
        super().__init__(
            title="Q-Less",
            version="1",
            description=ABOUT,
            path="/schema",
            render_plugins=[
                PAGE,
                JsonRenderPlugin(path="/openapi.json"),
                YamlRenderPlugin(path="/openapi.yaml"),
            ],
            components=COMPONENTS,
            tags=TAGS,
        )
        self._structs = structs

    def to_openapi_schema(self) -> OpenAPI:
        plain = super().to_openapi_schema()
        document = _Document(**{field.name: getattr(plain, field.name) for field in fields(plain)})
        document.structs = self._structs
        return document


class _Document(OpenAPI):
    """Litestar's description, put right on its way out. `structs` is what the routes read and write."""

    structs: Set[type[msgspec.Struct]]

    def to_schema(self) -> dict[str, Any]:
        document = super().to_schema()
        _put_structs_right(document["components"]["schemas"], self.structs)
        for path_item in document["paths"].values():
            for operation in path_item.values():
                _put_body_right(operation)
                _put_errors_right(operation)
        return document


def _put_structs_right(schemas: dict[str, Any], structs: Set[type[msgspec.Struct]]) -> None:
    """Litestar drops docstrings, the bounds of what may be null, and that unknown fields are refused."""
    _, exact = msgspec.json.schema_components(structs, ref_template=_SCHEMA)
    for name, schema in exact.items():
        is_input = "additionalProperties" in schema
        schemas[name] = schema if is_input else schemas.get(name, schema)
        if "description" in schema:
            schemas[name]["description"] = cleandoc(schema["description"])


def _put_body_right(operation: dict[str, Any]) -> None:
    """A body that may be null may be left out."""
    if body := operation.get("requestBody"):
        schema = body["content"]["application/json"]["schema"]
        body["required"] = {"type": "null"} not in schema.get("oneOf", [])


def _put_errors_right(operation: dict[str, Any]) -> None:
    """Litestar tells of its own form for 400, which nobody gets to see, and of no other error."""
    told = {}
    if operation.get("parameters") or operation.get("requestBody"):
        told["400"] = "Invalid"
    if any("bearer" in way for way in operation.get("security", [])):
        told["401"] = "NotAuthenticated"
    for status, name in {**told, "default": "Error"}.items():
        operation["responses"][status] = {"$ref": _RESPONSE.format(name=name)}
