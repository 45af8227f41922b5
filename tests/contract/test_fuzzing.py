"""The API asked at random, by its own description, as each of the ten: no fault of ours, nothing that is not described.

Schemathesis makes the requests, those that fit the description and those that do not, and judges the answers. Every other
request that fits is about what there is: the ids of a family's cart, so that it comes further than `not_found`.
"""

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from tests.contract.access import Who
from tests.contract.scene import Json, Scene, Shop, open_scene

EXAMPLES, FULL_EXAMPLES = 2, 100
"""Of each route and each kind, for each of the ten."""
MORE_EXAMPLES = 8
"""For those who come furthest."""

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ENDS_THE_LOGIN = {"logout", "refresh"}
"""Asked last, as nobody signs in again."""
BASE_URL = "http://test"

Case = schemathesis.Case[Any]
Operation = APIOperation[Any, Any, Any, Any]


class Fuzzing(NamedTuple):
    """One of the ten asking everything. Hypothesis knows no event loop: it runs in a thread and asks in this one."""

    scene: Scene
    who: Who
    known: Json
    examples: int
    seed: int
    loop: asyncio.AbstractEventLoop

    def run(self, operations: list[Operation]) -> None:
        for operation in operations:
            self._ask_often(operation, GenerationMode.POSITIVE)
            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is taken
                self._ask_often(operation, GenerationMode.NEGATIVE)

    def _ask_often(self, operation: Operation, mode: GenerationMode) -> None:
        @hypothesis.seed(self.seed)
        @hypothesis.settings(
            max_examples=self.examples,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode), about_known=st.booleans())
        def ask(case: Case, about_known: bool) -> None:
            if mode is GenerationMode.POSITIVE and about_known:
                self._put_known_in(case)
            response = asyncio.run_coroutine_threadsafe(self._send(case), self.loop).result(20)
            case.validate_response(response, checks=CHECKS)

        ask()

    def _put_known_in(self, case: Case) -> None:
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                part.update({name: value for name, value in self.known.items() if name in part})

    async def _send(self, case: Case) -> httpx.Response:
        headers = {}
        if self.who in self.scene.people:
            headers["Authorization"] = f"Bearer {self.scene.people[self.who].token}"
        sent = requests.Request(**case.as_transport_kwargs(base_url=BASE_URL, headers=headers)).prepare()
        if not headers:
            sent.headers.pop("Authorization", None)
        assert sent.url is not None
        assert sent.body is None or isinstance(sent.body, str | bytes)
        return await self.scene.shop.api.request(
            case.method,
            sent.url,
            headers=[(name, str(value)) for name, value in sent.headers.items()],
            content=sent.body,
        )


async def known_of(scene: Scene) -> Json:
    """What fields of these names hold when they are about the family's cart."""
    line_id = await scene.line_of(scene.owner)
    trip = await scene.trip()
    order_id = await scene.order()
    issued = await scene.owner.post("/exit-pass/generate", {"order_id": order_id})
    return {
        "session_id": scene.session_id,
        "store_id": scene.shop.store.store_id,
        "barcode": scene.barcode,
        "category": scene.shop.products[0].category,
        "line_id": line_id,
        "order_id": order_id,
        "gateway": "sandbox",
        "token": issued["token"],
        **trip.to_pay,
    }


@pytest.fixture(scope="module")
async def operations(shop: Shop) -> list[Operation]:
    """All of them, described once: what Schemathesis works out of a description takes longer than to ask."""
    document = (await shop.api.get("/schema/openapi.json")).json()
    schema = schemathesis.openapi.from_dict(document)
    found = [schema[path][method] for path in document["paths"] for method in document["paths"][path]]
    return sorted(found, key=lambda operation: operation.definition.raw["operationId"] in ENDS_THE_LOGIN)


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("who", list(Who))
async def test_no_answer_is_a_fault_or_not_described(
    shop: Shop, operations: list[Operation], who: Who, pytestconfig: pytest.Config, chaos_seed: int
) -> None:
    print(f"--seed {chaos_seed}")
    scene = await open_scene(shop)
    if who in shop.people:
        scene.people[who] = await shop.another(who)
    few = MORE_EXAMPLES if who in {Who.OWNER, Who.MANAGER} else EXAMPLES
    examples = FULL_EXAMPLES if pytestconfig.getoption("full") else few
    fuzzing = Fuzzing(scene, who, await known_of(scene), examples, chaos_seed, asyncio.get_running_loop())
    await asyncio.to_thread(fuzzing.run, operations)
