"""The sandbox payment gateway's webhooks, its page, and its start."""

import asyncio
import hmac
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.sandbox import events, webhooks
from backend.sandbox.app import from_environment
from backend.sandbox.page import rupees
from tests.sandbox_shop import (
    API_KEY,
    SECRET,
    Shop,
    assert_problem,
    assert_signed,
    client_of,
    make_closed,
    make_expired,
    make_paid,
    open_gateway,
    open_shop,
    place,
)
from tests.support import running


class TestWebhooks:
    def test_signature_is_hmac_sha256_of_time_id_and_body(self) -> None:
        expected = hmac.new(b"s", b"1700000000.evt_1.{}", "sha256").hexdigest()
        assert events.sign("s", 1700000000, "evt_1", b"{}") == expected

    async def test_are_retried_until_a_2xx_and_signed_anew(self, shop: Shop) -> None:
        shop.answers = [500, 302, 204]
        async with open_gateway(shop, retry_delays_s=(0.01, 1.0, 0.01)) as gateway:
            await make_paid(gateway)
            tries = await shop.received(3)
        for delivery in tries:
            assert_signed(delivery)
        assert len({delivery.body for delivery in tries}) == 1
        assert len({delivery.headers["x-sandbox-event-id"] for delivery in tries}) == 1
        assert tries[0].headers["x-sandbox-timestamp"] != tries[2].headers["x-sandbox-timestamp"]
        assert tries[0].headers["x-sandbox-signature"] != tries[2].headers["x-sandbox-signature"]

    async def test_are_given_up_after_the_last_delay(
        self, gateway: httpx.AsyncClient, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop.answers = [500, 404, 503]
        await make_paid(gateway)
        event_id = (await shop.received(3))[0].event["id"]
        [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert error.getMessage() == f"webhook {event_id}: given up after 3 tries"

    async def test_are_retried_without_an_answer(
        self, gateway: httpx.AsyncClient, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks, "ANSWER_WITHIN_S", 0.1)
        shop.answers = [None]
        await make_paid(gateway)
        await shop.received(2)

    async def test_hold_up_no_other(self, gateway: httpx.AsyncClient, shop: Shop) -> None:
        shop.answers = [None]
        await gateway.post(f"/pay/{await place(gateway)}/decline")
        await shop.received(1)
        await gateway.post(f"/pay/{await place(gateway, reference='bill-0002')}/approve")
        await shop.received(2)

    async def test_end_at_shutdown(self, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
        shop.answers = [500]
        async with open_gateway(shop, retry_delays_s=(600,)) as gateway:
            await make_paid(gateway)
            [delivery] = await shop.received(1)
        assert f"webhook {delivery.event['id']}: ended by shutdown" in caplog.messages
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("evt_")]

    async def test_log_neither_secret_nor_vpa(
        self, gateway: httpx.AsyncClient, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "backend")
        shop.answers = [500]
        await gateway.post(f"/pay/{await place(gateway)}/approve", json={"vpa": "asha@okbank"})
        event_id = (await shop.received(2))[0].event["id"]
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("backend")]
        assert lines == [
            f"webhook {event_id}: try 1 of 3 failed: status 500",
            f"webhook {event_id}: delivered at try 2",
        ]

    async def test_reach_a_self_signed_shop_only_when_it_is_trusted(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        certificate, tls = self_signed(tmp_path)
        async with open_shop(tls) as shop:
            async with open_gateway(shop, webhook_ca=str(certificate)) as trusting:
                await make_paid(trusting)
                assert_signed((await shop.received(1))[0])
            async with open_gateway(shop) as doubting:
                await make_paid(doubting)
                await asyncio.sleep(0.3)
                assert len(shop.deliveries) == 1
        assert caplog.messages[-1].endswith("given up after 3 tries")


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 in a file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(minutes=5))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "shop.pem", folder / "shop.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate_file, key_file)
    return certificate_file, tls


class TestPage:
    @pytest.mark.parametrize(
        ("amount_minor", "text"),
        [
            (1, "₹0.01"),
            (99_900, "₹999.00"),
            (10_000_005, "₹1,00,000.05"),
            (12_345_678_950, "₹12,34,56,789.50"),
        ],
    )
    def test_groups_rupees_as_india_does(self, amount_minor: int, text: str) -> None:
        assert rupees(amount_minor) == text

    async def test_asks_for_an_answer(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway, note='<script>alert("1")</script>$title')
        answer = await gateway.get(f"/pay/{order_id}")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        for text in (
            "Q-Less Demo Store",
            "₹1,234.50",
            "bill-0001",
            "Simulator: no real money",
            ">Approve<",
            ">Decline<",
        ):
            assert text in answer.text
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;$title" in answer.text
        assert '<div class="actions" >' in answer.text

    @pytest.mark.parametrize(
        ("make", "heading"),
        [
            (make_paid, "Payment successful"),
            (make_closed, "Request closed"),
            (make_expired, "Request expired"),
        ],
    )
    async def test_shows_a_final_state_without_buttons(
        self, gateway: httpx.AsyncClient, make: Callable[..., Any], heading: str
    ) -> None:
        page = (await gateway.get(f"/pay/{await make(gateway)}")).text
        assert f"autofocus>{heading}</h1>" in page
        assert '<div class="actions" hidden>' in page

    async def test_keeps_the_buttons_after_a_decline(self, gateway: httpx.AsyncClient) -> None:
        order_id = await place(gateway)
        await gateway.post(f"/pay/{order_id}/decline")
        page = (await gateway.get(f"/pay/{order_id}")).text
        assert "Payment declined</h1>" in page
        assert '<div class="actions" >' in page

    async def test_runs_only_its_own_files(self, gateway: httpx.AsyncClient) -> None:
        answer = await gateway.get(f"/pay/{await place(gateway)}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        for inline in (" style=", " onclick=", "<style", "<script>"):
            assert inline not in answer.text
        for name, media_type in (
            ("pay.js", "text/javascript"),
            ("base.css", "text/css"),
            ("pay.css", "text/css"),
            ("pay.svg", "image/svg+xml"),
        ):
            assert f'"../assets/{name}"' in answer.text
            asset = await gateway.get(f"/assets/{name}")
            assert (asset.status_code, asset.headers["content-type"].split(";")[0]) == (200, media_type)

    @pytest.mark.parametrize("name", ["page.html", "%00", "%2e%2e%2fapp.py", "x" * 5000])
    async def test_serves_no_other_file(self, gateway: httpx.AsyncClient, name: str) -> None:
        assert_problem(await gateway.get(f"/assets/{name}"), 404, "not_found")


class TestFromEnvironment:
    ENVIRONMENT = {
        "SANDBOX_API_KEY": API_KEY,
        "SANDBOX_WEBHOOK_URL": "http://127.0.0.1:8000/payment/webhook/sandbox",
        "SANDBOX_WEBHOOK_SECRET": SECRET,
        "SANDBOX_PUBLIC_URL": "http://127.0.0.1:8001",
    }

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.ENVIRONMENT.items():
            monkeypatch.setenv(name, value)

    async def test_makes_a_gateway_that_lives(self) -> None:
        app = from_environment()
        async with running(app), client_of(app) as client:
            assert (await client.get("/health/live")).status_code == 200

    @pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
    def test_names_a_missing_variable(self, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        monkeypatch.delenv(missing)
        with pytest.raises(msgspec.ValidationError, match=missing):
            from_environment()

    @pytest.mark.parametrize(
        ("name", "value"),
        [("SANDBOX_API_KEY", ""), ("SANDBOX_WEBHOOK_URL", "shop.example"), ("SANDBOX_PUBLIC_URL", "ftp://x")],
    )
    def test_names_a_malformed_variable(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(msgspec.ValidationError, match=name):
            from_environment()
