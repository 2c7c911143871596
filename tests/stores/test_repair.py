"""Repairs: what can be made again is, the rest is put aside, and a second look finds no damage."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from persistence.sqlite import checkup, repair, repair_salvage
from persistence.sqlite.checkup import Report
from persistence.sqlite.log_file import frames, log_of
from persistence.sqlite.reading import FileReader
from persistence.sqlite.repair import Deep
from persistence.sqlite.repair_mend import mended
from persistence.sqlite.writing import FileWriter
from persistence.store import (
    Deletion,
    Position,
    Revocation,
    Snapshot,
    StoreInUse,
    StoreTooNew,
    StoreUnavailable,
)
from sync.cli.doctor import DEEP
from sync.core.crdt import Replica
from sync.core.replay import replay
from tests.stores.faults import NEVER, Faults
from tests.stores.support import edit
from tests.stores.test_sqlite_damage import flip_for_good, raw_connection, rows
from tests.support.ailing import NOON, Written, read, updates, write

SEED = 20_261_124
TABLES = (
    "names",
    "ids",
    "entries",
    "tallies",
    "snapshots",
    "session_states",
    "session_logs",
    "session_events",
)


def damage(report: Report) -> list[tuple[str, str]]:
    return [(each.code, each.text) for each in report.findings if each.severity == "damage"]


def mend(database: Path, connect: Callable[[Path], sqlite3.Connection] | None = None) -> Report:
    """Repair what a checkup finds; return what another one finds."""
    found = checkup.examine(database, DEEP.look)
    repair.repair(database, found, DEEP, connect=connect)
    return checkup.examine(database, DEEP.look)


def aside(database: Path) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(database)) as raw:
        return raw.execute(
            "SELECT source, name, position FROM quarantine ORDER BY source, name, position"
        ).fetchall()


@pytest.mark.parametrize("table", TABLES)
def test_one_wrong_byte_is_put_right(database: Path, table: str) -> None:
    sound = write(database)
    whole = database.read_bytes()
    random_ = random.Random(f"{SEED} {table}")
    with raw_connection(database) as raw:
        columns = [name.decode() for _, name, *_ in raw.execute(f"PRAGMA table_info({table})")]
    for column in columns:
        database.write_bytes(whole)
        with raw_connection(database) as raw:
            row = random_.choice(rows(raw, table))
            flip_for_good(raw, row, column, random_)
        assert damage(mend(database)) == [], column
        now = read(database)
        if (table, column) != ("session_events", "session"):  # nobody knows whose it was
            assert now.events == sound.events, column
        assert _contents(now) == _contents(sound), column


def _contents(written: Written) -> dict[str, object]:
    """Documents without what a repair may make again: when a snapshot was taken, and where."""
    return {name: _updates(written, name) for name in written.documents}


def _updates(written: Written, name: str) -> bytes:
    stored = written.documents[name]
    snapshot = stored.snapshot.update if stored.snapshot else None
    return replay(snapshot, [entry.edit.update for entry in stored.entries]).document.encode()


def spoil(database: Path, where: str, table: str = "entries", size: int = 9_000) -> None:
    """Let no byte of a row's update be what it was. (A small row is looked for longer.)"""
    with raw_connection(database) as raw:
        raw.execute(f'UPDATE {table} SET "update" = zeroblob({size}) WHERE {where}')


def test_what_cannot_be_read_is_put_aside_with_its_bytes(database: Path) -> None:
    sound = write(database)
    spoil(database, "position = 25", size=40)
    report = mend(database)
    assert damage(report) == []
    assert "entry.pending" in {each.code for each in report.findings}  # the ones that stand on it
    assert aside(database) == [("entries", "drafts/1", 25)]
    with closing(sqlite3.connect(database)) as raw:
        [(reason, columns)] = raw.execute("SELECT reason, columns FROM quarantine")
    assert reason == "its checksum did not fit"
    assert base64.b64decode(json.loads(columns)["update"]["base64"]) == bytes(40)
    now = read(database)
    kept = [e for e in sound.documents["drafts/1"].entries if e.position != 25]
    assert list(now.documents["drafts/1"].entries) == kept
    others = {name: one for name, one in now.documents.items() if name != "drafts/1"}
    assert others == {name: sound.documents[name] for name in others}


def test_a_row_that_is_there_twice_is_put_aside(database: Path) -> None:
    sound = write(database)
    with raw_connection(database) as raw:
        [row] = raw.execute("SELECT * FROM entries WHERE position = 25").fetchall()
        stray = (row[0], row[1] + 2**24, *row[2:])  # one byte of its position is wrong
        raw.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", stray)
    assert damage(mend(database)) == []
    assert aside(database) == [("entries", "drafts/1", 25 + 2**24)]
    assert read(database).documents["drafts/1"].entries == sound.documents["drafts/1"].entries


def test_a_second_repair_finds_nothing_to_do(database: Path) -> None:
    write(database)
    spoil(database, "position IN (2, 25, 26, 60)")
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM entries WHERE position = 140")
        raw.execute("DELETE FROM session_events WHERE session = 2 AND offset = 7")
    first = mend(database)
    kept, now = aside(database), read(database)
    again = mend(database)
    assert damage(first) == damage(again) == []
    assert (aside(database), read(database)) == (kept, now)


def test_a_repair_of_a_sound_database_changes_nothing(database: Path) -> None:
    sound = write(database)
    mend(database)
    assert (aside(database), read(database)) == ([], sound)


def test_what_a_snapshot_has_is_not_lost_with_its_entries(database: Path) -> None:
    sound = write(database)
    spoil(database, "position <= 10")  # all that the snapshot of drafts/0 stands for
    assert damage(mend(database)) == []
    assert _contents(read(database)) == _contents(sound)
    with closing(FileReader(database)) as reader:
        past = reader.past("drafts/0", 15)
    assert past.base == sound.documents["drafts/0"].snapshot  # and history begins with it
    assert [one.position for one in past.entries] == [11, 12, 13, 14, 15]
    writer = FileWriter(database)
    writer.open()
    writer.append((sound.documents["drafts/1"].entries[0].edit._replace(document="drafts/0"),))
    writer.close()
    assert damage(checkup.examine(database, DEEP.look)) == []


def test_a_snapshot_whose_own_entry_is_lost_stands_at_the_one_before(database: Path) -> None:
    sound = write(database)
    spoil(database, "position = 10")
    assert damage(mend(database)) == []
    now = read(database)
    snapshot = now.documents["drafts/0"].snapshot
    assert snapshot is not None
    assert snapshot.position == 9
    assert _contents(now) == _contents(sound)


def test_a_bad_snapshot_is_made_again_from_its_entries(database: Path) -> None:
    sound = write(database)
    spoil(database, "position = 10", "snapshots")
    assert damage(mend(database)) == []
    now = read(database)
    assert _contents(now) == _contents(sound)
    made = now.documents["drafts/0"].snapshot
    assert made is not None
    assert made.position == 20  # of all entries
    assert aside(database) == [("snapshots", "drafts/0", 10)]


def test_all_entries_that_retention_had_removed_go(database: Path) -> None:
    """However many: more than a finding names."""
    write(database, documents=1, edits=300, sessions=0)
    with raw_connection(database) as raw:
        old = raw.execute("SELECT * FROM entries WHERE position <= 150").fetchall()
    thinned(database)
    with raw_connection(database) as raw:
        raw.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", old)
    report = mend(database)
    assert "entry.stale" not in {each.code for each in report.findings}
    assert len(aside(database)) == 150


def thinned(database: Path, name: str = "drafts/0") -> None:
    writer = FileWriter(database)
    writer.open()
    assert writer.thin(name, NOON + 86_400) > 0
    writer.close()


def test_a_document_that_stands_on_nothing_is_put_aside_as_a_whole(database: Path) -> None:
    sound = write(database)
    thinned(database)
    spoil(database, "position = 10", "snapshots")
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM bases")
    assert damage(mend(database)) == []
    now = read(database)
    assert now.documents.keys() == sound.documents.keys() - {"drafts/0"}
    sources = [source for source, *_ in aside(database)]
    assert sources.count("entries") == 10
    assert {"snapshots", "tallies"} <= set(sources)


def test_a_document_of_which_only_a_snapshot_is_left_keeps_what_is_known_of_it(
    database: Path,
) -> None:
    """Though all documents are gone through, for one that is damaged."""
    write(database, documents=2, sessions=0)
    with closing(FileWriter(database)) as writer:
        writer.open()
        made = updates(9, 3)
        last = writer.append(tuple(edit("all thinned", update, "bob") for update in made)) + 2
        replica = Replica(replay(None, made).document.encode())
        writer.compact(snapshot_of(replica, "all thinned", last))
        assert writer.thin("all thinned", NOON) == 3
    with closing(FileReader(database)) as reader:
        before = reader.heads("")
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM ids WHERE name = 'drafts/1'")
    assert damage(mend(database)) == []
    with closing(FileReader(database)) as reader:
        assert reader.heads("") == before


def snapshot_of(replica: Replica, name: str, position: int) -> Snapshot:
    return Snapshot(name, Position(position), replica.encode(), replica.state_vector(), NOON)


@pytest.mark.parametrize("lost", [0, 12])  # an edit that others stand on
def test_the_base_of_its_history_saves_a_document(database: Path, lost: int) -> None:
    sound = write(database)
    thinned(database)
    with raw_connection(database) as raw:
        from persistence.sqlite.rows import BASES, Document, snapshot_row

        stored = sound.documents["drafts/0"].snapshot
        assert stored is not None
        [(id_,)] = raw.execute("SELECT document FROM snapshots WHERE position = 10")
        row = snapshot_row(Document.of(id_, "drafts/0"), stored, BASES)
        raw.execute("INSERT OR REPLACE INTO bases VALUES (?, ?, ?, ?, ?, ?)", row)
    spoil(database, "position = 10", "snapshots")
    spoil(database, f"position = {lost}")
    assert damage(mend(database)) == []
    now = read(database)
    assert now.documents["drafts/0"].snapshot is not None
    if not lost:
        assert _contents(now) == _contents(sound)


def test_a_document_whose_name_is_lost_is_put_aside(database: Path) -> None:
    sound = write(database)
    with raw_connection(database) as raw:
        for table in ("names", "ids"):
            raw.execute(f"DELETE FROM {table} WHERE name = 'drafts/3'")
    assert damage(mend(database)) == []
    assert read(database).documents.keys() == sound.documents.keys() - {"drafts/3"}
    assert [source for source, *_ in aside(database)].count("entries") == 20


def test_lost_events_have_something_in_their_place(database: Path) -> None:
    sound = write(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE session_events SET data = '{}' WHERE session = 1 AND offset = 5")
        raw.execute("DELETE FROM session_events WHERE session = 1 AND offset IN (8, 9)")
        raw.execute("DELETE FROM session_logs WHERE session = 2")
    assert damage(mend(database)) == []
    now = read(database)
    assert len(now.events["s-0"]) == 20
    lost = {each.offset for each in now.events["s-0"] if each.event.kind == "draftsync.lost"}
    assert lost == {5, 8, 9}
    assert now.events["s-1"] == sound.events["s-1"]
    assert ("session_events", "s-0", 5) in aside(database)


def test_deletions_and_revocations(database: Path) -> None:
    write(database)
    writer = FileWriter(database)
    writer.open()
    writer.delete(Deletion("drafts/1", "root", NOON))
    writer.revoke(Revocation("sub", "mallory", NOON, NOON + 9, "root"))
    writer.close()
    with raw_connection(database) as raw:
        raw.execute("UPDATE deletions SET at = at + 65536")
        raw.execute("UPDATE revocations SET value = 'mallorz'")
    assert {code for code, _ in damage(checkup.examine(database))} == {
        "deletion.unfit",
        "revocation.unfit",
    }
    assert damage(mend(database)) == []
    with raw_connection(database) as raw:
        assert raw.execute("SELECT at FROM deletions").fetchall() == [(NOON * 1_000,)]
        assert raw.execute("SELECT value FROM revocations").fetchall() == [(b"mallory",)]


@pytest.mark.parametrize("key", ["epoch", "created_at", "last_position", "removed"])
def test_facts_are_made_again(database: Path, key: str) -> None:
    sound = write(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE meta SET value = 'x' WHERE key = ?", (key,))
    assert damage(mend(database)) == []
    assert read(database) == sound


def test_entries_that_went_without_a_trace_are_missed_once(database: Path) -> None:
    write(database)
    with raw_connection(database) as raw:
        for table, key in (("entries", "document"), ("tallies", "document"), ("names", "id")):
            raw.execute(f"DELETE FROM {table} WHERE {key} = (SELECT id FROM ids WHERE "
                        "name = 'drafts/3')")  # fmt: skip
        raw.execute("DELETE FROM ids WHERE name = 'drafts/3'")
    report = checkup.examine(database)
    [missing] = [each for each in report.findings if each.code == "position.missing"]
    assert missing.count == 20
    assert damage(mend(database)) == []


# Who may not repair


def test_a_service_that_runs_is_to_be_stopped_first(database: Path) -> None:
    write(database)
    spoil(database, "position = 25")
    report = checkup.examine(database)
    writer = FileWriter(database)
    writer.open()
    with pytest.raises(StoreInUse, match="stop the service first"):
        repair.repair(database, report, DEEP)
    writer.close()


def test_a_newer_file_is_not_touched(database: Path) -> None:
    write(database)
    with raw_connection(database) as raw:
        raw.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('draftsync', 'm999_everything', '2030-01-01')"
        )
    whole = database.read_bytes()
    with pytest.raises(StoreTooNew):
        repair.repair(database, Report(), DEEP)
    assert database.read_bytes() == whole


# Interruptions


class Killed(BaseException):
    pass


def _die() -> None:
    raise Killed


def _disk_full() -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


@pytest.fixture
def ailing(database: Path) -> Path:
    """A database with something of everything."""
    write(database, documents=4, sessions=2)
    spoil(database, "position IN (2, 25)")
    spoil(database, "position = 10", "snapshots")
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM entries WHERE position = 70")
        raw.execute("DELETE FROM ids WHERE name = 'drafts/1'")
        raw.execute("UPDATE tallies SET size = 1 WHERE document = 2")
        raw.execute("DELETE FROM session_events WHERE session = 2 AND offset = 7")
    return database


@pytest.mark.parametrize("late", [False, True])
def test_a_repair_that_is_killed_anywhere_can_be_done_again(
    ailing: Path, tmp_path: Path, late: bool
) -> None:
    counting = Faults(_die)
    counting.arm(NEVER)
    whole = tmp_path / "whole.db"
    shutil.copy(ailing, whole)
    assert damage(mend(whole, counting.connect)) == []
    expected, statements = read(whole), counting.count
    assert statements > 100
    for k in random.Random(f"{SEED} {late}").sample(range(1, statements), 4):
        one = tmp_path / "one.db"
        for suffix in ("", "-wal", "-shm"):
            Path(f"{one}{suffix}").unlink(missing_ok=True)
        shutil.copy(ailing, one)
        faults = Faults(_die, late=late)
        faults.arm(k)
        report = checkup.examine(one)
        with pytest.raises(Killed):
            repair.repair(one, report, Deep(), connect=faults.connect)
        assert damage(mend(one)) == [], k
        now = read(one)
        assert now.events == expected.events
        assert now.documents.keys() == expected.documents.keys()


def test_a_full_disk_is_told_and_the_repair_done_later(ailing: Path) -> None:
    faults = Faults(_disk_full)
    faults.arm(90)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        mend(ailing, faults.connect)
    assert damage(mend(ailing)) == []


# Pages


def with_noise(database: Path, page: int) -> bytes:
    whole = bytearray(database.read_bytes())
    whole[(page - 1) * 4_096 : page * 4_096] = random.Random(SEED + page).randbytes(4_096)
    database.write_bytes(whole)
    return bytes(whole)


@pytest.mark.parametrize("page", range(1, 29, 5))
def test_noise_in_a_page_costs_what_stood_in_it_and_nothing_else(database: Path, page: int) -> None:
    sound = write(database)
    with closing(sqlite3.connect(database)) as raw:
        there = _rows_on(raw, page)
    noisy = with_noise(database, page)
    assert damage(mend(database)) == []
    now = read(database)
    kept = [path for path in database.parent.glob("*.damaged-*") if not path.match("*-wal")]
    assert [path.read_bytes() for path in kept][:1] == [noisy]
    before = {e.position for one in sound.documents.values() for e in one.entries}
    after = {e.position for one in now.documents.values() for e in one.entries}
    if "entries" not in there:
        assert before <= after or "snapshots" in there
    if not there & {"names", "ids", "entries", "tallies", "snapshots"}:
        assert now.documents == sound.documents
    if not {each for each in there if each.startswith("session")}:
        assert now.events == sound.events


@pytest.mark.parametrize("spoilt", [range(1), range(3, 8), range(8, 40)])
def test_rows_are_found_in_a_page_whose_head_is_damaged(database: Path, spoilt: range) -> None:
    """The kind of the page, its counts, or its pointers to the rows: the rows are there."""
    sound = write(database)
    with closing(sqlite3.connect(database)) as raw:
        sql = "SELECT pageno FROM dbstat WHERE name = 'entries' AND pagetype = 'leaf'"
        [(page,), *_] = raw.execute(sql).fetchall()
    whole = bytearray(database.read_bytes())
    for place in spoilt:
        whole[(page - 1) * 4_096 + place] ^= 0x55
    database.write_bytes(whole)
    assert damage(mend(database)) == []
    assert read(database) == sound


def _rows_on(raw: sqlite3.Connection, page: int) -> set[str]:
    """The tables that stand in a page."""
    found = raw.execute("SELECT name FROM dbstat WHERE pageno = ?", (page,)).fetchall()
    return {name for (name,) in found}


def test_a_damaged_log_is_not_dropped_with_what_stands_behind(
    database: Path, tmp_path: Path
) -> None:
    """SQLite reads it up to the first damaged frame, and would forget the rest."""
    sound = write(database, documents=2)
    writer = FileWriter(database)
    writer.open()
    edits = [entry.edit for entry in sound.documents["drafts/1"].entries]
    for number, each in enumerate(edits):
        writer.append((each._replace(document=f"drafts/new-{number % 4}"),))
    copy = tmp_path / "killed.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{database}{suffix}", f"{copy}{suffix}")
    writer.close()
    expected = read(database)
    commits = [frame.number for frame in frames(log_of(copy)) if frame.commit]
    place = 32 + (commits[3] - 1) * 4_120 + 700
    whole = bytearray(log_of(copy).read_bytes())
    whole[place] ^= 0xFF
    log_of(copy).write_bytes(whole)
    report = checkup.examine(copy)
    assert "log.damaged" in {each.code for each in report.findings}
    repair.repair(copy, report, DEEP)
    assert damage(checkup.examine(copy, DEEP.look)) == []
    assert {one: set(each.entries) for one, each in read(copy).documents.items()} == {
        one: set(each.entries) for one, each in expected.documents.items()
    }


@pytest.mark.parametrize("when", ["before", "behind"])
def test_a_crash_while_a_new_file_is_made(
    database: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    sound = write(database)
    with_noise(database, 2)  # of what no row stands in
    report = checkup.examine(database)
    with monkeypatch.context() as patched:
        if when == "before":
            patched.setattr(repair_salvage, "sync", lambda _: _die())
        else:
            patched.setattr(repair_salvage, "finish", lambda _: _die())
            patched.setattr(repair, "finish", lambda _: False)
        with pytest.raises(Killed):
            repair.repair(database, report, DEEP)
    assert damage(checkup.examine(database))
    assert damage(mend(database)) == []
    assert read(database) == sound
    assert not list(database.parent.glob("*.salvag*"))


def unlisted(database: Path) -> Report:
    """Let it be looked for page by page."""
    write(database, documents=2, sessions=1)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM _sqlite_migrations")
    return checkup.examine(database)


def test_a_new_file_is_for_whom_the_old_one_was(database: Path) -> None:
    report = unlisted(database)
    database.chmod(0o600)
    repair.repair(database, report, DEEP)
    assert database.stat().st_mode & 0o777 == 0o600


def test_a_new_file_takes_the_place_of_one_from_the_future(database: Path) -> None:
    """The clock was set back since."""
    report = unlisted(database)
    os.utime(database, (4_102_444_800, 4_102_444_800))
    repair.repair(database, report, DEEP)
    assert damage(checkup.examine(database)) == []


def test_what_was_written_behind_an_interrupted_repair_is_not_dropped(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is in the log only: the service was killed, too."""
    report = unlisted(database)
    with monkeypatch.context() as patched:
        patched.setattr(repair_salvage, "finish", lambda _: _die())
        patched.setattr(repair, "finish", lambda _: False)
        with pytest.raises(Killed):
            repair.repair(database, report, DEEP)
    done = Path(f"{database}.salvaged")
    assert done.exists()
    log_of(database).write_bytes(b"commits")
    os.utime(log_of(database), ns=(0, done.stat().st_mtime_ns + 1))
    assert not repair_salvage.finish(database)
    assert not done.exists()
    assert log_of(database).read_bytes() == b"commits"


def test_a_new_file_for_which_there_is_no_room_leaves_nothing_behind(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = unlisted(database)
    whole = database.read_bytes()
    monkeypatch.setattr(repair_salvage, "_drop_removed", lambda _: _disk_full())
    with pytest.raises(StoreUnavailable, match="disk is full"):
        repair.repair(database, report, DEEP)
    assert database.read_bytes() == whole
    assert not list(database.parent.glob("*.salvag*"))


def test_a_row_with_a_wrong_byte_in_its_head_is_found(database: Path) -> None:
    """SQLite cannot walk through the page any more; nothing of its rows is lost."""
    sound = write(database)
    whole = database.read_bytes()
    with closing(sqlite3.connect(database)) as raw:
        sql = "SELECT pageno FROM dbstat WHERE name = 'snapshots' AND pagetype = 'leaf'"
        [(page,), *_] = raw.execute(sql).fetchall()
    start = (page - 1) * 4_096
    cell = start + int.from_bytes(whole[start + 8 : start + 10], "big")
    for place in (0, 3, 5, 8):
        spoilt = bytearray(whole)
        spoilt[cell + place] ^= 0x41
        for each in database.parent.iterdir():
            each.unlink()
        database.write_bytes(spoilt)
        assert damage(mend(database)) == []
        assert read(database) == sound, place


# One byte


def test_a_row_that_more_than_a_byte_is_wrong_of_is_given_up() -> None:
    fits = (7, b"right").__eq__
    assert mended((7, b"rigXt"), fits) == (7, b"right")
    assert mended((7 + 2**40, b"right"), fits) == (7, b"right")
    assert mended((-7, b"right"), fits) is None
    assert mended((7, b"riXXt"), fits) is None
    assert mended((7, b"rigXt"), fits, fixed=(1,)) is None
    assert mended((7, b"x" * 10_000), lambda _: True) is None
