"""The API's description: true to the server, complete, and served by the server alone."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from backend.carts.asyncapi import describe
from backend.settings import Settings

Json = dict[str, Any]

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
BEARER: Json = {"bearer": []}
NOT_READY = ("GET /health/ready", "503")
"""No error, but the same report as when all is well."""


@pytest.fixture
async def document(api: httpx.AsyncClient) -> Json:
    response = await api.get("/schema/openapi.json")
    assert response.status_code == 200
    found: Json = response.json()
    return found


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Each with its name, such as `POST /cart/add`."""
    for path, path_item in document["paths"].items():
        for method, operation in path_item.items():
            yield f"{method.upper()} {path}", operation


def handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    """The described ones, named alike."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema() and method != "OPTIONS":
                    yield f"{method} {route.path_format}", handler


def follow(document: Json, part: Json) -> Json:
    """What a reference stands for."""
    while "$ref" in part:
        found: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def references(part: Any) -> Iterator[Json]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


class TestOperations:
    def test_are_all_there(self, document: Json, app: Litestar) -> None:
        assert {name for name, _ in operations(document)} == {name for name, _ in handlers(app)}

    def test_have_an_id_of_their_own(self, document: Json) -> None:
        ids = [operation["operationId"] for _, operation in operations(document)]
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(r"[a-z][A-Za-z]+", operation_id) for operation_id in ids)

    def test_have_a_summary_and_a_declared_tag(self, document: Json) -> None:
        declared = {tag["name"] for tag in document["tags"]}
        for name, operation in operations(document):
            assert operation["summary"], name
            assert len(operation["tags"]) == 1, name
            assert declared.issuperset(operation["tags"]), name

    def test_use_every_declared_tag(self, document: Json) -> None:
        used = {tag for _, operation in operations(document) for tag in operation["tags"]}
        assert used == {tag["name"] for tag in document["tags"]}

    def test_tell_who_may_call_them(self, document: Json, app: Litestar) -> None:
        guarded = {name: bool(list(handler.resolve_guards())) for name, handler in handlers(app)}
        for name, operation in operations(document):
            ways = operation.get("security", [{}])
            assert (ways == [BEARER]) if guarded[name] else ({} in ways), name

    def test_name_each_part_of_their_path(self, document: Json) -> None:
        for name, operation in operations(document):
            named = {
                p["name"] for p in operation.get("parameters", []) if p["in"] == "path" and p["required"]
            }
            assert named == set(re.findall(r"{(\w+)}", name)), name

    def test_refer_to_what_exists(self, document: Json) -> None:
        for reference in references(document):
            assert follow(document, reference), reference


class TestErrors:
    def test_are_problems_everywhere(self, document: Json) -> None:
        for name, operation in operations(document):
            errors = {s: r for s, r in operation["responses"].items() if not s.startswith("2")}
            assert "default" in errors, name
            for status, response in errors.items():
                if (name, status) == NOT_READY:
                    continue
                assert follow(document, response)["content"] == PROBLEM, f"{name} {status}"

    def test_of_the_caller_are_named_where_they_may_come(self, document: Json) -> None:
        for name, operation in operations(document):
            takes_input = "requestBody" in operation or "parameters" in operation
            assert ("400" in operation["responses"]) == takes_input, name
            assert ("401" in operation["responses"]) == (BEARER in operation.get("security", [])), name

    async def test_look_as_described(self, document: Json, api: httpx.AsyncClient) -> None:
        schema = document["components"]["schemas"]["Problem"]
        problem = (await api.post("/auth/login", json={"password": 1})).json()
        assert set(schema["required"]) <= set(problem) <= set(schema["properties"])
        fault = document["components"]["schemas"]["FieldFault"]
        assert set(fault["required"]) == set(problem["errors"][0])


class TestBodies:
    def test_are_required_unless_they_may_be_left_out(self, document: Json) -> None:
        optional = {
            name
            for name, operation in operations(document)
            if not operation.get("requestBody", {"required": True})["required"]
        }
        assert optional == {"POST /auth/guest"}

    async def test_may_be_left_out_where_it_says_so(self, api: httpx.AsyncClient) -> None:
        assert (await api.post("/auth/guest")).status_code == 201
        assert (await api.post("/auth/login")).status_code == 400

    def test_of_input_refuse_unknown_fields_and_explain_themselves(self, document: Json) -> None:
        for name, schema in inputs(document):
            assert schema["additionalProperties"] is False, name
            assert schema["properties"], name

    def test_of_input_have_an_example_of_each_field(self, document: Json) -> None:
        lacking = [
            f"{name}: {field}"
            for name, schema in inputs(document)
            for field, described in schema["properties"].items()
            if not any("examples" in part for part in [described, *described.get("anyOf", [])])
        ]
        assert not lacking

    def test_keep_bounds_of_what_may_be_null(self, document: Json) -> None:
        name = document["components"]["schemas"]["JoinIn"]["properties"]["name"]
        assert name["anyOf"][0]["maxLength"] == 60

    def test_are_explained(self, document: Json) -> None:
        schemas = document["components"]["schemas"]
        assert schemas["AddIn"]["description"] == "Scan a barcode into the cart."
        for name, schema in schemas.items():
            assert "\n  " not in schema.get("description", ""), f"{name}'s text is indented"

    def test_of_input_have_examples_that_are_taken(self, document: Json, app: Litestar) -> None:
        fields = {
            name: {field.name: field.type for field in msgspec.structs.fields(struct)}
            for name, struct in input_structs(app)
        }
        for name, schema in inputs(document):
            for field, described in schema["properties"].items():
                for part in [described, *described.get("anyOf", [])]:
                    for example in part.get("examples", []):
                        assert msgspec.convert(example, fields[name][field]) == example


def inputs(document: Json) -> Iterator[tuple[str, Json]]:
    """The schemas of bodies that the server reads."""
    for name, operation in operations(document):
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            for choice in schema.get("oneOf", [schema]):
                if "$ref" in choice:
                    yield name, follow(document, choice)


def input_structs(app: Litestar) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for name, handler in handlers(app):
        if field := handler.parsed_data_field:
            for choice in (field, *field.inner_types):
                if choice.is_subclass_of(msgspec.Struct):
                    yield name, choice.annotation


class TestPage:
    async def test_loads_from_this_server_alone(self, api: httpx.AsyncClient) -> None:
        response = await api.get("/schema")
        assert response.headers["content-type"].startswith("text/html")
        loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", response.text)
        assert len(loaded) >= 3
        for address in loaded:
            assert address.startswith(("/vendor/", "data:")), address
        for address in filter(lambda a: a.startswith("/"), loaded):
            assert (await api.get(address)).status_code == 200, address
        assert not re.search(r"(?:https?:)?//[\w.-]+\.\w+/", response.text.split("const ui =")[0])

    @pytest.mark.parametrize(
        ("name", "content_type"),
        [("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")],
    )
    async def test_module_has_its_content_type(
        self, api: httpx.AsyncClient, name: str, content_type: str
    ) -> None:
        response = await api.get(f"/vendor/swagger-ui-dist/{name}")
        assert response.status_code == 200
        assert response.headers["content-type"].partition(";")[0] == content_type

    async def test_tells_the_same_as_json_and_as_yaml(self, document: Json, api: httpx.AsyncClient) -> None:
        assert yaml.safe_load((await api.get("/schema/openapi.yaml")).text) == document


class TestSocket:
    async def test_is_described_to_everybody_for_the_address_that_phones_use(
        self, api: httpx.AsyncClient, settings: Settings
    ) -> None:
        response = await api.get("/schema/events")
        assert response.status_code == 200
        assert response.headers["content-type"].partition(";")[0] == "application/json"
        assert response.json() == describe(settings.qless_public_url)

    def test_is_pointed_to(self, document: Json) -> None:
        assert "](/schema/events)" in document["info"]["description"]
