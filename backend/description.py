"""The API's description: OpenAPI at `/schema`, its page served without any outside host."""

from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag

_MODULE = "/vendor/swagger-ui-dist"

OPENAPI = OpenAPIConfig(
    title="Q-Less",
    version="1",
    description=(
        "Scan and go: a family's phones scan into one live cart, see the bill against their budget, pay by UPI and "
        "leave through a gate that checks a signed pass.\n\n"
        "Money is an integer in minor units (`_minor`), times are RFC 3339 UTC, ids are opaque. Every error is "
        "`application/problem+json` with a stable `code`. Unknown fields are refused and nothing is coerced. "
        "Send `Authorization: Bearer <access_token>`; `POST /auth/guest` gives one at once. The live cart is a "
        "WebSocket at `/ws/cart/{session_id}`."
    ),
    path="/schema",
    render_plugins=[
        SwaggerRenderPlugin(
            path="/",
            js_url=f"{_MODULE}/swagger-ui-bundle.js",
            css_url=f"{_MODULE}/swagger-ui.css",
            standalone_preset_js_url=f"{_MODULE}/swagger-ui-bundle.js",
        ),
        JsonRenderPlugin(path="/openapi.json"),
        YamlRenderPlugin(path="/openapi.yaml"),
    ],
    components=Components(
        security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
    ),
    tags=[
        Tag("Accounts", "Who somebody is: guests, customers, staff."),
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
    ],
)
