"""The configuration: what must be given, what is refused and in which words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from backend.sandbox.app import SandboxSettings
from backend.settings import SETTINGS_DOC, Settings, SettingsError, as_origin, load

ROOT = Path(__file__).parents[2]
GIVEN = {
    "MONGODB_URL": "mongodb://db.example/?replicaSet=qless",
    "REDIS_URL": "redis://cache.example/0",
    "QLESS_SECRET": "t4Jm1kq9Zs7Xw2Lc8Vb5Nf3Hg6Dr0Py1",
    "QLESS_PUBLIC_URL": "https://shop.example",
}
SANDBOX = {
    "QLESS_SANDBOX_URL": "http://sandbox:8000",
    "QLESS_SANDBOX_API_KEY": "an api key",
    "QLESS_SANDBOX_WEBHOOK_SECRETS": "newest-of-the-secrets,oldest-of-the-secrets",
}


def refusal(**changes: str) -> str:
    """Why these settings are refused: one sentence."""
    with pytest.raises(SettingsError) as caught:
        load({**GIVEN, **changes})
    sentence = str(caught.value)
    assert re.fullmatch(r"[^\n]+\.", sentence)
    return sentence


class TestRequired:
    @pytest.mark.parametrize("name", sorted(GIVEN))
    def test_names_the_one_that_is_missing_or_empty(self, name: str) -> None:
        others = {key: value for key, value in GIVEN.items() if key != name}
        for environ in (others, {**others, name: ""}):
            with pytest.raises(SettingsError, match=rf"^{name} is not set \(.+\)\.$"):
                load(environ)

    def test_are_enough(self) -> None:
        assert load(GIVEN).mongodb_url == GIVEN["MONGODB_URL"]

    def test_of_others_in_the_environment_nothing_is_taken(self) -> None:
        assert load({**GIVEN, "PATH": "/bin", "qless_mode": "demo", "QLESS_UNKNOWN": "1"}) == load(GIVEN)


class TestDefaults:
    def test_are_those_of_a_shop_that_is_open(self) -> None:
        settings = load(GIVEN)
        assert not settings.is_demo
        assert settings.qless_database == "qless"
        assert settings.qless_log_level == "INFO"
        assert settings.qless_sandbox_url == ""
        assert settings.sandbox_webhook_secrets == ()
        assert (settings.qless_access_ttl_s, settings.qless_refresh_ttl_s) == (900, 30 * 24 * 3600)
        assert (settings.qless_quote_ttl_s, settings.qless_payment_ttl_s) == (600, 300)
        assert (settings.qless_join_ttl_s, settings.qless_pass_ttl_s) == (4 * 3600, 1800)

    def test_stand_for_what_is_empty(self) -> None:
        assert load({**GIVEN, "QLESS_QUOTE_TTL_S": "", "QLESS_MODE": ""}) == load(GIVEN)

    def test_give_way_to_what_is_set(self) -> None:
        settings = load({**GIVEN, "QLESS_QUOTE_TTL_S": "60", "QLESS_DATABASE": "other"})
        assert (settings.qless_quote_ttl_s, settings.qless_database) == (60, "other")


class TestSecret:
    @pytest.mark.parametrize("secret", ["short", GIVEN["QLESS_SECRET"][:31], "a" * 64, "123456789" * 8])
    def test_that_is_weak_is_refused_and_not_repeated(self, secret: str) -> None:
        sentence = refusal(QLESS_SECRET=secret)
        assert sentence.startswith("QLESS_SECRET is weak")
        assert secret not in sentence

    def test_that_is_weak_is_refused_in_the_demo_too(self) -> None:
        assert "QLESS_SECRET" in refusal(QLESS_SECRET="a" * 32, QLESS_MODE="demo")


class TestPublicUrl:
    def test_is_https_outside_the_demo(self) -> None:
        assert (
            refusal(QLESS_PUBLIC_URL="http://shop.example")
            == "QLESS_PUBLIC_URL must be https outside the demo."
        )
        demo = load({**GIVEN, "QLESS_PUBLIC_URL": "http://192.168.1.7:8000", "QLESS_MODE": "demo"})
        assert demo.qless_public_url == "http://192.168.1.7:8000"

    @pytest.mark.parametrize(
        "address",
        [
            *("shop.example", "//shop.example", "ftp://shop.example", "javascript:alert(1)", "https://"),
            *("https://shop.example/app", "https://shop.example?x", "https://shop.example#x", "https://[::1"),
            *("https://me:secret@shop.example", "https://shop.example:port", "https://shop example"),
        ],
    )
    def test_is_scheme_and_host_alone(self, address: str) -> None:
        assert refusal(QLESS_PUBLIC_URL=address).startswith("QLESS_PUBLIC_URL is not of the form")

    @pytest.mark.parametrize(
        "address",
        ["https://shop.example/", "https://Shop.Example", "https://shop.example:443", "HTTPS://shop.example"],
    )
    def test_is_brought_into_the_form_in_which_browsers_name_it(self, address: str) -> None:
        settings = load({**GIVEN, "QLESS_PUBLIC_URL": address})
        assert settings.qless_public_url == "https://shop.example"
        assert settings.origins == {"https://shop.example"}


class TestOrigins:
    def test_are_the_public_address_and_those_configured(self) -> None:
        settings = load(
            {**GIVEN, "QLESS_ORIGINS": " https://a.example/, capacitor://localhost ,http://[::1]:80,"}
        )
        assert settings.origins == {
            "https://shop.example",
            "https://a.example",
            "capacitor://localhost",
            "http://[::1]",
        }

    @pytest.mark.parametrize(
        "origins", ["*", "null", "a.example", "https://a.example/x", "https://a.example, *"]
    )
    def test_that_could_never_match_are_refused(self, origins: str) -> None:
        assert refusal(QLESS_ORIGINS=origins).startswith("QLESS_ORIGINS")

    def test_keep_a_port_that_is_not_the_default(self) -> None:
        assert as_origin("https://a.example:8443") == "https://a.example:8443"
        assert as_origin("https://a.example:80") == "https://a.example:80"


class TestSandbox:
    def test_is_off_until_its_address_is_given(self) -> None:
        load({**GIVEN, "QLESS_SANDBOX_API_KEY": ""})

    @pytest.mark.parametrize("missing", ["QLESS_SANDBOX_API_KEY", "QLESS_SANDBOX_WEBHOOK_SECRETS"])
    def test_needs_its_key_and_secrets(self, missing: str) -> None:
        assert missing in refusal(**{**SANDBOX, missing: ""})

    @pytest.mark.parametrize(
        "secrets", ["short", "long-enough-to-be-one,short", "long-enough-to-be-one, " + "x" * 15]
    )
    def test_needs_secrets_that_are_long(self, secrets: str) -> None:
        assert "QLESS_SANDBOX_WEBHOOK_SECRETS" in refusal(
            **{**SANDBOX, "QLESS_SANDBOX_WEBHOOK_SECRETS": secrets}
        )

    @pytest.mark.parametrize("address", ["sandbox:8000", "sandbox", "http://"])
    def test_needs_an_address_that_can_be_called(self, address: str) -> None:
        assert refusal(**{**SANDBOX, "QLESS_SANDBOX_URL": address}).startswith("QLESS_SANDBOX_URL")

    def test_takes_two_secrets_while_one_is_rotated(self) -> None:
        settings = load({**GIVEN, **SANDBOX})
        assert settings.sandbox_webhook_secrets == ("newest-of-the-secrets", "oldest-of-the-secrets")


class TestDatabases:
    @pytest.mark.parametrize(
        "url",
        [
            *(
                "db.example",
                "http://db.example",
                "mongodb://",
                "mongodb:///qless",
                "mongodb://me@/",
                " mongodb://db",
            ),
            *("mongodb://db:port", "mongodb://db:99999", "mongodb://db,", "mongodb://d b/", "mongodb://db\n"),
            *(
                "mongodb://me:hunter2/3@db",
                "mongodb://db/?replicaset",
                "mongodb://db/?timeoutMS=soon",
                "mongodb+srv://",
            ),
            "mongodb://db/?nosuchoption=1",
        ],
    )
    def test_mongodb_is_refused_at_a_malformed_address(self, url: str) -> None:
        sentence = refusal(MONGODB_URL=url)
        assert sentence.startswith("MONGODB_URL is not of the form mongodb://")
        assert "hunter2" not in sentence

    @pytest.mark.parametrize(
        "url",
        [
            "mongodb://db",
            "mongodb://mongo-1,mongo-2:27018/?replicaSet=qless&tls=true",
            "mongodb://me:hunter2%2F3@[::1]:27017/admin?directConnection=true",
            "mongodb+srv://me:hunter2@cluster.example/?retryWrites=true",
        ],
    )
    def test_mongodb_is_found_at_any_good_one(self, url: str) -> None:
        assert load({**GIVEN, "MONGODB_URL": url}).mongodb_url == url

    @pytest.mark.parametrize(
        "url",
        [
            *(
                "cache.example",
                "cache:6379",
                "http://cache",
                "redis://",
                "redis:///0",
                "redis://cache:port/0",
            ),
            *(
                "redis://cache:99999/0",
                "redis://cache/zero",
                "redis://cache/0/1",
                "redis://ca che/0",
                "redis://cache/0\n",
            ),
            *("redis://:hunter2@/0", "redis://cache/0?socket_timeout=soon"),
            "redis+cluster://cache/1",
            "redis+cluster://",
            "unix+cluster:///cache",
        ],
    )
    def test_redis_is_refused_at_a_malformed_address(self, url: str) -> None:
        sentence = refusal(REDIS_URL=url)
        assert sentence.startswith("REDIS_URL is not of the form redis://")
        assert "hunter2" not in sentence

    @pytest.mark.parametrize(
        "url",
        [
            "redis+cluster://cache",
            "rediss+cluster://me:hunter2@cache.example:6379/0",
            "redis://cache",
            "redis://cache:6380/3",
            "rediss://me:hunter2@cache/",
            "redis://[::1]:6379/0",
            "unix:///run/redis",
        ],
    )
    def test_redis_is_found_at_any_good_one(self, url: str) -> None:
        assert load({**GIVEN, "REDIS_URL": url}).redis_url == url

    @pytest.mark.parametrize("name", [" ", "a b", "a/b", "a.b", "$a", "a\n", "x" * 64, "क", 'a"b', "a\\b"])
    def test_their_name_is_one_that_mongodb_takes(self, name: str) -> None:
        assert refusal(QLESS_DATABASE=name) == "QLESS_DATABASE is not 1 to 63 letters, digits, `_` and `-`."


class TestStart:
    def test_with_wrong_settings_ends_with_one_sentence(self) -> None:
        command = [sys.executable, *("-m", "uvicorn", "--factory", "backend.app:from_environment")]
        environment = {**os.environ, **GIVEN, "MONGODB_URL": "mongodb://me:hunter2@db,"}
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode != 0
        assert ended.stderr.splitlines() == [
            "MONGODB_URL is not of the form mongodb://host[:port][,…]/?options."
        ]


class TestShown:
    def test_settings_hold_no_secret(self) -> None:
        urls = {
            "MONGODB_URL": "mongodb://me:hunter2@db.example/",
            "REDIS_URL": "rediss://:hunter3@cache.example/0",
        }
        settings = load({**GIVEN, **SANDBOX, **urls})
        for shown in (repr(settings), str(settings), f"{settings}"):
            assert "hunter" not in shown
            for secret in (
                settings.qless_secret,
                settings.qless_sandbox_api_key,
                *settings.sandbox_webhook_secrets,
            ):
                assert secret not in shown
            assert "mongodb_url='mongodb://***@db.example/'" in shown
            assert "qless_public_url='https://shop.example'" in shown
            assert "qless_mode='production'" in shown

    def test_of_the_simulator_hold_none_either(self) -> None:
        shown = repr(
            SandboxSettings(
                api_key="key-of-the-simulator",
                webhook_url="http://me:hunter2@shop.example/hook",
                webhook_secret="secret-of-the-simulator",
                public_url="http://sandbox.example",
            )
        )
        assert "of-the-simulator" not in shown
        assert "hunter2" not in shown
        assert "public_url='http://sandbox.example'" in shown

    def test_settings_name_what_is_not_set(self) -> None:
        assert "qless_sandbox_api_key=''" in repr(load(GIVEN))


class TestMalformed:
    @pytest.mark.parametrize("value", ["soon", "0", "-1", "1.5", "2592001", "1e9", "9" * 400])
    def test_times_are_named(self, value: str) -> None:
        assert refusal(QLESS_PASS_TTL_S=value).startswith("QLESS_PASS_TTL_S is malformed: expected `int`")

    @pytest.mark.parametrize("mode", ["Demo", "test", "production "])
    def test_modes_are_named(self, mode: str) -> None:
        assert "QLESS_MODE" in refusal(QLESS_MODE=mode)

    @pytest.mark.parametrize("level", ["debug", "TRACE", "0"])
    def test_log_levels_are_named(self, level: str) -> None:
        assert "QLESS_LOG_LEVEL" in refusal(QLESS_LOG_LEVEL=level)


class TestDocumentation:
    def test_has_every_setting_and_no_other(self) -> None:
        assert set(SETTINGS_DOC) == {field.name.upper() for field in msgspec.structs.fields(Settings)}
        assert all(SETTINGS_DOC.values())
