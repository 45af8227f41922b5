"""What README.md says of settings, errors, close codes, frames and files is what the code says."""

import importlib.machinery
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import msgspec
import pytest

from backend import errors
from backend.carts import events, frames, sockets
from backend.errors import AppError
from backend.live import CloseCode
from backend.live.close_codes import ComeBack
from backend.problems import STATUS
from backend.settings import SETTINGS_DOC, Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load_script(name: str) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "scripts" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def all_errors(root: type[AppError] = AppError) -> list[type[AppError]]:
    return [root, *(found for child in root.__subclasses__() for found in all_errors(child))]


class TestTables:
    def test_are_those_of_the_code(self) -> None:
        assert load_script("renew-readme").renewed(README) == README, "run scripts/renew-readme"

    def test_tell_every_setting(self) -> None:
        assert list(SETTINGS_DOC) == [name.upper() for name in Settings.__struct_fields__]
        for name in SETTINGS_DOC:
            assert f"\n| `{name}` | " in README

    def test_tell_every_close_code(self) -> None:
        for code in CloseCode:
            assert f"\n| {code.value} | " in README, code

    def test_tell_every_error(self) -> None:
        for code in errors.BY_CODE:
            assert f"\n| `{code}` | " in README


class TestErrors:
    def test_have_a_code_of_their_own(self) -> None:
        codes = [error.code for error in all_errors()]
        assert len(codes) == len(set(codes))
        assert set(codes) == set(errors.BY_CODE)

    def test_have_a_status(self) -> None:
        assert set(STATUS) == {error.category for error in all_errors()}
        assert all(400 <= status < 600 for status in STATUS.values())

    def test_stand_in_the_tree_that_is_drawn(self) -> None:
        drawn = set(re.findall(r"[A-Z]\w+", (errors.__doc__ or "").partition("AppError")[2]))
        assert {error.__name__ for error in all_errors()} - {"AppError"} <= drawn


class TestCloseCodes:
    def test_fit_into_a_close_frame(self) -> None:
        """RFC 6455, section 5.5: 125 bytes, of which the code takes two; 1000 to 2999 are the protocol's own."""
        for code in CloseCode:
            assert len(code.reason.encode()) <= 123
            assert code.value in {1009, 1012} or 4400 <= code.value <= 4999

    def test_name_the_limits_that_are_kept(self) -> None:
        assert f" {frames.MAX_FRAME_BYTES // 1024} KiB" in CloseCode.FRAME_TOO_LARGE.meaning
        assert f" {sockets.HELLO_WITHIN_S:g} s" in CloseCode.HELLO_LATE.meaning

    def test_are_numbers_with_a_word(self) -> None:
        assert (int(CloseCode.NOT_FOUND), CloseCode.NOT_FOUND.reason) == (4404, "not_found")
        assert repr(CloseCode.REPLACED) == "<CloseCode.REPLACED: 4409>"

    def test_send_nobody_back_into_what_closed_them(self) -> None:
        """A phone that came back by itself would close the next one, and so on for ever."""
        by_itself = {ComeBack.AT_ONCE, ComeBack.AFTER_A_SECOND}
        assert {code for code in CloseCode if code.come_back in by_itself} == {
            CloseCode.RESTARTING,
            CloseCode.HELLO_LATE,
            CloseCode.TOO_SLOW,
            CloseCode.UNAVAILABLE,
        }


class TestLogLines:
    def test_that_readme_names_are_written(self) -> None:
        named = re.findall(
            r"^\| `([a-z ]+)` \| ", README.partition("**Logs.**")[2].partition("## ")[0], re.MULTILINE
        )
        code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "backend").rglob("*.py"))
        assert len(named) > 10
        assert [line for line in named if f'"{line}"' not in code] == []


class TestSocket:
    @pytest.mark.parametrize("frame", [*get_args(frames.ClientFrame), *frames.ToClient.__subclasses__()])
    def test_tells_every_frame_with_its_fields(self, frame: type[msgspec.Struct]) -> None:
        assert f"\n| `{signature(frame)}` |" in README

    @pytest.mark.parametrize("event", get_args(events.AnyEvent))
    def test_tells_every_event(self, event: type[msgspec.Struct]) -> None:
        assert f"`{event.__struct_config__.tag}`" in README


def signature(frame: type[msgspec.Struct]) -> str:
    """Such as `add {id, barcode, qty?}`."""
    fields = [f.encode_name + ("" if f.required else "?") for f in msgspec.structs.fields(frame)]
    tag: Any = frame.__struct_config__.tag
    return f"{tag} {{{', '.join(fields)}}}" if fields else str(tag)


class TestPaths:
    def test_exist(self) -> None:
        told = re.findall(r"`(\w[\w./-]*)(?: [^`]*)?`", README)
        told += re.findall(r"\]\((\w[\w./-]*)\)", README)
        told += re.findall(r"^(scripts/[\w-]+)", README, re.MULTILINE)
        paths = {name for name in told if "/" in name or re.search(r"\.(py|md|txt|toml|yml|json)$", name)}
        assert len(paths) > 30
        assert not [path for path in sorted(paths) if not (ROOT / path).exists()]

    def test_of_every_slice_are_told(self) -> None:
        folders = {init.parent.name for init in (ROOT / "backend").glob("*/__init__.py")}
        assert not [name for name in folders if f"`backend/{name}/`" not in README]
