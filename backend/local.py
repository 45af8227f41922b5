"""What a Q-Less on one machine consists of: options, secrets, certificate, addresses, environment, commands.

Nothing here starts a process; `python -m backend` does.
"""

import argparse
import io
import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import qrcode
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = "127.0.0.1"
EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - what `--https` asks for
SECRET_NAMES = (
    "qless_secret",
    "sandbox_api_key",
    "sandbox_webhook_secret",
    "sandbox_old_webhook_secret",
    "demo_password",
)
EASY_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
SHOPPER = "+919000000001"
STAFF = ("gate", "cashier", "supervisor", "manager")
CERTIFICATE_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=1)


class LocalError(Exception):
    """The local Q-Less cannot start or go on. One sentence that says why and what to do."""


@dataclass(frozen=True)
class Options:
    """What the command line asked for, and this machine's address in its network.

    The payment simulator listens on the same host as the server, one port higher.
    """

    host: str
    port: int
    data: Path
    workers: int
    https: bool
    lan_address: str

    @property
    def public_host(self) -> str:
        """Under which other devices reach the server, if `host` lets them."""
        return self.lan_address if self.host == EVERY_INTERFACE else self.host

    @property
    def own_host(self) -> str:
        """Under which this machine reaches the server."""
        return LOOPBACK if self.host == EVERY_INTERFACE else self.host

    @property
    def scheme(self) -> str:
        return "https" if self.https else "http"

    @property
    def public_url(self) -> str:
        return f"{self.scheme}://{self.public_host}:{self.port}"

    @property
    def own_url(self) -> str:
        return f"{self.scheme}://{self.own_host}:{self.port}"

    @property
    def simulator_port(self) -> int:
        return self.port + 1


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of the command line; wrong ones end the process with a message and status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m backend", description="Runs a whole Q-Less on this machine."
    )
    parser.add_argument(
        "--port", type=_port, default=8000, help="of the server; the simulator takes the next one"
    )
    parser.add_argument(
        "--host", type=_host, help=f"address to listen on (default {LOOPBACK}; with --https every one)"
    )
    parser.add_argument("--data", type=Path, default=Path(".data"), help="folder for everything that is kept")
    parser.add_argument("--workers", type=_workers, default=1, help="server processes")
    parser.add_argument(
        "--https", action="store_true", help="with a self-signed certificate, so that phones can scan"
    )
    given = parser.parse_args(arguments)
    return Options(
        host=given.host or (EVERY_INTERFACE if given.https else LOOPBACK),
        port=given.port,
        data=given.data.resolve(),
        workers=given.workers,
        https=given.https,
        lan_address=lan_address(),
    )


def _host(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"an IPv4 address such as {LOOPBACK} is needed") from None


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65534:
        raise argparse.ArgumentTypeError("a port from 1 to 65534 is needed")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("1 to 64 processes are possible")
    return int(text)


def lan_address() -> str:
    """The address this machine has in its network, 127.0.0.1 without one. Nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): routed like any other, owned by nobody
        except OSError:
            return LOOPBACK
        address: str = probe.getsockname()[0]
        return address


def write_private(path: Path, content: bytes) -> None:
    """Put the whole content there at once, readable by its owner alone."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with open(handle, "wb") as file:
        file.write(content)
    os.replace(name, path)


def load_secrets(path: Path) -> dict[str, str]:
    """This folder's secrets; those that are missing are made and kept, those that exist never change.

    Raises:
        LocalError: the file is there but is no readable JSON object of texts.
    """
    try:
        kept = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError):
        kept = None
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise LocalError(
            f"{path} cannot be read: restore it, or delete the folder {path.parent} to start afresh."
        )
    complete = kept | {name: kept.get(name) or _make_secret(name) for name in SECRET_NAMES}
    if complete != kept:
        write_private(path, json.dumps(complete, indent=2).encode())
    return complete


def _make_secret(name: str) -> str:
    """256 random bits; the password, which a person types on a phone, has 79, in letters that are not confused."""
    if name != "demo_password":
        return secrets.token_urlsafe(32)
    letters = [secrets.choice(EASY_LETTERS) for _ in range(16)]
    return "-".join("".join(letters[n : n + 4]) for n in range(0, 16, 4))


@dataclass(frozen=True)
class Certificate:
    """Where a certificate and its private key lie, both PEM."""

    certificate: Path
    key: Path


def load_certificate(folder: Path, address: str, now: datetime) -> Certificate:
    """A self-signed certificate for this machine; remade when its address changed or it ends within a day."""
    found = Certificate(folder / "certificate.pem", folder / "key.pem")
    if not _is_good(found, address, now):
        folder.mkdir(parents=True, exist_ok=True)
        # First, so that a certificate on disk always belongs to the key on disk.
        found.certificate.unlink(missing_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(found.key, pem)
        write_private(found.certificate, _self_signed(key, address, now).public_bytes(Encoding.PEM))
    return found


def _is_good(found: Certificate, address: str, now: datetime) -> bool:
    if not found.certificate.exists() or not found.key.exists():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    covered = names.get_values_for_type(x509.IPAddress)
    return ip_address(address) in covered and certificate.not_valid_after_utc - now > RENEW_BEFORE


def _self_signed(key: ec.EllipticCurvePrivateKey, address: str, now: datetime) -> x509.Certificate:
    """Accepted by whoever trusts it alone, under the strict checks of RFC 5280 too; it can sign no other."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Q-Less on this machine")])
    addresses = [x509.IPAddress(ip_address(text)) for text in dict.fromkeys((LOOPBACK, address))]
    signing_alone = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # a phone's clock may be late
        .not_valid_after(now + CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(signing_alone, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def environment(
    options: Options,
    kept: Mapping[str, str],
    mongodb_url: str,
    redis_url: str,
    certificate: Certificate | None,
) -> dict[str, str]:
    """What the server, the simulator and `backend.prepare` are told."""
    simulator = f"http://{options.own_host}:{options.simulator_port}"
    told = {
        "MONGODB_URL": mongodb_url,
        "REDIS_URL": redis_url,
        "QLESS_MODE": "demo",
        "QLESS_PUBLIC_URL": options.public_url,
        "QLESS_ORIGINS": ",".join(
            f"{options.scheme}://{host}:{options.port}" for host in (LOOPBACK, "localhost")
        ),
        "QLESS_SECRET": kept["qless_secret"],
        "QLESS_SANDBOX_URL": simulator,
        "QLESS_SANDBOX_API_KEY": kept["sandbox_api_key"],
        "QLESS_SANDBOX_WEBHOOK_SECRETS": ",".join(
            (kept["sandbox_webhook_secret"], kept["sandbox_old_webhook_secret"])
        ),
        "QLESS_DEMO_PASSWORD": kept["demo_password"],
        "SANDBOX_API_KEY": kept["sandbox_api_key"],
        "SANDBOX_WEBHOOK_URL": f"{options.own_url}/payment/webhook/sandbox",
        "SANDBOX_WEBHOOK_SECRET": kept["sandbox_webhook_secret"],
        "SANDBOX_OLD_WEBHOOK_SECRET": kept["sandbox_old_webhook_secret"],
        "SANDBOX_PUBLIC_URL": f"http://{options.public_host}:{options.simulator_port}",
    }
    if certificate is not None:
        told["SANDBOX_WEBHOOK_CA"] = str(certificate.certificate)
    return told


def server_command(options: Options, certificate: Certificate | None) -> list[str]:
    """The server by uvicorn; it writes its log itself, and no proxy stands before it."""
    command = [
        *_uvicorn("backend.app:from_environment", options.host, options.port),
        *("--ws", "backend.live.protocol:LiveProtocol"),
        *("--ws-max-size", "16384", "--ws-per-message-deflate", "false"),
        *("--workers", str(options.workers), "--timeout-graceful-shutdown", "10"),
    ]
    if certificate is not None:
        command += ["--ssl-certfile", str(certificate.certificate), "--ssl-keyfile", str(certificate.key)]
    return command


def simulator_command(options: Options) -> list[str]:
    """The payment gateway's simulator: one process, as it keeps its orders in memory."""
    return _uvicorn("backend.sandbox.app:from_environment", options.host, options.simulator_port)


def _uvicorn(factory: str, host: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "uvicorn", "--factory", factory, "--host", host, "--port", str(port)),
        *(
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--no-access-log",
            "--no-server-header",
            "--no-proxy-headers",
        ),
        *("--log-level", "warning"),
    ]


def announcement(options: Options, kept: dict[str, str]) -> str:
    """What to open and how to sign in. `kept` are the secrets of `load_secrets`."""
    staff = "\n".join(f"  {name}@demo.qless.example" for name in STAFF)
    hint = "" if options.https else "\nPhones scan over https alone: start with --https for them.\n"
    return f"""
Server     {options.public_url}
API        {options.public_url}/schema
Simulator  http://{options.public_host}:{options.simulator_port}/console
           with the key {kept["sandbox_api_key"]}

Sign in with the password {kept["demo_password"]} as
  {SHOPPER} (shopper, host of the family)
{staff}
{hint}"""


def qr_text(text: str) -> str:
    """A QR code of half blocks; the light modules are the foreground, as on a dark terminal."""
    code = qrcode.QRCode()
    code.add_data(text)
    out = io.StringIO()
    code.print_ascii(out=out, invert=True)
    return out.getvalue()
