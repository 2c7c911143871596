"""``draftsync docs``: with the server up, down, or killed; for people and for programs."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import sqlite3
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import anyio
import pytest
from pycrdt import Array, Doc, Map, Text

from persistence.sqlite import open_sqlite
from persistence.store import Edit
from tests.cli.conftest import Run
from tests.server.parts import an_edit
from tests.support.client import connect
from tests.support.service import ROOT, ServiceProcess

LONG = "drafts/" + "long-name-" * 24
HEADER = ["document", "edits", "bytes", "last", "author", "last", "edit", "state"]
COMMAND = (sys.executable, "-m", "sync.cli.main")


def sample() -> bytes:
    doc: Doc[Any] = Doc(client_id=7)
    doc.get("answers", type=Map)["clarity"] = 4
    doc.get("answers", type=Map)["verdict"] = "pässt"
    doc.get("tags", type=Array).extend(["a", "b"])
    doc.get("notes", type=Text).insert(0, "fine")
    return doc.get_update()


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    path = tmp_path / "drafts.db"
    async with open_sqlite(path) as store:
        await store.append([Edit("drafts/1", sample(), "alice", (), 1_790_000_000.0)])
        await store.append([an_edit("drafts/2"), an_edit("other"), an_edit(LONG)])
    return path


async def test_the_list(run: Run, database: Path) -> None:
    result = await anyio.to_thread.run_sync(run, "docs", "list", "--database", str(database))
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split() == HEADER
    assert [row.split()[0] for row in rows] == ["drafts/1", "drafts/2", LONG, "other"]
    assert rows[0].split()[1] == "1"
    assert rows[0].split()[3:] == ["alice", "2026-09-21", "14:13:20", "–"]


async def test_a_list_for_programs(run: Run, database: Path) -> None:
    listed = ("docs", "list", "drafts/", "--json", "--database", str(database))
    heads = json.loads((await anyio.to_thread.run_sync(run, *listed)).stdout)
    assert [head["name"] for head in heads] == ["drafts/1", "drafts/2", LONG]
    assert heads[0] == {
        "name": "drafts/1",
        "position": 1,
        "edits": 1,
        "size": len(sample()),
        "last_author": "alice",
        "created_at": "2026-09-21T14:13:20.000Z",
        "updated_at": "2026-09-21T14:13:20.000Z",
        "snapshot": 0,
        "thinned": 0,
    }


async def test_a_document_for_people(run: Run, database: Path) -> None:
    show = ("docs", "show", "drafts/1", "--database", str(database))
    shown = (await anyio.to_thread.run_sync(run, *show)).stdout
    assert "drafts/1   position 1," in shown
    for field, value in (("answers.clarity", "4"), ("answers.verdict", "pässt"), ("notes", "fine")):
        assert [field, value] in [line.split() for line in shown.splitlines()]


async def test_a_document_for_programs(run: Run, database: Path) -> None:
    show = ("docs", "show", "drafts/1", "--json", "--database", str(database))
    shown = json.loads((await anyio.to_thread.run_sync(run, *show)).stdout)
    assert shown["content"] == {
        "answers": {"clarity": 4, "verdict": "pässt"},
        "notes": "fine",
        "tags": ["a", "b"],
    }
    assert (shown["name"], shown["position"], shown["damaged"]) == ("drafts/1", 1, [])
    assert set(shown) == {"name", "content", "position", "head", "epoch", "size", "damaged"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "drafts/none"), 1, "there is no document 'drafts/none'"),
        (("show", "a//b"), 2, "segment"),
        (("show",), 2, "name"),
        (("show", "x", "y"), 2, "y"),
        (("list", "--nonsense"), 2, "--nonsense"),
        (("nonsense",), 2, "nonsense"),
    ],
)
async def test_what_cannot_be_shown(
    run: Run, database: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    given = (*arguments, "--database", str(database)) if len(arguments) > 1 else arguments
    result = await anyio.to_thread.run_sync(run, "docs", *given)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


def test_no_database(run: Run, tmp_path: Path) -> None:
    result = run("docs", "list", "--database", str(tmp_path / "none.db"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"there is no database {tmp_path / 'none.db'}" in result.stderr


def test_no_database_of_ours(run: Run, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam," * 100)
    result = run("docs", "list", "--database", str(tmp_path / "letter.txt"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is no SQLite database" in result.stderr


async def test_beside_a_live_server_and_after_its_death(run: Run, tmp_path: Path) -> None:
    """What is saved is shown at once, also out of the write-ahead log that a SIGKILL left."""
    database = tmp_path / "live.db"

    async def shown() -> dict[str, Any]:
        show = ("docs", "show", "drafts/1", "--json", "--database", str(database))
        content: dict[str, Any] = json.loads((await anyio.to_thread.run_sync(run, *show)).stdout)
        return content["content"]["answers"]  # type: ignore[no-any-return]

    async with ServiceProcess(database) as service:
        async with connect(service.sync_url, "drafts/1", service.token()) as alice:
            await alice.synced()
            await alice.put("q", 1)
            await alice.saved()
            assert await shown() == {"q": 1}
            await alice.put("q", 2)
            await alice.saved()
            await service.kill()
        assert (await anyio.Path(f"{database}-wal").stat()).st_size > 0
        assert await shown() == {"q": 2}
        listed = await anyio.to_thread.run_sync(run, "docs", "list", "--database", str(database))
        assert "drafts/1" in listed.stdout
        await service.start()  # a reader left nothing behind that disturbs a writer
        assert await shown() == {"q": 2}


def on_a_terminal(columns: int, *arguments: str) -> list[str]:
    """What a terminal of so many columns shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment | {"TERM": "xterm"},
        cwd=ROOT,
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while part := os.read(ours, 4_096):
            shown += part
    except OSError:  # Linux says EIO when the other side is closed
        pass
    os.close(ours)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return _plain(shown.decode()).splitlines()


def _plain(text: str) -> str:
    """A text without its colours."""
    shown, *styled = text.split("\x1b[")
    return shown + "".join(part.partition("m")[2] for part in styled)


async def test_tables_fit_a_terminal_of_80_columns(database: Path) -> None:
    listed = ("docs", "list", "--database", str(database))
    lines = await anyio.to_thread.run_sync(on_a_terminal, 80, *listed)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == HEADER
    assert lines[1].split()[0] == "drafts/1"
    assert lines[1].split()[-4:] == ["alice", "2026-09-21", "14:13:20", "–"]


async def test_a_pipe_gets_whole_values_and_no_colours(run: Run, tmp_path: Path) -> None:
    database = tmp_path / "drafts.db"
    async with open_sqlite(database) as store:
        await store.append([an_edit("drafts/1", "q", "word " * 100), an_edit("x" * 255)])
    listed = await anyio.to_thread.run_sync(run, "docs", "list", "--database", str(database))
    assert "x" * 255 in listed.stdout
    show = ("docs", "show", "drafts/1", "--database", str(database))
    shown = await anyio.to_thread.run_sync(run, *show)
    assert ("word " * 100).strip() in shown.stdout
    assert "\x1b" not in listed.stdout + shown.stdout


async def test_a_damaged_document_is_shown_with_its_damage(run: Run, database: Path) -> None:
    other = sqlite3.connect(database)
    other.execute("UPDATE entries SET author = author + 1 WHERE position = 2")
    other.commit()
    other.close()
    show = ("docs", "show", "drafts/2", "--json", "--database", str(database))
    result = await anyio.to_thread.run_sync(run, *show)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["damaged"] == ["entry 2: its checksum does not fit"]
    assert "damaged: entry 2" in result.stderr
