"""The console of the sandbox gateway: what the page is made of, and that its form of faults is the faults."""

import re
from html.parser import HTMLParser
from typing import Any, Literal, get_args, get_origin

import httpx
import msgspec
import pytest

from backend.sandbox.faults import Faults
from backend.sandbox.page import ASSETS, CONSOLE
from tests.sandbox_shop import API_KEY, assert_problem


class FaultForm(HTMLParser):
    """The controls of the page by name: the attributes of an input, the options of a select."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.selects: dict[str, list[str]] = {}
        self.feed(CONSOLE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and (name := given.get("name")):
            self.inputs[name] = given
        elif tag == "select":
            self.selects[given["name"] or ""] = []
        elif tag == "option":
            [*_, options] = self.selects.values()
            options.append(given["value"] or "")


FORM = FaultForm()
FIELDS = {field.name: field for field in msgspec.structs.fields(Faults)}


class TestFaultForm:
    def test_has_each_fault(self) -> None:
        assert {*FORM.inputs, *FORM.selects} == set(FIELDS)

    @pytest.mark.parametrize("name", FIELDS)
    def test_takes_what_the_fault_takes_and_starts_harmless(self, name: str) -> None:
        kind, default = FIELDS[name].type, FIELDS[name].default
        if get_origin(kind) is Literal:
            assert FORM.selects[name] == list(get_args(kind))
            assert FORM.selects[name][0] == default
            return
        control = FORM.inputs[name]
        if kind is bool:
            assert (control["type"], "checked" in control) == ("checkbox", default)
            return
        number, limits = get_args(kind)
        assert control == {
            "name": name,
            "type": "number",
            "value": str(default),
            "min": str(limits.ge),
            "max": str(limits.le),
            "step": "1" if number is int else "any",
            "required": None,
        }


class TestPage:
    async def test_needs_no_key_and_holds_none(self, gateway: httpx.AsyncClient) -> None:
        del gateway.headers["authorization"]
        answer = await gateway.get("/console")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.status_code == 200
        assert API_KEY not in answer.text
        assert "Simulator: no real money" in answer.text
        assert_problem(await gateway.get("/v1/orders?limit=1"), 401, "unauthorized")

    async def test_runs_only_its_own_files(self, gateway: httpx.AsyncClient) -> None:
        answer = await gateway.get("/console")
        assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
        assert not re.search(r"<script>|<style|\s(style|on\w+)=|https?:", answer.text)
        linked = set(re.findall(r'(?:href|src)="assets/([^"]+)"', answer.text))
        assert linked == {"pay.svg", "base.css", "console.css", "console.js"}
        for name in linked | set(self.imported("console.js")):
            assert (await gateway.get(f"/assets/{name}")).status_code == 200

    @classmethod
    def imported(cls, name: str) -> list[str]:
        return re.findall(r'from "\./([^"]+)"', ASSETS[name][0].decode())

    def test_imports_each_script_that_it_needs(self) -> None:
        scripts = {name for name in ASSETS if name.startswith("console") and name.endswith(".js")}
        assert {"console.js", *self.imported("console.js")} == scripts

    @pytest.mark.parametrize("name", sorted(name for name in ASSETS if name.endswith(".js")))
    def test_reads_no_text_as_html(self, name: str) -> None:
        script = ASSETS[name][0].decode()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)

    def test_keeps_the_key_out_of_addresses(self) -> None:
        scripts = {name: content.decode() for name, (content, _) in ASSETS.items() if name.endswith(".js")}
        readers = {name for name, script in scripts.items() if "sessionStorage.getItem" in script}
        assert readers == {"console_api.js"}
        assert "authorization: `Bearer ${sessionStorage.getItem(STORED)}`" in scripts["console_api.js"]
        assert "localStorage" not in "".join(scripts.values())


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2 of `#rgb` or `#rrggbb`."""
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """By WCAG 2.2, from 1 to 21."""
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


class TestColours:
    ON_CARD = ["text", "soft", "brand", "good", "bad", "idle", "late"]
    PAIRS = [
        *((front, "card") for front in ON_CARD),
        ("text", "back"),
        ("soft", "back"),
        ("on-brand", "brand"),
        ("on-warn", "warn"),
    ]
    SCHEMES: Any = [
        dict(re.findall(r"--([\w-]+): (#\w+);", scheme))
        for scheme in ASSETS["base.css"][0].decode().split("@media")
    ]

    @pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
    @pytest.mark.parametrize(("front", "back"), PAIRS, ids=str)
    def test_can_be_read(self, scheme: dict[str, str], front: str, back: str) -> None:
        assert contrast(scheme[front], scheme[back]) >= 4.5
