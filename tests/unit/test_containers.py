"""The container files, as far as they can be judged without an engine."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.carts.registry import CLOSE_WITHIN_S
from backend.local import parse, server_command
from backend.settings import SETTINGS_DOC, load

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
VARIABLE = re.compile(r"\$\{(\w+)(:?[-?+])?([^}]*)\}")
GIVEN = {
    "QLESS_HOST": "shop.example",
    "QLESS_SECRET": "0123456789abcdefghijklmnopqrstuvwxyz",
    "SANDBOX_API_KEY": "key-of-the-simulator",
    "SANDBOX_WEBHOOK_SECRET": "webhook-secret-of-the-simulator",
    "QLESS_DEMO_PASSWORD": "password-of-the-demo",
    "GRAFANA_PASSWORD": "password-of-grafana",
}


def instructions(name: str) -> list[str]:
    return re.findall(rf"^\s*{name} +(.+)$", DOCKERFILE, re.MULTILINE)


def interpolate(text: str, given: dict[str, str]) -> str:
    """What Compose makes of a value, for the three forms that the file uses."""

    def one(match: re.Match[str]) -> str:
        name, form, rest = match.groups()
        value = given.get(name, "")
        if form == ":?":
            assert value, f"{name} is required"
        return {":-": value or rest, ":+": rest if value else ""}.get(form, value)

    return VARIABLE.sub(one, text)


def environment_of(service: str, given: dict[str, str]) -> dict[str, str]:
    return {
        name: interpolate(value, given) for name, value in SERVICES[service].get("environment", {}).items()
    }


def secrets_made() -> dict[str, str]:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make-secrets"], capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in made.stdout.splitlines())


def named_module(command: list[str]) -> str:
    """The module that a command runs: uvicorn's factory or `python -m`."""
    if command[0] == "uvicorn":
        return next(part for part in command if part.startswith("backend.")).partition(":")[0]
    assert command[:2] == ["python", "-m"]
    return command[2]


class TestDockerfile:
    def test_does_not_run_as_root(self) -> None:
        assert (
            [user for user in instructions("USER") if user not in {"root", "0"}] == instructions("USER") != []
        )
        assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nCMD ")

    def test_copies_what_exists_and_is_not_ignored(self) -> None:
        admitted = {
            line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
        }
        sources = {source for line in instructions("COPY") for source in line.split()[:-1]}
        assert sources == admitted
        assert all((ROOT / source).exists() for source in sources)

    def test_installs_the_servers_pinned_requirements_alone(self) -> None:
        assert "scripts/requirements.txt" not in DOCKERFILE
        for line in (ROOT / "requirements.txt").read_text().splitlines():
            assert not line or line.startswith("#") or re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line), line

    def test_command_is_in_exec_form_and_its_module_exists(self) -> None:
        (command,) = (json.loads(line) for line in instructions("CMD") if line.startswith('["uvicorn"'))
        assert importlib.util.find_spec(named_module(command))

    def test_health_check_asks_whether_the_process_lives(self) -> None:
        (line,) = instructions("HEALTHCHECK")
        program = json.loads(line[line.index("[") :])
        assert program[:2] == ["python", "-c"]
        assert "/health/live" in program[2]
        compile(program[2], "HEALTHCHECK", "exec")

    def test_server_flags_are_those_of_the_local_server(self) -> None:
        (command,) = (json.loads(line) for line in instructions("CMD") if line.startswith('["uvicorn"'))
        local = server_command(parse([]), None)
        missing, added = set(local) - set(command), set(command) - set(local)
        assert missing == {sys.executable, "-m", "127.0.0.1", "--workers", "1", "--no-proxy-headers"}
        assert added == {"0.0.0.0"}  # noqa: S104


class TestCompose:
    def test_two_servers_alike(self) -> None:
        assert SERVICES["app-1"] == SERVICES["app-2"]
        caddyfile = (ROOT / "scripts/deploy/Caddyfile").read_text()
        assert "reverse_proxy app-1:8000 app-2:8000" in caddyfile
        assert "health_uri /health/ready" in caddyfile

    @pytest.mark.parametrize("name", SERVICES)
    def test_is_checked_for_health_or_runs_once(self, name: str) -> None:
        service = SERVICES[name]
        if service["restart"] == "no":
            users = [other for other in SERVICES.values() if name in other.get("depends_on", {})]
            assert users
            assert all(
                user["depends_on"][name]["condition"] == "service_completed_successfully" for user in users
            )
        else:
            assert service["restart"] == "unless-stopped"
            assert "test" in service.get("healthcheck", {}) or service.get("build") == "."

    @pytest.mark.parametrize("name", SERVICES)
    def test_waits_until_what_it_needs_is_ready(self, name: str) -> None:
        needed = SERVICES[name].get("depends_on") or {}
        assert set(needed) <= set(SERVICES)
        for wait in needed.values():
            assert wait["condition"] in {"service_healthy", "service_completed_successfully"}

    @pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if "command" in service])
    def test_commands_name_modules_that_exist(self, name: str) -> None:
        if SERVICES[name].get("build"):
            assert importlib.util.find_spec(named_module(SERVICES[name]["command"]))

    def test_every_image_has_a_version(self) -> None:
        for service in SERVICES.values():
            assert "build" in service or re.search(r":v?\d", service["image"])

    def test_networks_and_volumes_are_declared(self) -> None:
        for service in SERVICES.values():
            assert set(service["networks"]) <= set(COMPOSE["networks"])
            for volume in service.get("volumes", []):
                source = volume.partition(":")[0]
                assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]

    def test_only_the_proxy_is_open_to_the_outside(self) -> None:
        """Grafana's port is this machine's own."""
        opened = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
        assert set(opened) == {"proxy", "grafana"}
        assert all(port.startswith("127.0.0.1:") for port in opened["grafana"])
        assert COMPOSE["networks"]["data"] == {"internal": True}
        for name in ("mongo-1", "mongo-2", "mongo-3", "mongo-init", "redis"):
            assert SERVICES[name]["networks"] == ["data"]

    def test_the_proxy_tells_the_servers_its_clients_own_address(self) -> None:
        """They believe whoever reaches them; Caddy replaces what a client claims unless told to trust it."""
        caddyfile = (ROOT / "scripts/deploy/Caddyfile").read_text()
        assert SERVICES["app-1"]["environment"]["FORWARDED_ALLOW_IPS"] == "*"
        assert not re.search(r"trusted_proxies|forwarded|header_up", caddyfile, re.IGNORECASE)

    def test_a_server_goes_when_the_proxy_knows_and_has_the_time_to(self) -> None:
        """The proxy's next look may be an interval away and time out; uvicorn then waits, and rooms are closed."""
        caddyfile = (ROOT / "scripts/deploy/Caddyfile").read_text()
        noticed_s = sum(int(found) for found in re.findall(r"health_(?:interval|timeout) (\d+)s", caddyfile))
        drain_s = int(SERVICES["app-1"]["environment"]["QLESS_DRAIN_S"])
        (command,) = (json.loads(line) for line in instructions("CMD") if line.startswith('["uvicorn"'))
        graceful_s = int(command[command.index("--timeout-graceful-shutdown") + 1])
        assert noticed_s < drain_s
        assert drain_s + graceful_s + CLOSE_WITHIN_S < int(SERVICES["app-1"]["stop_grace_period"].rstrip("s"))

    def test_redis_keeps_nothing(self) -> None:
        command = SERVICES["redis"]["command"]
        assert command[command.index("--save") + 1] == ""
        assert command[command.index("--appendonly") + 1] == "no"


class TestSecrets:
    def test_none_is_written_down(self) -> None:
        for name, service in SERVICES.items():
            for variable, value in service.get("environment", {}).items():
                if re.search("SECRET|KEY|PASSWORD", variable):
                    assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name}: {variable}"

    def test_every_required_variable_says_what_it_is_and_where_it_comes_from(self) -> None:
        header = "".join(line for line in COMPOSE_TEXT.splitlines(True) if line.startswith("#"))
        made = secrets_made()
        required = {(name, text) for name, form, text in VARIABLE.findall(COMPOSE_TEXT) if form == ":?"}
        assert len(required) == len({name for name, _ in required})
        for name, text in required:
            assert len(text) > 15
            assert name in made or f"{name}=" in header

    def test_no_variable_is_silently_empty(self) -> None:
        assert {form for _, form, _ in VARIABLE.findall(COMPOSE_TEXT)} == {":?", ":-", ":+"}
        assert {name for name, form, _ in VARIABLE.findall(COMPOSE_TEXT) if form != ":?"} == {
            "COMPOSE_PROFILES"
        }

    def test_made_ones_are_fresh_and_strong(self) -> None:
        first, second = secrets_made(), secrets_made()
        assert set(first) == set(GIVEN) - {"QLESS_HOST"}
        assert not set(first.values()) & set(second.values())
        assert min(map(len, first.values())) >= 43


class TestSettings:
    def test_production_takes_no_simulated_money(self) -> None:
        settings = load(environment_of("app-1", GIVEN))
        assert not settings.is_demo
        assert settings.qless_public_url == "https://shop.example"
        assert settings.qless_sandbox_url == ""

    def test_demo_has_the_simulator(self) -> None:
        given = {**GIVEN, "COMPOSE_PROFILES": "demo"}
        settings = load(environment_of("app-1", given))
        assert settings.is_demo
        assert settings.qless_sandbox_url == "http://sandbox:8000"
        assert SERVICES["sandbox"]["profiles"] == ["demo"]
        simulator = environment_of("sandbox", given)
        assert simulator["SANDBOX_API_KEY"] == settings.qless_sandbox_api_key
        assert (simulator["SANDBOX_WEBHOOK_SECRET"],) == settings.sandbox_webhook_secrets

    def test_every_setting_is_known(self) -> None:
        told = set(SERVICES["app-1"]["environment"]) - {"FORWARDED_ALLOW_IPS"}
        assert told <= set(SETTINGS_DOC)


def judged(compose_file: Path) -> subprocess.CompletedProcess[str]:
    """By the Compose Specification's own JSON Schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, compose_file], capture_output=True, text=True, check=False)


class TestByTheSpecification:
    def test_accepts_the_file(self) -> None:
        outcome = judged(ROOT / "docker-compose.yml")
        assert outcome.returncode == 0, outcome.stdout

    def test_refuses_what_it_does_not_know(self, tmp_path: Path) -> None:
        misspelt = tmp_path / "docker-compose.yml"
        misspelt.write_text(COMPOSE_TEXT.replace("depends_on:", "depend_on:", 1))
        outcome = judged(misspelt)
        assert outcome.returncode == 1
        assert "depend_on" in outcome.stdout
