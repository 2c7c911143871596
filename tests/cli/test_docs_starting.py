"""How much a command imports: who looks into a draft does not wait for the server's libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from sync.cli import docs, main
from tests.cli.conftest import Run
from tests.support.million import make
from tests.support.service import ROOT

HEAVY = {
    "cryptography",
    "fastapi",
    "httpx",
    "hypercorn",
    "jwt",
    "prometheus_client",
    "pydantic",
    "sqlite_utils",
    "starlette",
    "structlog",
    "sync.server.hub",
    "sync.server.settings",
    "websockets",
}

TELL = """
import json, sys
from sync.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
    sys.exit(end.code)
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "drafts.db"
    assert anyio.run(make, path, 10, 200) >= 200
    return path


def imported_by(*arguments: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", TELL, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(ended.stderr.splitlines()[-1]))


def test_a_list_in_a_pipe_needs_neither_the_server_nor_the_library(database: Path) -> None:
    imported = imported_by("docs", "list", "--database", str(database))
    assert "sync.cli.docs.listing" in imported
    assert not imported & (HEAVY | {"pycrdt", "rich", "sync.cli.demo", "sync.cli.sessions"})


@pytest.mark.parametrize("command", ["show", "history", "blame"])
def test_looking_into_a_draft_needs_no_server(database: Path, command: str) -> None:
    name = "drafts/evaluation-1/case-001"
    imported = imported_by("docs", command, name, "--database", str(database))
    assert "pycrdt" in imported
    assert not imported & (HEAVY | {"rich"})


def test_help_tells_of_every_command(run: Run) -> None:
    for arguments, commands in (((), main.COMMANDS), (("docs",), docs.COMMANDS)):
        told = run(*arguments, "--help")
        assert told.exit_code == 0
        listed = {line.split()[0] for line in told.stdout.splitlines() if line.startswith("  ")}
        assert set(commands) <= listed
        for command in commands:
            assert run(*arguments, command, "--help").exit_code == 0


def test_each_command_has_an_example(run: Run) -> None:
    alone = main.COMMANDS.keys() - {"docs", "forms", "sessions", "webhooks", "demo"}
    for words in (
        *((each,) for each in sorted(alone)),
        *(("docs", each) for each in docs.COMMANDS),
    ):
        told = " ".join(run(*words, "--help").stdout.split())
        assert f"For example: draftsync {' '.join(words)}" in told, words


def test_a_misspelt_command_is_recognised(run: Run) -> None:
    result = run("docs", "histroy")
    assert result.exit_code == 2
    assert "history" in result.stderr


def test_what_is_missing_or_wrong_is_told(run: Run) -> None:
    for words, says in (
        (("show",), "Missing argument 'name'"),
        (("delete", "--yes"), "Missing argument"),
        (("history", "x", "--limit", "-1"), "--limit"),
        (("list", "--sort", "colour"), "--sort"),
        (("list", "--config", "none.toml"), "--config"),
    ):
        result = run("docs", *words)
        assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def complete(words: str, word: int, database: Path) -> str:
    """What a shell is told at the end of a command line, and what it would print into it."""
    environment = {
        "_DRAFTSYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(word),
        "DRAFTSYNC_DATABASE": str(database),
    }
    return CliRunner().invoke(main.app, [], prog_name="draftsync", env=environment).output


def test_a_shell_completes_commands_and_names(database: Path, tmp_path: Path) -> None:
    assert "blame" in complete("draftsync docs ", 2, database).split()
    names = complete("draftsync docs show drafts/evaluation-1/case-00", 3, database).split()
    assert "drafts/evaluation-1/case-003" in names
    assert complete("draftsync docs show dr", 3, tmp_path / "none.db").split() == []


# -- the one setting


def test_the_database_is_found_where_the_settings_find_it(
    run: Run, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'database = "{database}"\nport = 1')
    (tmp_path / "draftsync.toml").write_text('database = "none-in-toml.db"')
    assert "none-in-toml.db" in run("docs", "list").stderr
    assert "drafts/evaluation-1" in run("docs", "list", "--config", str(other)).stdout
    monkeypatch.setenv("DRAFTSYNC_DATABASE", "none-in-environment.db")
    assert "none-in-environment.db" in run("docs", "list", "--config", str(other)).stderr
    given = run("docs", "list", "--config", str(other), "--database", str(database))
    assert "drafts/evaluation-1" in given.stdout
    monkeypatch.delenv("DRAFTSYNC_DATABASE")
    (tmp_path / "draftsync.toml").unlink()
    assert "there is no database" in run("docs", "list").stderr
    assert "draftsync.db" in run("docs", "list").stderr


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('database = "postgres://x"', "SQLite"),
        ("database = 5", "--database"),
        ("database = ", "--config"),
    ],
)
def test_a_database_that_is_none_is_a_usage_error(
    run: Run, tmp_path: Path, toml: str, says: str
) -> None:
    (tmp_path / "draftsync.toml").write_text(toml)
    result = run("docs", "list")
    assert result.exit_code == 2
    assert says in result.stderr


def test_the_version_is_told(run: Run) -> None:
    told = run("--version")
    assert (told.exit_code, told.stdout) == (0, f"draftsync {version('draftsync')}\n")
