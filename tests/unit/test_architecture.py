"""How the parts may know each other, how long they may be, and that vendored files are what their lock says."""

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "backend"
VENDOR = [BACKEND / "web" / "vendor", ROOT / "tests" / "vendor"]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50

FILES = sorted(BACKEND.rglob("*.py"))
NOT_SLICES = {"errors", "kit", "live", "sandbox"}
SLICES = {init.parent.name for init in BACKEND.glob("*/__init__.py")} - NOT_SLICES
OPEN_TO_ALL = {"backend", "backend.errors", "backend.settings"}
"""What a slice may import of the files beside the slices."""

STORAGE = {"beanie", "pymongo", "bson", "gridfs", "motor"}
PURE = {
    *BACKEND.glob("*/rules.py"),
    *BACKEND.glob("*/rules/*.py"),
    *BACKEND.glob("pricing/*.py"),
    *(BACKEND / "carts" / f"{name}.py" for name in ("state", "events", "commands", "budget")),
    BACKEND / "payments" / "upi.py",
}


class Import(NamedTuple):
    """One name that a file imports."""

    file: Path
    line: int
    target: str
    """The module, dotted."""
    name: str
    """What is taken out of it; empty for the module as a whole."""

    def __str__(self) -> str:
        taken = f" takes {self.name}" if self.name else ""
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.target}{taken}"

    @property
    def package(self) -> str:
        return self.target.partition(".")[0]

    @property
    def part(self) -> str:
        """The folder or file right under `backend` that is imported; empty for other packages."""
        return self.target.split(".")[1] if self.target.startswith("backend.") else ""


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def absolute(file: Path, node: ast.ImportFrom) -> str:
    """The module that names are imported from."""
    if not node.level:
        return node.module or ""
    package = file.relative_to(ROOT).parts[: -node.level]
    return ".".join([*package, *filter(None, [node.module])])


def imports_of(file: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            source = absolute(file, node)
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield Import(file, node.lineno, *((whole, "") if is_module(whole) else (source, alias.name)))


IMPORTS = [found for file in FILES for found in imports_of(file)]


def slice_of(file: Path) -> str:
    """The slice that a file is in; empty for those beside the slices."""
    folder = file.relative_to(BACKEND).parts[0]
    return folder if folder in SLICES else ""


def refuse(offenders: Iterable[object]) -> None:
    listed = sorted(map(str, offenders))
    assert not listed, "\n".join(["", *listed])


class TestPureModules:
    def test_import_no_more_than_they_need(self) -> None:
        """The standard library, msgspec, what of `kit` needs no server, and pure modules of their own slice."""
        drivers = STORAGE | {"redis"}
        common = sys.stdlib_module_names | {"msgspec"}
        common |= {
            dotted(file)
            for file in (BACKEND / "kit").glob("*.py")
            if not any(found.package in drivers for found in imports_of(file))
        }
        own = {file: {dotted(other) for other in PURE if slice_of(other) == slice_of(file)} for file in PURE}
        refuse(
            found
            for found in IMPORTS
            if found.file in PURE and not {found.target, found.package} & (common | own[found.file])
        )

    def test_wait_for_nothing(self) -> None:
        refuse(
            f"{file.relative_to(ROOT)}:{node.lineno} is asynchronous"
            for file in PURE
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        )


class TestServers:
    def test_mongodb_is_met_in_documents_and_stores_alone(self) -> None:
        def may(file: Path) -> bool:
            return (
                file.stem == "documents"
                or file.stem.startswith("store")
                or file == BACKEND / "carts" / "log.py"
                or file.parent == BACKEND / "kit"
            )

        refuse(found for found in IMPORTS if found.package in STORAGE and not may(found.file))

    def test_redis_is_met_in_kit_live_and_the_product_cache_alone(self) -> None:
        def may(file: Path) -> bool:
            return file.parent.name in {"kit", "live"} or file == BACKEND / "catalog" / "cache.py"

        refuse(found for found in IMPORTS if found.package == "redis" and not may(found.file))

    def test_routes_see_no_documents(self) -> None:
        refuse(
            found
            for found in IMPORTS
            if found.file.stem.startswith(("routes", "sockets"))
            and (found.target.endswith(".documents") or found.name.endswith("Document"))
        )


class TestSlices:
    def test_meet_through_what_they_offer(self) -> None:
        offered = {name: set(names_offered(BACKEND / name / "__init__.py")) for name in SLICES}
        refuse(
            found
            for found in IMPORTS
            if found.part in SLICES
            and found.part != slice_of(found.file)
            and (found.target.count(".") > 1 or (found.name and found.name not in offered[found.part]))
        )

    def test_know_nothing_of_the_files_that_put_them_together(self) -> None:
        allowed = SLICES | NOT_SLICES
        refuse(
            found
            for found in IMPORTS
            if slice_of(found.file)
            and found.package == "backend"
            and found.target not in OPEN_TO_ALL
            and found.part not in allowed
        )

    def test_kit_and_live_know_no_slice(self) -> None:
        allowed = {"kit": {"", "errors", "kit"}, "live": {"", "errors", "kit", "live"}}
        refuse(
            found
            for found in IMPORTS
            if found.package == "backend"
            and found.part not in allowed.get(found.file.relative_to(BACKEND).parts[0], {found.part})
        )

    def test_sandbox_and_shop_know_nothing_of_each_other(self) -> None:
        refuse(
            found
            for found in IMPORTS
            if found.package == "backend"
            and (found.part == "sandbox") != (found.file.relative_to(BACKEND).parts[0] == "sandbox")
        )

    def test_form_no_circle(self) -> None:
        known: dict[str, set[str]] = {name: set() for name in SLICES}
        for found in IMPORTS:
            if slice_of(found.file) and found.part in SLICES - {slice_of(found.file)}:
                known[slice_of(found.file)].add(found.part)
        while free := [name for name, others in known.items() if not others & known.keys()]:
            for name in free:
                del known[name]
        refuse(f"{name} imports {', '.join(sorted(others & known.keys()))}" for name, others in known.items())


def names_offered(init: Path) -> list[str]:
    """The `__all__` of a package, or all that it assigns."""
    assigned = {
        target.id: node.value
        for node in ast.parse(init.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return list(map(str, ast.literal_eval(assigned["__all__"]))) if "__all__" in assigned else list(assigned)


class TestLengths:
    FILES = [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]

    def test_of_files(self) -> None:
        lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in self.FILES}
        refuse(
            f"{file.relative_to(ROOT)} has {length} lines: split it by use case"
            for file, length in lengths.items()
            if length > MAX_FILE_LINES
        )

    def test_of_functions(self) -> None:
        refuse(
            f"{file.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines"
            for file in self.FILES
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
        )


@pytest.mark.parametrize("vendor", VENDOR, ids=lambda folder: folder.parent.name)
class TestVendoredFiles:
    def test_are_those_of_the_lock(self, vendor: Path) -> None:
        found = {
            file.relative_to(vendor).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in vendor.rglob("*")
            if file.is_file() and file != vendor / "lock.json"
        }
        locked = {
            f"{module['name']}/{name}": checksum
            for module in modules(vendor)
            for name, checksum in module["files"].items()
        }
        assert found == locked, "run scripts/renew-vendor"

    def test_come_with_their_licences(self, vendor: Path) -> None:
        refuse(
            f"{module['name']} has no LICENSE"
            for module in modules(vendor)
            if "LICENSE" not in module["files"]
        )
        refuse(f"{module['name']} names no licence" for module in modules(vendor) if not module["licence"])


def modules(vendor: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((vendor / "lock.json").read_text(encoding="utf-8"))["modules"]
    assert found
    return found
