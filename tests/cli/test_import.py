"""``draftsync docs import``: archives, updates, Hocuspocus; all of it, once, and nothing bad."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from pycrdt import Map

from persistence.store import Acknowledgement, Deletion, Edit, Reader, Store
from sync.cli import import_sources
from sync.core.content import content
from sync.inspection.archive import (
    DELETIONS,
    DOCUMENTS,
    MANIFEST,
    SESSIONS,
    ArchiveReader,
    ArchiveWriter,
)
from tests.cli.conftest import Run
from tests.cli.databases import Person, evaluation, everything, held, read, write
from tests.cli.evaluation import NOON
from tests.support.client import Peer, connect
from tests.support.service import ROOT, SECRET, ServiceProcess

NEW = "new.db"
POISON = bytes.fromhex("0102e907000701017200000000")
"""A block of length 0; it would poison the document (reliability.md, section 1)."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    evaluation(tmp_path / "drafts.db")
    return tmp_path / "drafts.db"


@pytest.fixture
def archive(run: Run, database: Path, tmp_path: Path) -> Path:
    return archived(run, database, tmp_path / "all.zip")


@pytest.fixture
def take(run: Run, tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Import into a new database; returns the exit code, what is told, and the errors."""

    def take(*arguments: object) -> tuple[int, dict[str, Any], str]:
        into = ("--json", "--database", str(tmp_path / NEW))
        result = run("docs", "import", *map(str, arguments), *into)
        return result.exit_code, json.loads(result.stdout) if result.stdout else {}, result.stderr

    return take


Take = Callable[..., tuple[int, dict[str, Any], str]]


def test_an_archive_and_back(take: Take, database: Path, archive: Path, tmp_path: Path) -> None:
    """The same content at every position, authors, times, connections, events, states."""
    code, told, errors = take(archive)
    assert (code, errors) == (0, "")
    assert (told["documents"], told["edits"], told["known"], told["sessions"]) == (3, 8, 0, 1)
    assert read(tmp_path / NEW, everything) == read(database, everything)
    sessions = read(tmp_path / NEW, lambda reader: reader.sessions())
    assert sessions[0].current.epoch != read(database, lambda r: r.sessions())[0].current.epoch


def test_importing_twice_adds_nothing(take: Take, archive: Path, tmp_path: Path) -> None:
    take(archive)
    before = read(tmp_path / NEW, everything)
    code, told, errors = take(archive)
    assert (code, told["edits"], told["known"], told["sessions"]) == (0, 0, 8, 0)
    assert "the session 's1' is here already" in errors
    assert read(tmp_path / NEW, everything) == before


def test_an_archive_merges(take: Take, archive: Path, tmp_path: Path) -> None:
    carol = Person("notes/x", "carol", 9)

    async def edit(store: Store) -> None:
        await store.append([carol.rate("polite", 1, 0)])

    write(tmp_path / NEW, edit)
    code, told, _ = take(archive)
    assert (code, told["edits"]) == (0, 8)
    ratings = held(tmp_path / NEW, "notes/x")["ratings"]
    assert ratings == {"alice/polite": 5, "bob/polite": 2, "carol/polite": 1}


def test_nothing_is_written_in_a_dry_run(take: Take, archive: Path, tmp_path: Path) -> None:
    async def nothing(_: Store) -> None: ...

    write(tmp_path / NEW, nothing)
    code, told, _ = take(archive, "--dry-run")
    assert (code, told["edits"], told["sessions"], told["dry_run"]) == (0, 8, 1, True)
    assert read(tmp_path / NEW, everything) == {"documents": {}, "sessions": {}, "deletions": []}


def test_deletions_come_along(run: Run, take: Take, database: Path, tmp_path: Path) -> None:
    async def delete(store: Store) -> None:
        await store.delete(Deletion("notes/x", "root", NOON))
        await store.delete(Deletion("drafts/s1/c1", "root", NOON))
        while await store.purge("drafts/s1/c1"):
            pass

    write(database, delete)
    target = archived(run, database, tmp_path / "all.zip")
    code, told, errors = take(target)
    assert (code, told["deletions"], errors) == (0, 2, "")
    assert read(tmp_path / NEW, everything) == read(database, everything)
    code, told, errors = take(target)
    assert (code, told["deletions"], told["edits"]) == (0, 0, 0)
    assert "it was deleted here by root" in errors


def archived(run: Run, database: Path, target: Path) -> Path:
    made = ("--all", "--format", "archive", "-o", str(target), "--database", str(database))
    assert run("docs", "export", *made).exit_code == 0
    return target


def test_what_happened_there_is_not_delivered_here(
    take: Take, archive: Path, tmp_path: Path
) -> None:
    """Webhooks begin behind what was imported."""

    async def enlist(store: Store) -> None:
        await store.enlist("https://example.org/hooks")

    write(tmp_path / NEW, enlist)
    assert take(archive)[1]["events"] > 0
    assert read(tmp_path / NEW, lambda r: r.behind("https://example.org/hooks")) == []


def test_events_that_were_removed_are_not_counted(
    run: Run, take: Take, database: Path, tmp_path: Path
) -> None:
    """What members have received is told by other offsets then."""

    async def truncate(store: Store) -> None:
        await store.acknowledge([Acknowledgement("s1", "bob", 6)])
        assert await store.truncate("s1", NOON + 30) == 3

    write(database, truncate)
    assert take(archived(run, database, tmp_path / "all.zip"))[0] == 0
    [before] = read(database, lambda reader: reader.sessions())
    [after] = read(tmp_path / NEW, lambda reader: reader.sessions())
    assert (before.truncated, after.truncated, after.top) == (3, 0, before.top - 3)
    assert before.acknowledged == {"alice": 3, "bob": 6}
    assert after.acknowledged == {"bob": 3}
    events = read(database, lambda reader: reader.events("s1"))
    assert [each.event for each in events] == [
        each.event for each in read(tmp_path / NEW, lambda reader: reader.events("s1"))
    ]


def test_thinned_history_comes_as_one_edit(
    run: Run, take: Take, database: Path, tmp_path: Path
) -> None:
    compact = ("notes/x", "--history-seconds", "0", "--database", str(database))
    assert run("docs", "compact", *compact).exit_code == 0
    target = archived(run, database, tmp_path / "all.zip")
    code, told, _ = take(target)
    assert (code, told["edits"]) == (0, 4)
    assert held(tmp_path / NEW, "notes/x") == held(database, "notes/x")


@pytest.mark.parametrize("part", [DOCUMENTS, MANIFEST])
def test_a_changed_archive_is_refused_whole(
    take: Take, archive: Path, tmp_path: Path, part: str
) -> None:
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(changed, "w") as file:
        for name in whole.namelist():
            data = whole.read(name)
            file.writestr(name, data[:-3] if name == part else data)
    code, told, errors = take(changed)
    assert (code, told) == (1, {})
    assert "changed.zip" in errors
    assert not (tmp_path / NEW).exists()


def test_an_archive_that_was_cut_off(take: Take, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:-40])
    code, _, errors = take(tmp_path / "cut.zip")
    assert code == 1
    assert "no whole archive" in errors


def test_an_archive_of_a_newer_version(take: Take, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "newer.zip", "w") as file:
        file.writestr(MANIFEST, json.dumps({"format": "draftsync-archive", "version": 2}))
    code, _, errors = take(tmp_path / "newer.zip")
    assert code == 1
    assert "it is of version 2" in errors


def update(document: str = "notes/x", client: int = 7) -> bytes:
    person = Person(document, "alice", client)
    person.rate("polite", 4, 0)
    person.note("fine", 0)
    return person.doc.get_update()


def test_a_folder_of_updates(take: Take, tmp_path: Path) -> None:
    """As dumps of y-websocket's leveldb, and as our own export writes them."""
    folder = tmp_path / "dump"
    folder.mkdir()
    (folder / "drafts%2F42.update").write_bytes(update())
    (folder / "p%C3%A4sst%25.update").write_bytes(update())
    (folder / "README").write_text("not one of them")
    code, told, errors = take(folder)
    assert (code, told["documents"], told["edits"], errors) == (0, 2, 2, "")
    assert held(tmp_path / NEW, "drafts/42") == content(update())
    assert held(tmp_path / NEW, "pässt%") == content(update())
    edit = read(tmp_path / NEW, partial(first_edit, "drafts/42"))
    assert edit.author == "operator"
    assert [each.introduced for each in edit.clients] == [True]
    assert take(folder)[1]["known"] == 2


async def first_edit(document: str, reader: Reader) -> Edit:
    return (await reader.past(document)).entries[0].edit


def test_an_export_of_long_names_and_back(run: Run, take: Take, tmp_path: Path) -> None:
    name = "é" * 100 + "/..."

    async def edit(store: Store) -> None:
        await store.append([Edit(name, update(), "alice", (), NOON)])

    write(tmp_path / "drafts.db", edit)
    made = ("--all", "--format", "update", "-o", str(tmp_path / "out"))
    assert run("docs", "export", *made, "--database", str(tmp_path / "drafts.db")).exit_code == 0
    assert take(tmp_path / "out")[1]["edits"] == 1
    assert held(tmp_path / NEW, name) == content(update())


def test_one_file_by_another_name(take: Take, tmp_path: Path) -> None:
    (tmp_path / "dump.bin").write_bytes(update())
    assert take(tmp_path / "dump.bin", "--name", "drafts/100%")[0] == 0
    assert held(tmp_path / NEW, "drafts/100%") == content(update())


def hocuspocus(path: Path, **documents: bytes) -> Path:
    """A database as extension-sqlite of Hocuspocus makes it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            'CREATE TABLE IF NOT EXISTS "documents" '
            '("name" varchar(255) NOT NULL, "data" blob NOT NULL, UNIQUE(name))'
        )
        connection.executemany("INSERT INTO documents VALUES (?, ?)", documents.items())
        connection.commit()
    return path


def test_a_hocuspocus_database(take: Take, tmp_path: Path) -> None:
    path = hocuspocus(tmp_path / "db.sqlite", **{"a/1": update(), "b": update(client=9)})
    code, told, errors = take(path)
    assert (code, told["edits"], errors) == (0, 2, "")
    assert held(tmp_path / NEW, "a/1") == held(tmp_path / NEW, "b") == content(update())


def test_what_is_bad_is_named_and_the_rest_imported(take: Take, tmp_path: Path) -> None:
    gap = Person("x", "alice", 7)
    gap.rate("polite", 1, 0)
    late = gap.rate("polite", 2, 0).update
    documents = {"good": update(), "poison": POISON, "gap": late, "a//b": update(), "cut": b"\x01"}
    code, told, errors = take(hocuspocus(tmp_path / "db.sqlite", **documents))
    assert (code, told["edits"], len(told["refused"])) == (1, 1, 4)
    assert "a struct of length 0" in errors
    assert "it stands on edits that are not there, of clients [7]" in errors
    assert "segment" in errors
    assert "4 could not be imported" in errors
    assert held(tmp_path / NEW, "good") == content(update())
    assert read(tmp_path / NEW, lambda r: r.head("poison")) is None


def test_a_document_that_is_too_large(run: Run, tmp_path: Path) -> None:
    person = Person("x", "alice", 7)
    person.note("long " * 1_000, 0)
    (tmp_path / "x.update").write_bytes(person.doc.get_update())
    (tmp_path / "draftsync.toml").write_text("document_limit = 1024\n")
    result = run("docs", "import", "x.update", "--database", NEW)
    assert result.exit_code == 1
    assert "documents are of no more than 1,024" in result.stderr


def test_what_is_no_source(take: Take, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.update").write_bytes(update())
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE letters (text)")
    for arguments, code, says in [
        ((tmp_path / "none",), 1, "cannot be read"),
        ((tmp_path / "empty",), 1, "has no files that end in .update"),
        ((tmp_path / "other.db",), 1, "not one of Hocuspocus"),
        ((tmp_path / "x.update", "--name", "a//b"), 2, "segment"),
        ((tmp_path / "x.update", tmp_path / "x.update", "--name", "a"), 1, "one update file"),
    ]:
        failed, told, errors = take(*arguments)
        assert (failed, told) == (code, {}), says
        assert says in errors
    assert not (tmp_path / NEW).exists()


async def test_by_the_service_where_one_runs(archive: Path, tmp_path: Path) -> None:
    """It takes updates, and who has the document open sees them; an archive it does not take."""
    folder = tmp_path / "updates"
    await anyio.to_thread.run_sync(write_updates, folder, {"notes%2Fx": update(), "bad": POISON})
    async with ServiceProcess(tmp_path / "live.db") as service:
        take = partial(imported, service, tmp_path / "live.db")
        async with connect(service.sync_url, "notes/x", service.token(), peer=Peer()) as alice:
            await alice.synced()
            code, told, errors = await anyio.to_thread.run_sync(take, folder)
            assert (code, told["edits"], len(told["refused"])) == (1, 1, 1)
            assert "a struct of length 0" in errors
            ratings = alice.peer.doc.get("ratings", type=Map)
            await alice.until(lambda: ratings.to_py() == {"alice/polite": 4})
        code, told, errors = await anyio.to_thread.run_sync(take, archive)
        assert (code, told) == (1, {})
        assert "stop it, import, and start it again" in errors


def write_updates(folder: Path, updates: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, each in updates.items():
        (folder / f"{name}.update").write_bytes(each)


def imported(service: ServiceProcess, database: Path, path: Path) -> tuple[int, Any, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sync.cli.main", "docs", "import", str(path), "--json"],
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
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


# -- from somebody who means no good


def forged(path: Path, **parts: list[dict[str, Any]]) -> Path:
    """An archive whose checksums are right, of lines that no database gave."""
    with path.open("wb") as file:
        writer = ArchiveWriter(file, {})
        for name in (DOCUMENTS, DELETIONS, SESSIONS):
            with writer.part(name) as lines:
                for line in parts.get(name.partition(".")[0], ()):
                    lines.write(line)
        writer.finish()
    return path


def test_a_session_that_no_service_could_read_is_refused(
    run: Run, take: Take, archive: Path, tmp_path: Path
) -> None:
    with archive.open("rb") as file:
        whole, *events = list(ArchiveReader(file).lines(SESSIONS))
    sessions: list[dict[str, Any]] = []
    for change in ({"state": "begun"}, {"body": "{}"}, {"session": "../s"}, {"session": "a\x1bb"}):
        sessions += [dict(whole) | change, *map(dict, events)]
    sessions += [dict(whole) | {"session": "bad-event"}, dict(events[0]) | {"data": "["}]
    sessions += [dict(whole) | {"session": "no-event"}, dict(whole), *map(dict, events)]
    code, told, errors = take(forged(tmp_path / "forged.zip", sessions=sessions))
    assert (code, told["sessions"], len(told["refused"])) == (1, 1, 6)
    assert "\x1b" not in errors
    listed = run("sessions", "list", "--json", "--database", str(tmp_path / NEW))
    assert [each["id"] for each in json.loads(listed.stdout)] == ["s1"]
    assert listed.stderr == ""


def test_what_is_no_name_is_not_deleted(take: Take, tmp_path: Path) -> None:
    lines = [
        {"document": each, "by": "root", "at": NOON, "purged": True}
        for each in ("a/../b", "", "x\x07", "good")
    ]
    code, told, _ = take(forged(tmp_path / "forged.zip", deletions=lines))
    assert (code, told["deletions"], len(told["refused"])) == (1, 1, 3)


def test_nothing_of_a_zip_is_unpacked(take: Take, archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("../../slipped", "x")
    before = {*tmp_path.parent.rglob("*")}
    assert take(archive)[0] == 0
    assert not [each for each in {*tmp_path.parent.rglob("*")} - before if "slipped" in each.name]


def test_folders_are_no_parts_of_names(take: Take, tmp_path: Path) -> None:
    """drafts/42.update would be the document drafts42, which nobody meant."""
    (tmp_path / "dump" / "drafts").mkdir(parents=True)
    (tmp_path / "dump" / "drafts" / "42.update").write_bytes(update())
    code, told, errors = take(tmp_path / "dump")
    assert (code, told["edits"]) == (1, 0)
    assert "percent-encoded" in errors


def test_a_hostile_database(take: Take, tmp_path: Path) -> None:
    """Rows that are no text spoil no others; nothing in a schema is carried out."""
    path = hocuspocus(tmp_path / "db.sqlite", good=update())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO documents VALUES (CAST(x'ff' AS TEXT), x'00')")
        connection.execute("INSERT INTO documents VALUES (5, 'text')")
        connection.commit()
    code, told, errors = take(path)
    assert (code, told["edits"], len(told["refused"])) == (1, 1, 2)
    assert errors.count("a row of Hocuspocus is a name and bytes") == 2


def test_a_pipe_and_what_is_too_large(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.update")
    code, _, errors = take(tmp_path / "pipe.update")
    assert (code, "is no file" in errors) == (1, True)
    monkeypatch.setattr(import_sources, "MOST_BYTES", 10)
    (tmp_path / "x.update").write_bytes(update())
    code, told, errors = take(tmp_path / "x.update")
    assert (code, told["edits"], "no more than 10 bytes" in errors) == (1, 0, True)
