"""The checkup of a database: every kind of damage has its name, and nothing is changed."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from persistence.sqlite import checkup, repair
from persistence.sqlite.checkup import Report
from persistence.sqlite.log_file import LogState, frames, inspect_log, log_of
from persistence.sqlite.writing import FileWriter
from persistence.store import StoreError, StoreTooNew
from tests.stores.support import CREATED, edit, record
from tests.stores.test_sqlite_damage import KEYS, TEXTS, flip_for_good, raw_connection, rows
from tests.support.ailing import write

SEED = 20_261_123


def codes(report: Report, severity: str = "damage") -> set[str]:
    return {finding.code for finding in report.findings if finding.severity == severity}


def test_a_sound_database_is_sound_and_stays_as_it_was(database: Path) -> None:
    write(database)
    whole = database.read_bytes()
    report = checkup.examine(database)
    assert codes(report) == codes(report, "warning") == set()
    assert (report.documents, report.entries, report.walkable) == (8, 160, True)
    assert database.read_bytes() == whole


def test_an_empty_database_is_sound(database: Path) -> None:
    write(database, documents=0, sessions=0)
    assert not checkup.examine(database).damaged


EXPECTED = {
    "names": {"name.torn"},
    "ids": {"name.torn"},
    "entries": {"entry.unfit", "entry.missing", "document.nameless"},
    "tallies": {"tally.unfit", "tally.missing", "document.nameless"},
    "snapshots": {"snapshot.unfit", "snapshot.missing", "document.nameless"},
    "session_states": {"session.state_unfit", "session.lost"},
    "session_logs": {"session.log_unfit", "session.lost"},
    "session_events": {"event.unfit", "event.missing", "event.orphan"},
    "cursors": {"cursor.unfit"},
}
"""What a damaged row may be called, by its table."""

ALONG = {"pages.malformed", "tally.wrong", "entry.unfit", "position.missing"}
"""What else it may bring about: entries are unfit without their author's name."""


@pytest.mark.parametrize("table", list(EXPECTED))
def test_a_bit_of_any_column_is_found_and_named(database: Path, table: str) -> None:
    write(database)
    whole = database.read_bytes()
    random_ = random.Random(f"{SEED} {table}")
    with raw_connection(database) as raw:
        columns = [name.decode() for _, name, *_ in raw.execute(f"PRAGMA table_info({table})")]
        count = len(rows(raw, table))
    for column in columns:
        database.write_bytes(whole)
        with raw_connection(database) as raw:
            row = rows(raw, table)[random_.randrange(count)]
            flip_for_good(raw, row, column, random_)
        report = checkup.examine(database)
        assert codes(report), f"silent: {table}.{column}"
        assert codes(report) <= EXPECTED[table] | ALONG, (column, report.findings)


def test_each_kind_of_row_is_tried() -> None:
    others = {"acknowledgements", "dead_letters", "bases", "deletions", "revocations"}
    assert KEYS.keys() - EXPECTED.keys() <= others
    assert TEXTS.keys() <= KEYS.keys()


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("entries", "entry.missing"),
        ("tallies", "tally.missing"),
        ("snapshots", "snapshot.missing"),
        ("names", "name.torn"),
        ("ids", "name.torn"),
        ("session_logs", "session.log_unfit"),
        ("session_states", "session.state_unfit"),
        ("session_events", "event.missing"),
        ("meta", "meta.unfit"),
    ],
)
def test_a_row_that_went_missing_is_missed(database: Path, table: str, code: str) -> None:
    write(database)
    with raw_connection(database) as raw:
        keys = {"meta": "key"} | {name: ", ".join(columns) for name, columns in KEYS.items()}
        raw.execute(
            f"DELETE FROM {table} WHERE ({keys[table]}) = "
            f"(SELECT {keys[table]} FROM {table} ORDER BY {keys[table]} DESC LIMIT 1)"
        )
    assert codes(checkup.examine(database)) == {code}


def test_who_edited_what_is_lost_is_told_when_the_row_tells_it(database: Path) -> None:
    write(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE entries SET checksum = x'00' WHERE position IN (21, 22)")
    [finding] = [each for each in checkup.examine(database).findings if each.severity == "damage"]
    assert (finding.document, finding.positions, finding.count) == ("drafts/1", (21, 22), 2)
    assert "2 edits of alice, bob between 2026-09-21 14:13:20 UTC and" in finding.means
    assert "everything else of the document is served" in finding.means


def test_what_a_snapshot_has_is_not_called_lost(database: Path) -> None:
    write(database)
    with raw_connection(database) as raw:
        raw.execute("UPDATE entries SET checksum = x'00' WHERE position = 2")
    [finding] = [each for each in checkup.examine(database).findings if each.severity == "damage"]
    assert "nothing of its content is lost, only history" in finding.means


def test_a_tally_that_was_written_wrong_is_found_by_adding_up(database: Path) -> None:
    write(database)
    whole = database.read_bytes()
    with raw_connection(database) as raw:
        old = raw.execute("SELECT * FROM tallies").fetchall()
        # A page of an earlier time: its rows are sound, and its entries are not in it.
        raw.execute("DELETE FROM entries WHERE document = (SELECT max(document) FROM tallies)")
    assert codes(checkup.examine(database)) & {"entry.missing", "tally.wrong"}
    assert old
    database.write_bytes(whole)
    assert not checkup.examine(database).damaged


def test_beside_a_writer_that_is_at_work(database: Path) -> None:
    """New documents, authors and sessions at any moment of the checkup: none is an orphan."""
    write(database)
    writer = FileWriter(database)
    writer.open()
    written = 0

    def go_on(*_: object) -> None:
        nonlocal written
        written += 1
        writer.append((edit(f"new/{written}", author=f"author {written}"),))
        writer.record((record("1", f"new-{written}", CREATED),))
        writer.tidy()

    for _ in range(3):
        assert codes(checkup.examine(database, progress=go_on)) == set()
    writer.close()
    assert written > 30


def test_a_service_that_is_started_while_pages_are_looked_at_goes_first(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not start beside somebody who reads an earlier moment."""
    monkeypatch.setattr("persistence.sqlite.checkup_file._TICK", 500)
    write(database)
    seen: list[int] = []

    def start(what: str, done: int, _total: int) -> None:
        if what == "pages":
            seen.append(done)
            if len(seen) == 3:
                database.with_name(f"{database.name}-lock").write_text("4711\n")

    assert codes(checkup.examine(database, progress=start)) == set()
    assert seen[:5] == [1, 2, 3, 1, 2]


def test_services_that_are_started_all_the_time_do_not_keep_it_from_looking(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.checkup_file._TICK", 500)
    write(database)
    starts = iter(range(100_000))

    def start(*_: object) -> None:
        database.with_name(f"{database.name}-lock").write_text(f"{next(starts)}\n")

    assert codes(checkup.examine(database, progress=start)) == set()


def test_a_session_whose_log_row_is_of_an_earlier_time(database: Path) -> None:
    """A write that the disk dropped: the service adds nothing to such a session any more."""
    write(database, documents=0, sessions=1)
    with raw_connection(database) as raw:
        [row] = raw.execute("SELECT top, updated_at, checksum FROM session_logs").fetchall()
    with closing(FileWriter(database)) as writer:
        writer.open()
        writer.record((record("another", "s-0"),))
    with raw_connection(database) as raw:
        raw.execute("UPDATE session_logs SET top = ?, updated_at = ?, checksum = ?", row)
    assert codes(checkup.examine(database)) == {"session.log_short"}
    repair.repair(database, checkup.examine(database))
    assert codes(checkup.examine(database)) == set()
    with closing(FileWriter(database)) as writer:
        writer.open()
        assert writer.record((record("one more", "s-0"),)) == [22]


@pytest.mark.parametrize("columns", ["", "{", "7", "{}", '{"count": "x"}', "\xff"])
def test_a_note_in_quarantine_that_is_damaged_counts_nothing(database: Path, columns: str) -> None:
    write(database, documents=1, sessions=0)
    with raw_connection(database) as raw:
        sql = "INSERT INTO quarantine VALUES (1, 0, 'note', '', 0, 'lost', CAST(? AS TEXT))"
        raw.execute(sql, (columns.encode("latin-1"),))
    assert codes(checkup.examine(database)) == set()


# What is no database of ours


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        checkup.examine(tmp_path / "none.db")


def test_no_database(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Sir or Madam," * 100)
    with pytest.raises(StoreError, match="is no SQLite database"):
        checkup.examine(letter)


def test_a_database_of_others(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "bookmarks.db")) as other:
        other.execute("CREATE TABLE bookmarks (url)")
        other.commit()
    with pytest.raises(StoreError, match="not one of draftsync's"):
        checkup.examine(tmp_path / "bookmarks.db")


def test_a_newer_one_is_named_and_not_touched(database: Path) -> None:
    write(database)
    with raw_connection(database) as raw:
        raw.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('draftsync', 'm999_everything', '2030-01-01')"
        )
    whole = database.read_bytes()
    with pytest.raises(StoreTooNew, match="m999_everything"):
        checkup.examine(database)
    assert database.read_bytes() == whole


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM _sqlite_migrations",
        "DELETE FROM _sqlite_migrations WHERE name LIKE 'm002%'",
        "UPDATE _sqlite_migrations SET name = 'm00r' WHERE name LIKE 'm002%'",
    ],
)
def test_migrations_that_are_not_told_any_more_are_no_older_file(database: Path, sql: str) -> None:
    write(database)
    with raw_connection(database) as raw:
        raw.execute(sql)
    assert codes(checkup.examine(database)) == {"pages.malformed"}


@pytest.mark.parametrize("page", [1, 2, 3, 8, 12, 15, 20])
def test_noise_in_a_page(database: Path, page: int) -> None:
    write(database)
    whole = bytearray(database.read_bytes())
    noise = random.Random(SEED + page).randbytes(4_096)
    whole[(page - 1) * 4_096 : page * 4_096] = noise
    database.write_bytes(whole)
    assert codes(checkup.examine(database))


# The write-ahead log


@pytest.fixture
def killed(database: Path, tmp_path: Path) -> Path:
    """A database with its log and index, as a SIGKILL leaves them: 30 commits in the log."""
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("CREATE TABLE notes (text)")
        for number in range(29):
            writer.execute("INSERT INTO notes VALUES (?)", ["word " * 100 * (number % 3)])
        copy = tmp_path / "killed.db"
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{database}{suffix}", f"{copy}{suffix}")
    return copy


def test_a_sound_log(killed: Path) -> None:
    state = inspect_log(killed)
    assert (state.commits, state.torn, state.lost_commits, state.missing) == (30, 0, 0, 0)
    assert state.committed == sum(1 for _ in frames(log_of(killed)))


def test_no_log(tmp_path: Path) -> None:
    assert inspect_log(tmp_path / "none.db") == LogState()


def cut(log: Path, size: int) -> None:
    log.write_bytes(log.read_bytes()[:size])


def test_a_log_that_is_cut_is_shorter_than_its_index_says(killed: Path) -> None:
    before = inspect_log(killed)
    cut(log_of(killed), 32 + 10 * 4_120 + 77)
    state = inspect_log(killed)
    assert (state.committed, state.missing) == (10, before.committed - 10)
    log_of(killed).write_bytes(b"")
    assert inspect_log(killed).missing == before.committed
    log_of(killed).unlink()
    assert inspect_log(killed).missing == before.committed


def test_a_torn_end_is_no_damage(killed: Path) -> None:
    """As of a power cut: no index is left, and the last commit is there in part."""
    last = [frame for frame in frames(log_of(killed)) if frame.commit][-1]
    killed.with_name(killed.name + "-shm").unlink()
    cut(log_of(killed), 32 + last.number * 4_120 - 5)
    state = inspect_log(killed)
    assert (state.lost_commits, state.missing, state.header) == (0, 0, True)
    assert state.commits == 29


@pytest.mark.parametrize("where", [0, 9, 17, 24, 300])
def test_a_frame_damaged_in_the_middle_hides_sound_ones(killed: Path, where: int) -> None:
    killed.with_name(killed.name + "-shm").unlink()
    place = 32 + 4 * 4_120 + where
    whole = bytearray(log_of(killed).read_bytes())
    whole[place] ^= 0x10
    log_of(killed).write_bytes(whole)
    state = inspect_log(killed)
    assert state.committed <= 4
    assert state.commits + state.lost_commits >= 28
    assert state.damaged >= 1
    with closing(sqlite3.connect(killed)) as connection:  # SQLite agrees, and says nothing
        [(count,)] = connection.execute("SELECT count(*) FROM notes")
    assert count == state.commits - 1


@pytest.mark.parametrize("place", range(0, 32, 3))
def test_a_damaged_beginning_hides_everything(killed: Path, place: int) -> None:
    killed.with_name(killed.name + "-shm").unlink()
    whole = bytearray(log_of(killed).read_bytes())
    whole[place] ^= 0x01
    log_of(killed).write_bytes(whole)
    state = inspect_log(killed)
    assert not state.header
    assert state.lost_commits >= 29


def test_a_log_that_was_begun_anew_keeps_no_old_frames(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE notes (text)")
        for _ in range(20):
            writer.execute("INSERT INTO notes VALUES (zeroblob(3000))")
        writer.execute("PRAGMA wal_checkpoint")
        writer.execute("INSERT INTO notes VALUES ('new')")
        copy = database.with_name("copy.db")  # without its index, as behind a power cut
        shutil.copy(log_of(database), log_of(copy))
        states = inspect_log(database), inspect_log(copy)
    for state in states:
        assert (state.commits, state.lost_commits, state.torn, state.missing) == (1, 0, 0, 0)
