"""``draftsync docs restore``: what will change, and the edit that changes it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from pycrdt import Map

from persistence.store import Reader
from tests.cli.conftest import Run
from tests.cli.databases import evaluation, everything, held, read
from tests.support.client import ROOT as ANSWERS
from tests.support.client import Peer, connect
from tests.support.service import ROOT, SECRET, ServiceProcess

FIRST = 4  # the position of the first edit of notes/x


@pytest.fixture
def database(tmp_path: Path) -> Path:
    evaluation(tmp_path / "drafts.db")
    return tmp_path / "drafts.db"


@pytest.fixture
def restore(run: Run, database: Path) -> Run:
    return partial(run, "docs", "restore", "--database", str(database))


def test_to_a_position(restore: Run, database: Path) -> None:
    """By one more edit, of the operator's; everything before is still there."""
    before = read(database, everything)["documents"]["notes/x"]["edits"]
    told = json.loads(restore("notes/x", "--at", str(FIRST + 1), "--json").stdout)
    assert (told["restored_to"], told["position"], told["dry_run"]) == (FIRST + 1, 9, False)
    changes = [(each["field"], each.get("before"), each.get("after")) for each in told["changes"]]
    assert changes[0][0] == "comment/polite"
    assert ("ratings.alice/polite", 5, 4) in changes
    assert held(database, "notes/x")["ratings"] == {"alice/polite": 4, "bob/polite": 2}
    past = read(database, partial(reading, "notes/x"))
    assert [entry.edit for entry in past.entries[:-1]] == before
    last = past.entries[-1].edit
    assert (last.author, last.connection, last.offline) == ("operator", 0, False)
    assert last.clients
    assert {each.introduced for each in last.clients} == {False}


async def reading(document: str, reader: Reader) -> Any:
    return await reader.past(document)


def test_to_a_time(restore: Run, database: Path) -> None:
    """Times lie between edits: 2026-09-21 14:25:00 is when alice had answered, and bob had not."""
    result = restore("notes/x", "--at", "2026-09-21T14:25:03Z")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "notes/x was restored by the edit at position 9" in result.stdout
    assert held(database, "notes/x")["ratings"] == {"alice/polite": 4}


def test_a_dry_run(restore: Run, database: Path) -> None:
    before = read(database, everything)
    result = restore("notes/x", "--at", str(FIRST), "--dry-run")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["field", "now", "then"]
    assert ["ratings.alice/polite", "5", "4"] in lines
    assert ["ratings.bob/polite", "2", "–"] in lines
    assert "nothing was changed" in result.stdout
    assert read(database, everything) == before


def test_in_words_of_the_form(restore: Run) -> None:
    """Though the session is stopped: administrators may."""
    result = restore("drafts/s1/c1", "--at", "1")
    assert "correct · alice true –" in result.stdout
    assert "was restored" in result.stdout


def test_nothing_to_change(restore: Run, database: Path) -> None:
    result = restore("notes/x", "--at", "8")
    assert result.exit_code == 0
    assert "nothing to change" in result.stdout
    assert len(read(database, partial(reading, "notes/x")).entries) == 5


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("notes/x", "--at", "3"), 1, "was not there yet at 3"),
        (("notes/x", "--at", "2026-01-01"), 1, "was not there yet at 2026-01-01"),
        (("notes/x", "--at", "yesterday"), 2, "expected a position such as 4711"),
        (("none", "--at", "3"), 1, "there is no document 'none'"),
        (("notes/x", "--dry-run"), 2, "--at"),
        (("a//b", "--at", "1"), 2, "segment"),
    ],
)
def test_what_is_refused(
    restore: Run, database: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    before = read(database, everything)
    result = restore(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert read(database, everything) == before


def test_a_deleted_one_is_brought_back_first(run: Run, restore: Run, database: Path) -> None:
    run("docs", "delete", "notes/x", "--yes", "--database", str(database))
    result = restore("notes/x", "--at", str(FIRST))
    assert result.exit_code == 1
    assert "bring it back first" in result.stderr


async def test_by_the_service_where_one_runs(tmp_path: Path) -> None:
    """Who has the document open sees it change, and goes on."""
    database = tmp_path / "live.db"
    async with (
        ServiceProcess(database) as service,
        connect(service.sync_url, "notes/x", service.token(), peer=Peer()) as alice,
    ):
        restore = partial(restored, service, database)
        await alice.synced()
        for key, value in (("q", 1), ("q", 2), ("q2", 2)):
            await alice.put(key, value)
            await alice.saved()
        shown = await anyio.to_thread.run_sync(partial(restore, "1", "--dry-run"))
        assert [each["field"] for each in shown["changes"]] == ["answers.q", "answers.q2"]
        assert alice.peer.answers == {"q": 2, "q2": 2}
        told = await anyio.to_thread.run_sync(partial(restore, "1"))
        assert told["restored_to"] == 1
        assert [each["field"] for each in told["changes"]] == ["answers.q", "answers.q2"]
        await alice.sees("q", 1)
        await alice.put("q3", 3)
        await alice.saved()
        answers = alice.peer.doc.get(ANSWERS, type=Map)
        assert answers.to_py() == {"q": 1, "q3": 3}


def restored(service: ServiceProcess, database: Path, at: str, *more: str) -> Any:
    command = [sys.executable, "-m", "sync.cli.main", "docs", "restore", "notes/x", "--at", at]
    done = subprocess.run(
        [*command, "--json", *more],
        env={
            "DRAFTSYNC_DATABASE": str(database),
            "DRAFTSYNC_JWT_SECRET": SECRET,
            "DRAFTSYNC_PORT": str(service.port),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_lost_of_the_history_is_not_taken_out_of_the_document(
    run: Run, restore: Run, database: Path
) -> None:
    """A snapshot has it; what the document was when it came can be read from its edits alone."""
    assert run("docs", "compact", "--all", "--database", str(database)).exit_code == 0
    whole = held(database, "notes/x")
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("UPDATE entries SET author = author + 1 WHERE position = ?", (FIRST + 1,))
        raw.commit()
    result = restore("notes/x", "--at", str(FIRST + 2))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"its edit at position {FIRST + 1} is damaged" in result.stderr
    assert restore("notes/x", "--at", str(FIRST)).exit_code == 0
    assert held(database, "notes/x") != whole
