"""That the watch over the logs would find what it looks for, and lets pass what log lines are made of."""

import json
import logging
import secrets
from pathlib import Path

import pytest

from backend.kit.ids import new_id
from backend.kit.secrets import Keyring, random_key, random_token
from tests.secrecy import LogWatch, secrets_in
from tests.world import PASSWORD

JWT = ".".join(("eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9", "eyJzdWIiOiJ1c3JfMSJ9", "c2lnbmF0dXJl"))


class TestRecognisers:
    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            (f"Bearer {JWT}", "signed token"),
            (f"{new_id('lgn')}.{'aB3_' * 8}", "refresh token or credential"),
            (f"{new_id('dev')}.{random_key()}", "refresh token or credential"),
            ("read k7mq-3xwd-9abc aloud", "code read aloud"),
            ("https://shop.example/app/join#DsHMCQGyxCLMercGGu2lItfwTfyFPSU2", "random token or signature"),
            ('{"signature": "qi6EsUGJV9zGHsQIli_jFVLzXhVpdE8viEQxdSSl0Bk"}', "random token or signature"),
            (f"password={PASSWORD}", "password or secret"),
            ("+919876543210", "phone"),
            ("98765 43210", "phone"),
            ("'9876543210'", "phone"),
            ("paid by asha@upi", "VPA or e-mail"),
            ("asha.k+shop@example.com", "VPA or e-mail"),
            ("4111111111111111", "card number"),
            ("3782 822463 10005", "card number"),
            ("4111-1111-1111-1111", "card number"),
        ],
    )
    def test_find(self, text: str, kind: str) -> None:
        assert kind in secrets_in(f'{{"message": "said {text}", "ms": 1.5}}')

    def test_find_every_token_that_is_made(self) -> None:
        made = [random_token() for _ in range(300)]
        made += [Keyring(secrets.token_urlsafe(32)).sign("quote", bytes([n])) for n in range(100)]
        assert [token for token in made if not secrets_in(f"said {token}.")] == []

    @pytest.mark.parametrize(
        "text",
        [
            new_id("ses"),
            new_id("req"),
            "8901262010023",
            "18901262010020",
            "2026-11-20T12:00:00.123456Z",
            "1763640000123",
            "4111111111111112",
            "request took 98.7654321 ms",
            "/session/{session_id:str}/join-link",
            'File "/srv/backend/carts/rules/permissions.py", line 63, in only_own_lines',
            "a_function_with_a_name_of_any_length_in_lower_case",
            "@get('/failing')",
        ],
    )
    def test_let_pass(self, text: str) -> None:
        assert secrets_in(f'{{"message": "said {text}", "ms": 1.5}}') == []


@pytest.fixture
def watch(pytestconfig: pytest.Config) -> LogWatch:
    return LogWatch(pytestconfig)


class TestWatch:
    def test_reads_what_a_line_says_beside_its_message(self, watch: LogWatch) -> None:
        log = logging.getLogger("watched")
        log.propagate = False
        log.addHandler(watch)
        log.warning("paid", extra={"vpa": "asha@upi"})
        log.removeHandler(watch)
        assert [fault.partition(" logged")[0] for fault in watch.faults] == ["VPA or e-mail"]

    def test_reads_traces(self, watch: LogWatch) -> None:
        log = logging.getLogger("watched")
        log.propagate = False
        log.addHandler(watch)
        try:
            raise ValueError("no such user: +919876543210")
        except ValueError:
            log.exception("failed")
        log.removeHandler(watch)
        assert [fault.partition(" logged")[0] for fault in watch.faults] == ["phone"]

    def test_reads_files_of_servers_with_the_secrets_that_they_were_given(
        self, watch: LogWatch, tmp_path: Path
    ) -> None:
        (tmp_path / "secrets.json").write_text(json.dumps({"demo_password": "plain words here"}))
        (tmp_path / "server.log").write_text("all is well\nsigned in by plain words here\n")
        (tmp_path / "other.log").write_text("asha@upi\n")
        watch._read_files(tmp_path)
        assert len(watch.faults) == 2
        for file in tmp_path.iterdir():
            file.unlink()  # or the watch over this run finds them

    def test_is_on_guard_now(self, pytestconfig: pytest.Config) -> None:
        guards = [handler for handler in logging.getLogger().handlers if isinstance(handler, LogWatch)]
        assert len(guards) == 1
        before = guards[0].lines_read
        logging.getLogger("backend.anything").info("said")
        assert guards[0].lines_read == before + 1
