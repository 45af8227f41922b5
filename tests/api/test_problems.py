"""Every way a request can be wrong, and every way the server can fail: always a problem, always of the same form."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar, get
from litestar.exceptions import (
    HTTPException,
    InternalServerException,
    ServiceUnavailableException,
    TooManyRequestsException,
)
from pymongo.errors import AutoReconnect, NetworkTimeout

from backend import documents
from backend.app import MAX_BODY_BYTES, create_app
from backend.errors import CartLocked, InvalidField, TooManyTries
from backend.kit import mongo
from backend.kit.embedded import EmbeddedMongo
from backend.settings import Settings
from tests.support import running
from tests.world import Person, guest, open_store, services_of, start_session, stock

Api = httpx.AsyncClient


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer is, after a look at what each must have."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    found: dict[str, Any] = response.json()
    assert (response.status_code, found["status"], found["code"]) == (status, status, code), found
    assert found["request_id"] == response.headers["x-request-id"]
    assert found["title"]
    assert found["detail"]
    assert found["type"] in {f"urn:qless:error:{code}", "about:blank"}
    return found


class TestRoutes:
    async def test_that_do_not_exist(self, api: Api) -> None:
        for path in ("/nowhere", "/auth/guest/more", "/%00", "/%ff", "/../etc/passwd", "/" + "x" * 5_000):
            problem(await api.get(path), 404, "not_found")

    async def test_with_another_method_name_those_that_go(self, api: Api) -> None:
        response = await api.delete("/auth/guest")
        problem(response, 405, "method_not_allowed")
        assert "POST" in response.headers["allow"]

    async def test_behind_a_sign_in_say_how(self, api: Api) -> None:
        for headers in (
            {},
            {"authorization": "Basic YTpi"},
            {"authorization": "Bearer"},
            {"authorization": ""},
        ):
            response = await api.get("/auth/me", headers=headers)
            problem(response, 401, "not_authenticated")
            assert response.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("token", ["x", "a.b.c", "ünïcode", "x" * 20_000])
    async def test_refuse_a_token_that_is_none_of_ours(self, api: Api, token: str) -> None:
        headers = [(b"authorization", b"Bearer " + token.encode())]
        problem(await api.get("/auth/me", headers=headers), 401, "not_authenticated")

    async def test_refuse_a_query_of_the_wrong_type(self, api: Api) -> None:
        found = problem(await api.get("/products?page=first"), 400, "invalid_request")
        assert found["errors"] == [{"field": "page", "message": "Expected `int`, got `str`"}]

    @pytest.mark.parametrize("path", ["/stores/s1%0A", "/products/8901719703034?session_id=ses_1%0A"])
    async def test_refuse_an_id_with_a_line_feed_at_its_end(self, api: Api, path: str) -> None:
        found = problem(await api.get(path), 400, "invalid_request")
        assert found["errors"][0]["field"] in {"store_id", "session_id"}


class TestBodies:
    @pytest.mark.parametrize("path", ["/auth/guest", "/session/start", "/cart/add"])
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"{", "application/json"),
            (b"\xff\xfe", "application/json"),
            (b"name=Asha", "application/x-www-form-urlencoded"),
            (
                b'--x\r\ncontent-disposition: form-data; name="name"\r\n\r\nA\r\n--x--',
                "multipart/form-data; boundary=x",
            ),
            (b"\x81\xa4name\xa4Asha", "application/msgpack"),
        ],
    )
    async def test_that_are_not_json_are_malformed(
        self, api: Api, path: str, body: bytes, content_type: str
    ) -> None:
        shopper = await guest(api)
        response = await shopper.call("POST", path, content=body, headers={"content-type": content_type})
        problem(response, 400, "malformed_body")

    async def test_that_are_missing_are_asked_for(self, api: Api) -> None:
        shopper = await guest(api)
        for path in ("/auth/login", "/session/start", "/cart/add"):
            found = problem(await shopper.call("POST", path), 400, "malformed_body")
            assert found["detail"] == "The body is missing."

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/auth/guest", {"name": 1}, "$.name"),
            ("/auth/guest", {"name": ""}, "$.name"),
            ("/auth/guest", {"name": "Asha\n"}, "$.name"),
            ("/auth/guest", {"name": "Asha", "role": "manager"}, "$"),
            ("/auth/guest", ["Asha"], "$"),
            ("/session/start", {}, "$"),
            ("/session/start", {"store_id": None}, "$.store_id"),
            ("/session/start", {"store_id": "../x"}, "$.store_id"),
            ("/session/start", {"store_id": "s", "budget_limit_minor": "5000"}, "$.budget_limit_minor"),
            ("/session/start", {"store_id": "s", "budget_limit_minor": 5000.0}, "$.budget_limit_minor"),
            ("/session/start", {"store_id": "s", "budget_limit_minor": 0}, "$.budget_limit_minor"),
            ("/session/start", {"store_id": "s", "budget_limit_minor": 2**70}, "$.budget_limit_minor"),
            ("/session/start", {"store_id": "s", "host_user_id": "usr_other"}, "$"),
            ("/cart/add", {"session_id": "s", "barcode": 8901719703034}, "$.barcode"),
            ("/cart/add", {"session_id": "s", "barcode": "1" * 49}, "$.barcode"),
            ("/cart/add", {"session_id": "s\n", "barcode": "1"}, "$.session_id"),
            ("/cart/add", {"session_id": "s", "barcode": "1", "qty": "1"}, "$.qty"),
            ("/cart/add", {"session_id": "s", "barcode": "1", "qty": 1.0}, "$.qty"),
            ("/cart/add", {"session_id": "s", "barcode": "1", "qty": True}, "$.qty"),
            ("/cart/add", {"session_id": "s", "barcode": "1", "qty": -1}, "$.qty"),
            ("/cart/add", {"session_id": "s", "barcode": "1", "unit_price_minor": 1}, "$"),
        ],
    )
    async def test_with_a_wrong_field_are_told_which(
        self, api: Api, path: str, body: Any, field: str
    ) -> None:
        shopper = await guest(api)
        found = problem(await shopper.call("POST", path, json=body), 400, "invalid_field")
        assert [fault["field"] for fault in found["errors"]] == [field]
        assert found["errors"][0]["message"]

    @pytest.mark.parametrize("name", ["\u200b", "\u2060\u200d", "\u3164", "\u2800"])
    async def test_with_a_name_that_nobody_can_see_are_refused(self, api: Api, name: str) -> None:
        password = "blue mangoes at dawn"
        for path, body in (
            ("/auth/guest", {"name": name}),
            ("/auth/register", {"name": name, "password": password, "email": "asha@example.com"}),
            ("/session/join", {"name": name, "token": "a token"}),
        ):
            response = await (await guest(api)).call("POST", path, json=body)
            assert problem(response, 400, "invalid_field")["errors"][0]["field"] == "$.name"

    async def test_over_the_limit_are_refused_announced_or_not(self, api: Api) -> None:
        async def unannounced() -> AsyncIterator[bytes]:
            for _ in range(MAX_BODY_BYTES // 50_000 + 1):
                yield b" " * 50_000

        bodies: list[Any] = [b" " * (MAX_BODY_BYTES + 1), unannounced()]
        for content in bodies:
            problem(await api.post("/auth/guest", content=content), 413, "body_too_large")

    async def test_of_just_the_limit_are_read(self, api: Api) -> None:
        body = b'{"name": "Asha"}'.ljust(MAX_BODY_BYTES)
        assert (await api.post("/auth/guest", content=body)).status_code == 201

    async def test_that_end_before_their_time_are_no_fault_of_ours(
        self, app: Litestar, caplog: pytest.LogCaptureFixture
    ) -> None:
        incoming: Iterator[Any] = iter(
            [{"type": "http.request", "body": b'{"na', "more_body": True}, {"type": "http.disconnect"}]
        )
        outgoing: list[Any] = []

        async def receive() -> Any:
            return next(incoming)

        async def send(message: Any) -> None:
            outgoing.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/auth/guest",
            "raw_path": b"/auth/guest",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"100")],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
        }
        await app(scope, receive, send)  # type: ignore[arg-type]
        assert outgoing[0]["status"] == 400
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


class TestIdempotencyKeys:
    @pytest.mark.parametrize("key", [b"", b"k" * 65, b"two words", b"k\n", b"\xe9", b"k" * 10_000])
    async def test_that_will_not_do_change_nothing(self, app: Litestar, api: Api, key: bytes) -> None:
        store = await open_store(services_of(app))
        [product] = await stock(services_of(app), 1_000)
        host = await guest(api)
        session_id = (await start_session(host, store))["session_id"]
        response = await host.call(
            "POST",
            "/cart/add",
            json={"session_id": session_id, "barcode": product.barcode},
            headers={"idempotency-key": key},
        )
        found = problem(response, 400, "invalid_request")
        assert [fault["field"] for fault in found["errors"]] == ["Idempotency-Key"]
        assert (await host.get(f"/session/{session_id}"))["items"] == []


class TestRequestIds:
    @pytest.mark.parametrize("given", ["abcdefgh", "phone_1-" + "x" * 56])
    async def test_that_are_given_are_kept(self, api: Api, given: str) -> None:
        response = await api.get("/nowhere", headers={"x-request-id": given})
        assert problem(response, 404, "not_found")["request_id"] == given

    @pytest.mark.parametrize(
        "given", [b"", b"short", b"x" * 65, b"two words", b"abcdefgh\n", b"\xe9bcdefghi", b"<abcdefgh>"]
    )
    async def test_that_will_not_do_are_replaced(self, api: Api, given: bytes) -> None:
        response = await api.get("/nowhere", headers=[(b"x-request-id", given)])
        assert problem(response, 404, "not_found")["request_id"].startswith("req_")

    async def test_are_made_for_each_request_and_stand_in_every_answer(self, api: Api) -> None:
        answers = [await api.get("/health/live") for _ in range(3)]
        assert len({answer.headers["x-request-id"] for answer in answers}) == 3


@pytest.fixture
def raising(app: Litestar) -> Callable[[Exception], str]:
    """A route of the application that fails like this; its path."""

    def add(error: Exception) -> str:
        @get("/failing", opt={"exclude_from_auth": True})
        async def failing() -> None:
            raise error

        app.register(failing)
        return "/failing"

    return add


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("the password is hunter2"),
            RecursionError("hunter2"),
            TimeoutError("hunter2"),
            InternalServerException("hunter2"),
            HTTPException("hunter2", status_code=502),
            ServiceUnavailableException("hunter2"),
        ],
    )
    async def test_of_ours_are_logged_with_their_trace_and_answered_without(
        self,
        api: Api,
        raising: Callable[[Exception], str],
        caplog: pytest.LogCaptureFixture,
        error: Exception,
    ) -> None:
        response = await api.get(raising(error))
        found = problem(response, 500, "internal")
        assert "hunter2" not in response.text
        assert not found.get("retryable")
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.exc_info
        assert record.exc_info[1] is error
        assert record.exc_info[2] is not None
        assert vars(record)["path"] == "/failing"

    @pytest.mark.parametrize("error", [AutoReconnect("hunter2"), NetworkTimeout("hunter2")])
    async def test_of_the_database_may_be_tried_again(
        self,
        api: Api,
        raising: Callable[[Exception], str],
        caplog: pytest.LogCaptureFixture,
        error: Exception,
    ) -> None:
        response = await api.get(raising(error))
        assert problem(response, 503, "storage_unavailable")["retryable"] is True
        assert response.headers["retry-after"] == "1"
        assert "hunter2" not in response.text + caplog.text
        assert type(error).__name__ in [vars(record).get("error") for record in caplog.records]

    async def test_of_a_duplicate_key_are_defects_and_logged_without_its_value(
        self, app: Litestar, api: Api, database: mongo.Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        phone = "+919876543210"

        @get("/failing-twice", opt={"exclude_from_auth": True})
        async def failing() -> None:
            for _ in range(2):
                await database["twice"].insert_one({"_id": phone})

        app.register(failing)
        found = problem(await api.get("/failing-twice"), 500, "internal")
        assert "retryable" not in found
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        written = logging.Formatter().format(record)
        assert "duplicate key in the index of _id" in written
        assert "in failing" in written
        assert phone not in written + str(vars(record))

    async def test_that_are_answers_say_what_to_do(
        self, api: Api, raising: Callable[[Exception], str]
    ) -> None:
        found = problem(await api.get(raising(CartLocked())), 409, "cart_locked")
        assert (found["title"], found["detail"]) == (CartLocked.title, f"{CartLocked.title}.")
        assert "retryable" not in found

    async def test_that_ask_to_wait_say_how_long(self, api: Api, raising: Callable[[Exception], str]) -> None:
        response = await api.get(raising(TooManyTries(retry_after_s=37)))
        found = problem(response, 429, "too_many_tries")
        assert found["retryable"] is True
        assert found["detail"] == "Too many tries; wait before the next: 37 s."
        assert response.headers["retry-after"] == "37"

    async def test_that_are_answers_name_each_fault(
        self, api: Api, raising: Callable[[Exception], str]
    ) -> None:
        fault = {"field": "$.qty", "message": "too many"}
        found = problem(await api.get(raising(InvalidField("no", [fault]))), 400, "invalid_field")
        assert found["errors"] == [fault]

    async def test_that_litestar_raises_keep_their_headers(
        self, api: Api, raising: Callable[[Exception], str]
    ) -> None:
        error = TooManyRequestsException(headers={"retry-after": "7"})
        response = await api.get(raising(error))
        problem(response, 429, "http_error")
        assert response.headers["retry-after"] == "7"


@pytest.fixture
async def without_mongodb(
    settings: Settings, database: mongo.Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Api, Person]]:
    """An application whose mongod has gone, and somebody who had signed in before."""
    with EmbeddedMongo(tmp_path_factory.mktemp("leaving")) as server:
        client = mongo.connect(server.url)
        await documents.prepare(mongo.open_database(client, settings.qless_database))
        await client.close()
        app = create_app(msgspec.structs.replace(settings, mongodb_url=server.url))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with running(app), Api(transport=transport, base_url="http://test", timeout=30) as api:
            shopper = await guest(api)
            server.stop()
            yield api, shopper
    await documents.bind(database)


class TestWithoutMongodb:
    async def test_every_answer_says_try_again(self, without_mongodb: tuple[Api, Person]) -> None:
        api, shopper = without_mongodb
        body = {"session_id": "ses_1", "barcode": "8901719703034"}
        for response in await asyncio.gather(
            api.post("/auth/guest"),
            shopper.call("GET", "/auth/me"),
            shopper.call("POST", "/cart/add", json=body),
            api.get("/stores"),
        ):
            assert problem(response, 503, "storage_unavailable")["retryable"] is True
            assert response.headers["retry-after"] == "1"
        problem(await api.get("/nowhere"), 404, "not_found")
