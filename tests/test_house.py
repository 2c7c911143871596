"""The house rules that a reader of one file cannot see: how imports point, what lies where."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
PACKAGES = ("sync", "auth", "persistence")

SHELL = {"asyncio", "anyio", "time", "socket", "sqlite3", "logging", "random", "threading"}
"""What a half that only decides does without."""

# package -> what of ours it may import; a package may always import itself.
BELOW_SHELL = {"sync.core", "sync.forms", "persistence.store", "auth.access"}
LAW: dict[str, set[str]] = {
    "sync.core": set(),
    "sync.forms": set(),
    "sync.inspection": {"sync.core", "sync.forms", "persistence.store"},
    "sync.server": BELOW_SHELL | {"sync.inspection", "auth.revocation"},
    "sync.cluster": BELOW_SHELL,
    "sync.client": BELOW_SHELL,
    "auth": set(),
    "persistence": set(),
}
STORES = {"persistence.memory", "persistence.sqlite", "persistence.postgres"}

TOP = {
    *("pyproject.toml", "sync", "auth", "persistence", "examples", "tests"),
    *("README.md", "LICENSE", "CHANGELOG.md", "Makefile", "requirements.lock"),
}
# Written in two parts, so that this file does not name what it forbids.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"\bpypi\." + "org",
            r"files\.python" + "hosted",
            r"registry\.npm" + "js",
            r"registry\.yarn" + "pkg",
            r"(?<![\w.$}])/(?:wor" + r"k|ro" + r"ot|ho" + r"me)/\w",
        ]
    )
)


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (HOUSE / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports_of(path: Path) -> frozenset[str]:
    return frozenset(_imports_of(path))


def _imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it; relative ones made absolute."""
    package = name_of(path) if path.stem == "__init__" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level]
            prefix = [] if node.level == 0 else base
            module = ".".join([*prefix, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def allowed(module: str, imported: str) -> bool:
    """Whether the law lets a module of ours import another of ours."""
    if not within(imported, set(PACKAGES)) or imported in PACKAGES:
        return True
    home = next((package for package in LAW if within(module, {package})), None)
    if home is None:
        return True
    # `from persistence import store` names the package first, and it is no package of the law's.
    return within(imported, {home, *LAW[home]})


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    wrong = {imported for imported in imports_of(path) if not allowed(name_of(path), imported)}
    assert not wrong


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_cli_names_concrete_stores(path: Path) -> None:
    if not within(name_of(path), {"sync.cli", "persistence"}):
        assert not {imported for imported in imports_of(path) if within(imported, STORES)}


@pytest.mark.parametrize(
    "path", [p for p in modules() if within(name_of(p), {"sync.core", "sync.forms"})], ids=name_of
)
def test_the_half_that_decides_does_nothing_itself(path: Path) -> None:
    assert not {imported for imported in imports_of(path) if within(imported, SHELL)}
    tree = ast.walk(ast.parse(path.read_text()))
    assert not [n for n in tree if isinstance(n, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor)]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_one_module_imports_the_library(path: Path) -> None:
    if name_of(path) != "sync.core.crdt":
        assert not {imported for imported in imports_of(path) if within(imported, {"pycrdt"})}


def test_the_law_is_for_packages_that_are_here() -> None:
    assert within("sync.core.room", {"sync.core"})
    assert not allowed("sync.core.room", "sync.server.hub")
    assert not allowed("sync.server.hub", "persistence.sqlite.store")
    assert not allowed("auth.tokens", "sync.core.errors")
    assert allowed("sync.cli.serve", "persistence.sqlite")
    assert allowed("sync.server.hub", "auth.access.Identity")


def committed() -> list[str]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=HOUSE, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name]


def test_the_top_level_holds_what_belongs_there() -> None:
    top = {name.split("/")[0] for name in committed()}
    assert {name for name in top if not name.startswith(".")} <= TOP


def test_no_file_names_a_registry_or_a_machines_path() -> None:
    found = []
    for name in committed():
        path = HOUSE / name
        if path.is_file() and (match := FORBIDDEN.search(path.read_text(errors="ignore"))):
            found.append(f"{name}: {match.group()}")
    assert not found


@pytest.mark.parametrize("text", ["see /wor" + "k/main", "'/ro" + "ot/x'", "https://pypi." + "org"])
def test_what_is_forbidden_is_found(text: str) -> None:
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("text", ["a/work/b", "$HOME/work/x", "/homepage", "./root/x"])
def test_what_is_not_is_not(text: str) -> None:
    assert not FORBIDDEN.search(text)
