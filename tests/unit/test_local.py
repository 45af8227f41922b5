"""The local Q-Less: options, secrets, certificate, environment, what it prints; its supervisor's checks."""

import json
import re
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import zxingcpp
from cryptography import x509
from PIL import Image

from backend import __main__ as supervisor
from backend import local
from backend.kit.embedded import Child, EmbeddedError, require_free_port
from backend.local import Certificate, LocalError, Options, load_certificate, load_secrets, parse
from backend.settings import load

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRETS = {name: f"{name} 0123456789 abcdefghijklmnopqrstuvwxyz" for name in local.SECRET_NAMES}


def make_options(
    host: str = "127.0.0.1", port: int = 8000, https: bool = False, lan_address: str = "192.168.7.7"
) -> Options:
    return Options(host=host, port=port, data=Path("/data"), workers=1, https=https, lan_address=lan_address)


def make_environment(options: Options, certificate: Certificate | None = None) -> dict[str, str]:
    return local.environment(options, SECRETS, "mongodb://m", "redis://r", certificate)


def extension_names(certificate: Path) -> x509.SubjectAlternativeName:
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


class TestOptions:
    def test_defaults(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        options = parse([])
        assert (options.host, options.port, options.workers, options.https) == ("127.0.0.1", 8000, 1, False)
        assert options.data == tmp_path / ".data"
        assert options.public_url == "http://127.0.0.1:8000"

    def test_https_listens_everywhere_unless_told(self) -> None:
        assert parse(["--https"]).host == "0.0.0.0"  # noqa: S104
        assert parse(["--https", "--host", "127.0.0.1"]).host == "127.0.0.1"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--port", "0"], "a port from 1 to 65534"),
            (["--port", "65535"], "a port from 1 to 65534"),
            (["--port", "-1"], "a port from 1 to 65534"),
            (["--port", "eighty"], "a port from 1 to 65534"),
            (["--host", "shop.example"], "an IPv4 address"),
            (["--workers", "0"], "1 to 64 processes"),
            (["--bogus"], "unrecognized arguments"),
        ],
    )
    def test_wrong_ones_end_with_a_message(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            parse(arguments)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err

    def test_addresses_of_a_server_that_listens_everywhere(self) -> None:
        options = make_options(host="0.0.0.0", port=9000, https=True)  # noqa: S104
        assert options.public_url == "https://192.168.7.7:9000"
        assert options.own_url == "https://127.0.0.1:9000"

    def test_lan_address_is_an_address(self) -> None:
        assert ip_address(local.lan_address())


class TestSecrets:
    def test_are_made_once_for_the_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "secrets.json"
        made = load_secrets(path)
        assert set(made) == set(local.SECRET_NAMES)
        assert len(set(made.values())) == len(made)
        assert re.fullmatch(r"(?:[a-z2-9]{4}-){3}[a-z2-9]{4}", made.pop("demo_password"))
        assert min(map(len, made.values())) >= 43
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_bytes()
        assert load_secrets(path).items() >= made.items()
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_missing_ones_are_added_and_the_rest_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "secrets.json"
        path.write_text(json.dumps({"qless_secret": "kept", "of_a_later_version": "too"}))
        made = load_secrets(path)
        assert (made["qless_secret"], made["of_a_later_version"]) == ("kept", "too")
        assert made["demo_password"]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"qless_secret": 1}', b"\xff\xfe\xfd"])
    def test_damage_is_told_and_nothing_overwritten(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "secrets.json"
        path.write_bytes(content)
        with pytest.raises(
            LocalError, match=r"secrets\.json cannot be read: restore it, or delete the folder"
        ):
            load_secrets(path)
        assert path.read_bytes() == content


class TestCertificate:
    def test_names_this_machine(self, tmp_path: Path) -> None:
        made = load_certificate(tmp_path, "192.168.7.7", NOW)
        names = extension_names(made.certificate)
        assert names.get_values_for_type(x509.DNSName) == ["localhost"]
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "192.168.7.7"]
        assert stat.S_IMODE(made.key.stat().st_mode) == 0o600

    def test_is_kept_while_it_is_good(self, tmp_path: Path) -> None:
        first = load_certificate(tmp_path, "192.168.7.7", NOW).certificate.read_bytes()
        assert (
            load_certificate(tmp_path, "192.168.7.7", NOW + timedelta(days=300)).certificate.read_bytes()
            == first
        )
        assert load_certificate(tmp_path, "127.0.0.1", NOW).certificate.read_bytes() == first

    @pytest.mark.parametrize(
        ("address", "later"),
        [("192.168.7.8", timedelta()), ("192.168.7.7", local.CERTIFICATE_LIFE - timedelta(hours=23))],
    )
    def test_is_remade_for_another_address_or_near_its_end(
        self, tmp_path: Path, address: str, later: timedelta
    ) -> None:
        first = load_certificate(tmp_path, "192.168.7.7", NOW).certificate.read_bytes()
        again = load_certificate(tmp_path, address, NOW + later)
        assert again.certificate.read_bytes() != first
        assert ip_address(address) in extension_names(again.certificate).get_values_for_type(x509.IPAddress)

    @pytest.mark.parametrize("name", ["certificate.pem", "key.pem"])
    def test_is_remade_when_a_half_is_gone_or_damaged(self, tmp_path: Path, name: str) -> None:
        load_certificate(tmp_path, "127.0.0.1", NOW)
        (tmp_path / name).unlink()
        made = load_certificate(tmp_path, "127.0.0.1", NOW)
        made.certificate.write_text("damaged")
        made = load_certificate(tmp_path, "127.0.0.1", NOW)
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.certificate, made.key)

    def test_a_strict_client_that_trusts_it_alone_accepts_it(self, tmp_path: Path) -> None:
        made = load_certificate(tmp_path, "127.0.0.1", datetime.now(UTC))
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(made.certificate, made.key)
        client = ssl.create_default_context(cafile=made.certificate)
        client.verify_flags |= (
            ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        )  # the default from Python 3.13 on
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        near = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
        far = server.wrap_bio(to_server, to_client, server_side=True)
        for side in (near, far, near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        assert near.version() == "TLSv1.3"


class TestEnvironment:
    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "192.168.7.9"])  # noqa: S104
    @pytest.mark.parametrize("https", [False, True])
    def test_the_server_accepts_its_settings(self, host: str, https: bool) -> None:
        options = make_options(host=host, https=https)
        settings = load(make_environment(options))
        assert settings.is_demo
        assert settings.qless_public_url == options.public_url
        assert options.public_url in settings.origins

    def test_server_and_simulator_share_what_they_must(self) -> None:
        told = make_environment(make_options(port=9000))
        assert told["SANDBOX_API_KEY"] == told["QLESS_SANDBOX_API_KEY"]
        both = [told["SANDBOX_WEBHOOK_SECRET"], told["SANDBOX_OLD_WEBHOOK_SECRET"]]
        assert told["QLESS_SANDBOX_WEBHOOK_SECRETS"].split(",") == both
        assert told["QLESS_SANDBOX_URL"] == "http://127.0.0.1:9001"
        assert told["SANDBOX_WEBHOOK_URL"] == "http://127.0.0.1:9000/payment/webhook/sandbox"

    def test_only_https_names_a_certificate(self, tmp_path: Path) -> None:
        certificate = Certificate(tmp_path / "c", tmp_path / "k")
        options = make_options(host="0.0.0.0", https=True)  # noqa: S104
        assert make_environment(options, certificate)["SANDBOX_WEBHOOK_CA"] == str(tmp_path / "c")
        assert "SANDBOX_WEBHOOK_CA" not in make_environment(make_options())
        assert "--ssl-certfile" in local.server_command(options, certificate)
        assert "--ssl-certfile" not in local.server_command(make_options(), None)


class TestAnnouncement:
    def test_tells_addresses_and_sign_ins(self) -> None:
        kept = {"demo_password": "the-password", "sandbox_api_key": "the-key"}
        text = local.announcement(make_options(port=9000), kept)
        for part in (
            "http://127.0.0.1:9000",
            "http://127.0.0.1:9000/schema",
            "http://127.0.0.1:9001/console",
            "the-key",
            "the-password",
            local.SHOPPER,
            "gate@demo.qless.example",
            "manager@demo.qless.example",
        ):
            assert part in text

    def test_the_qr_reads_as_the_address(self) -> None:
        url = "https://192.168.7.7:8000"
        lines = local.qr_text(url).splitlines()
        light = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255)}
        picture = Image.new("L", (len(lines[0]), 2 * len(lines)))
        for y, line in enumerate(lines):
            for x, half_blocks in enumerate(line):
                top, bottom = light.get(half_blocks, (0, 0))
                picture.putpixel((x, 2 * y), top)
                picture.putpixel((x, 2 * y + 1), bottom)
        enlarged = picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.NEAREST)
        assert [code.text for code in zxingcpp.read_barcodes(enlarged)] == [url]


class TestSupervisor:
    def test_a_taken_port_is_told_in_one_sentence(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(
                EmbeddedError, match=rf"^Port {port} of 127\.0\.0\.1 cannot be used \(.+\): choose another\.$"
            ):
                require_free_port("127.0.0.1", port)
        require_free_port("127.0.0.1", port)

    def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(LocalError, match=r"cannot be made \(.+\): give another folder by --data\.$"):
            supervisor.make_folder(tmp_path / "file" / "data")

    def test_the_data_folder_is_the_owners_alone(self, tmp_path: Path) -> None:
        supervisor.make_folder(tmp_path / "data")
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700

    def test_what_a_child_said_last_is_told(self, tmp_path: Path) -> None:
        child = Child("talker", ["sh", "-c", "seq 1 100; exit 3"], tmp_path / "talker.log")
        assert child.wait() == 3
        lines = supervisor.last_lines(child).splitlines()
        assert str(tmp_path / "talker.log") in lines[0]
        assert lines[1:] == [str(number) for number in range(89, 101)]

    def test_nobody_there_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
        assert not supervisor.answers("127.0.0.1", port, "/health/ready", None)
