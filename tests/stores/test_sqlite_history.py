"""What a file keeps of the past: older files, damage, and what doctor put aside."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from persistence.sqlite import open_sqlite, open_sqlite_readonly
from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import (
    NOWHERE,
    Damage,
    Deletion,
    HistoryRemoved,
    Position,
    Revocation,
    StoreError,
    StoreUnavailable,
)
from tests.stores.faults import NEVER, Faults
from tests.stores.support import LATER, NOON, edit, edits, entries, snapshot
from tests.stores.test_sqlite_damage import flip, raw_connection, rows

FORMER = Path(__file__).with_name("m002.sql")
"""A database of the schema before: written by draftsync at commit 798401d, dumped as SQL."""

DELETED = Deletion("drafts/1", "root", NOON)
REVOKED = Revocation("sub", "mallory", NOON, LATER, "root")


def writing(
    database: Path, act: Callable[[FileWriter], object], faults: Faults | None = None
) -> None:
    writer = FileWriter(database, "normal", faults.connect if faults else None)
    try:
        writer.open()
        act(writer)
    finally:
        writer.close()


def meta(database: Path, key: str) -> str:
    with raw_connection(database) as raw:
        [(value,)] = raw.execute("SELECT value FROM meta WHERE key = ?", (key,))
    return str(value.decode())


# -- files of the schema before


def restore_former(database: Path) -> None:
    with closing(sqlite3.connect(database)) as raw:
        raw.executescript(FORMER.read_text())


async def test_a_file_of_the_schema_before_is_migrated_and_its_rows_stay(database: Path) -> None:
    restore_former(database)
    with raw_connection(database) as raw:
        before = raw.execute("SELECT * FROM entries").fetchall()
    async with open_sqlite(database) as store:
        one = await store.load("drafts/1")
        assert (one.damaged, one.thinned, one.head) == ((), 3, 9)
        assert one.snapshot == snapshot(3)
        assert [(entry.position, entry.edit) for entry in one.entries] == [
            (4, edit(update=b"update 3")),
            (5, edit(update=b"update 4")),
            *((7 + number, edit(update=b"update %d" % (5 + number))) for number in range(3)),
        ]
        assert (await store.past("drafts/1", 5)).base == snapshot(3)
        assert [head.document for head in await store.heads()] == ["drafts/1", "drafts/2", "ä"]
        assert len(await store.events("s-1")) == 3
        new = edit("drafts/2", connection=5, offline=True)
        assert await store.append([new]) == 13
        two = await store.load("drafts/2")
        assert (two.damaged, two.entries[-1].edit) == ((), new)
    with raw_connection(database) as raw:
        after = raw.execute("SELECT * FROM entries").fetchall()
    assert [row[:-1] for row in after if row[1] != 13] == before
    assert {row[-1] for row in after if row[1] != 13} == {None}
    assert meta(database, "removed") == "3"


async def test_a_reader_says_what_to_do_with_a_file_of_the_schema_before(database: Path) -> None:
    restore_former(database)
    with pytest.raises(StoreError, match="start this version's service on it once"):
        async with open_sqlite_readonly(database):
            pass


@pytest.mark.parametrize("column", ["document", "step", "author", "clients", "checksum", "update"])
def test_a_bit_of_an_entry_from_before_is_found(database: Path, column: str) -> None:
    restore_former(database)
    writing(database, lambda _: None)
    random_ = random.Random(column)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        for row in rows(raw, "entries"):
            if row.key[1] == 10:  # its columns are empty
                continue
            with flip(raw, row, column, random_):
                damaged = [
                    one
                    for name in ("drafts/1", "drafts/2", "ä")
                    for one in reader.load(name).damaged
                ]
            assert row.key[1] in {one.position for one in damaged}


def test_an_entry_does_not_lose_or_gain_its_origin_unseen(database: Path) -> None:
    restore_former(database)
    writing(database, lambda writer: writer.append((edit(connection=3),)))
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        raw.execute("UPDATE entries SET origin = NULL WHERE position = 13")
        raw.execute("UPDATE entries SET origin = 0 WHERE position = 4")
        assert {one.position for one in reader.load("drafts/1").damaged} == {4, 13}


def test_what_a_killed_service_of_the_schema_before_left_is_not_counted_as_removed(
    database: Path,
) -> None:
    """Entries that the last position does not know yet: it is written behind them."""
    restore_former(database)
    with closing(sqlite3.connect(database)) as raw:
        columns = 'step, author, received_at, clients, checksum, "update"'
        raw.execute(f"INSERT INTO entries SELECT document, position + 12, {columns} FROM entries")
        raw.commit()
    writing(database, lambda _: None)
    assert meta(database, "removed") == "3"


def test_a_last_position_that_was_damaged_before_tells_not_what_was_removed(
    database: Path,
) -> None:
    restore_former(database)
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("UPDATE meta SET value = '9999' WHERE key = 'last_position'")
        raw.commit()
    writing(database, lambda _: None)
    with raw_connection(database) as raw:
        assert raw.execute("SELECT 1 FROM meta WHERE key = 'removed'").fetchall() == []


def test_a_new_row_tells_its_connection_in_the_view(database: Path) -> None:
    writing(database, lambda writer: writer.append((edit(connection=2**53 - 1, offline=True),)))
    with raw_connection(database) as raw:
        shown = raw.execute("SELECT connection, offline FROM edits").fetchall()
    assert shown == [(2**53 - 1, 1)]


def test_the_view_of_documents_tells_deletions_but_nothing_of_purged_ones(database: Path) -> None:
    def act(writer: FileWriter) -> None:
        writer.append((edit("a"), edit("b"), edit("c")))
        for name in "bc":
            writer.delete(Deletion(name, "root", NOON))
        while writer.purge("c"):
            pass

    writing(database, act)
    with raw_connection(database) as raw:
        shown = raw.execute("SELECT document, deleted_at, deleted_by FROM documents").fetchall()
    assert shown == [(b"a", None, None), (b"b", b"2026-05-28 20:26:40.000", b"root")]


# -- the count of what was removed


async def test_every_position_is_accounted_for(database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.append([*edits(5), *edits(3, "other")])
        await store.compact(snapshot(4))
        await store.thin("drafts/1", LATER)
        assert meta(database, "removed") == "4"
        await store.delete(Deletion("other", "root", NOON))
        while await store.purge("other"):
            pass
        assert meta(database, "removed") == "7"
        await store.append(edits(1, "other"))
        await store.undelete("other")
        assert meta(database, "removed") == "8"
    with raw_connection(database) as raw:
        [(count,)] = raw.execute("SELECT count(*) FROM entries")
    assert int(meta(database, "last_position")) == count + int(meta(database, "removed"))


def test_a_damaged_count_stays_so_for_doctor_to_find(database: Path) -> None:
    def act(writer: FileWriter) -> None:
        writer.append(edits(5))
        writer.compact(snapshot(4))

    writing(database, act)
    with raw_connection(database) as raw:
        raw.execute("UPDATE meta SET value = '17' WHERE key = 'removed'")
    writing(database, lambda writer: writer.thin("drafts/1", LATER))
    assert meta(database, "removed") == "17"


# -- bases


def thin_behind_a_base(writer: FileWriter) -> None:
    """Positions 1 to 6, a second apart: a base at 2, and a snapshot at 5."""
    writer.append(tuple(edit(update=b"update %d" % n, received_at=NOON + n) for n in range(6)))
    writer.compact(snapshot(5))
    writer.rebase(snapshot(2, update=b"base"))
    assert writer.thin("drafts/1", NOON + 2) == 2


@pytest.mark.parametrize(
    "column", ["document", "position", "taken_at", "checksum", "state_vector", "update"]
)
def test_a_bit_of_a_base_is_never_silent(database: Path, column: str) -> None:
    writing(database, thin_behind_a_base)
    random_ = random.Random(column)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        sound = reader.past("drafts/1", None)
        assert (sound.base, sound.damaged) == (snapshot(2, update=b"base"), ())
        [row] = rows(raw, "bases")
        for _ in range(30):
            with flip(raw, row, column, random_):
                past = reader.past("drafts/1", None)
                with pytest.raises(HistoryRemoved) as raised:
                    reader.past("drafts/1", 3)
            assert raised.value.earliest == 5
            assert past.base == snapshot(5)
            assert [entry.position for entry in past.entries] == [6]
            told = [(one.what, one.reason) for one in past.damaged]
            assert told == [("snapshot", "of the base, its checksum does not fit")] or (
                column == "document" and not told
            )
        assert reader.past("drafts/1", None) == sound


def test_a_damaged_base_is_replaced_by_the_next(database: Path) -> None:
    writing(database, thin_behind_a_base)
    with raw_connection(database) as raw:
        raw.execute("UPDATE bases SET \"update\" = x'00'")
    writing(database, lambda writer: writer.compact(snapshot(6, update=b"newer")))
    with closing(FileReader(database)) as reader:
        past = reader.past("drafts/1", 6)
    assert (past.base, past.damaged) == (snapshot(5), ())
    assert [entry.position for entry in past.entries] == [6]


def test_a_base_that_is_not_needed_takes_no_space(database: Path) -> None:
    writing(database, thin_behind_a_base)
    with raw_connection(database) as raw:
        assert len(rows(raw, "bases")) == 1
    writing(database, lambda writer: writer.thin("drafts/1", LATER))
    with raw_connection(database) as raw:
        assert rows(raw, "bases") == []


def test_what_history_begins_with_is_lost_and_that_is_told(database: Path) -> None:
    writing(database, thin_behind_a_base)
    with raw_connection(database) as raw:
        raw.execute("DELETE FROM bases")
        raw.execute("UPDATE snapshots SET taken_at = 0")
    with closing(FileReader(database)) as reader:
        past = reader.past("drafts/1", None)
    assert past.base is None
    assert [entry.position for entry in past.entries] == [3, 4, 5, 6]
    [damage] = past.damaged
    assert damage == Damage(
        Position(5), "snapshot", "the entries up to 2 were thinned, and nothing stands for them"
    )


# -- the past of damaged rows


@pytest.mark.parametrize("asked", range(1, 8))
@pytest.mark.parametrize("lost", range(1, 7))
@pytest.mark.parametrize("how", ["gone", "unfit"])
def test_what_is_lost_of_the_past_is_told_at_every_position(
    database: Path, how: str, lost: int, asked: int
) -> None:
    writing(database, lambda writer: writer.append(edits(6)))
    with raw_connection(database) as raw:
        if how == "gone":
            raw.execute("DELETE FROM entries WHERE position = ?", (lost,))
        else:
            raw.execute("UPDATE entries SET received_at = 1 WHERE position = ?", (lost,))
    with closing(FileReader(database)) as reader:
        past = reader.past("drafts/1", asked)
        at = reader.position_at("drafts/1", LATER)
    assert [entry.position for entry in past.entries] == [
        n for n in range(1, min(asked, 6) + 1) if n != lost
    ]
    assert [one.position for one in past.damaged] == ([lost] if lost <= asked else [])
    assert (past.position, past.head) == (min(asked, 6), 6)
    assert at == (5 if lost == 6 else 6)


def test_a_damaged_tally_does_not_hide_the_past(database: Path) -> None:
    writing(database, lambda writer: writer.append(edits(6)))
    with raw_connection(database) as raw:
        raw.execute("UPDATE tallies SET head = 2")
    with closing(FileReader(database)) as reader:
        past = reader.past("drafts/1", None)
        head = reader.head("drafts/1")
    assert (len(past.entries), past.head, [one.what for one in past.damaged]) == (
        6,
        6,
        ["document"],
    )
    assert head is not None
    assert (head.head, head.edits) == (6, 6)


def test_the_tail_goes_on_behind_damaged_entries(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.tail.PAGE", 2)
    writing(database, lambda writer: writer.append(edits(6)))
    with raw_connection(database) as raw:
        raw.execute("UPDATE entries SET received_at = 1 WHERE position IN (2, 3, 4, 6)")
    with closing(FileReader(database)) as reader:
        assert [one.position for one in reader.tail(0, "", 10)] == [1, 5]
        assert [one.position for one in reader.tail(1, "drafts/", 10)] == [5]
        assert reader.last_position() == 6, "that was written with the tallies"


def test_the_last_position_is_known_before_the_tallies_are_written(database: Path) -> None:
    def act(writer: FileWriter) -> None:
        writer.append(edits(3))
        writer.append((edit("other"),))
        with closing(FileReader(database)) as reader:
            assert reader.last_position() == 4

    writing(database, act)
    with raw_connection(database) as raw:
        raw.execute("UPDATE meta SET value = '99' WHERE key = 'last_position'")
    with closing(FileReader(database)) as reader:
        assert reader.last_position() == 4


# -- quarantine


def put_aside(database: Path, *positions: int) -> None:
    """Do what `doctor --fix` does, but for the chain: the entries behind keep what they say."""
    with raw_connection(database) as raw:
        for position in positions:
            raw.execute("DELETE FROM entries WHERE position = ?", (position,))
            raw.execute(
                "INSERT INTO quarantine (at, source, name, position, reason, columns)"
                " VALUES (0, 'entries', 'drafts/1', ?, 'damaged', ?)",
                (position, json.dumps({"position": position})),
            )


@pytest.mark.parametrize("aside", [(1,), (3,), (3, 4), (6,), (1, 2, 5)])
def test_what_is_in_quarantine_is_not_missed_but_told(
    database: Path, aside: tuple[int, ...]
) -> None:
    writing(database, lambda writer: writer.append(edits(6)))
    put_aside(database, *aside)
    told = tuple(
        Damage(Position(n), "entry", "it was damaged, and is in quarantine", aside=True)
        for n in aside
    )
    with closing(FileReader(database)) as reader:
        assert reader.load("drafts/1").damaged == told
        assert reader.past("drafts/1", None).damaged == told
        assert reader.past("drafts/1", 3).damaged == tuple(one for one in told if one.position < 4)
        assert reader.history("drafts/1", 0, 100).damaged == told
        paged = [one for n in range(0, 6, 2) for one in reader.history("drafts/1", n, 1).damaged]
        assert set(paged) <= set(told)
    writing(database, lambda writer: writer.append(edits(1)))
    with closing(FileReader(database)) as reader:
        assert reader.load("drafts/1").damaged == told
        assert reader.load("drafts/1").head == 7


def test_a_purge_takes_what_is_in_quarantine_too(database: Path) -> None:
    writing(database, lambda writer: writer.append((*edits(6), edit("other"))))
    put_aside(database, 3, 4)

    def act(writer: FileWriter) -> None:
        writer.delete(DELETED)
        while writer.purge("drafts/1"):
            pass

    writing(database, act)
    with raw_connection(database) as raw:
        assert raw.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
        assert raw.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    assert meta(database, "removed") == "6"


def test_nothing_of_what_was_purged_is_left_in_the_file(database: Path) -> None:
    def connect(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA secure_delete = OFF")  # as most builds of SQLite have it
        return connection

    with closing(FileWriter(database, connect=connect)) as writer:
        writer.open()
        writer.append((edit(update=b"a secret"), edit(update=b"and a long one" * 1_000)))
        writer.compact(snapshot(2, update=b"a secret snapshot"))
        writer.rebase(snapshot(1, update=b"a secret base"))
        writer.delete(DELETED)
        while writer.purge("drafts/1"):
            pass
    whole = database.read_bytes()
    assert b"secret" not in whole
    assert b"a long one" not in whole


# -- deletions and revocations


@pytest.mark.parametrize("column", ["by", "at", "purged", "checksum"])
def test_a_bit_of_a_deletion_brings_nothing_back_and_removes_nothing(
    database: Path, column: str
) -> None:
    writing(database, lambda writer: (writer.append(edits(3)), writer.delete(DELETED)))
    random_ = random.Random(column)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        [row] = rows(raw, "deletions")
        for _ in range(30):
            with flip(raw, row, column, random_):
                stored = reader.load("drafts/1")
                [listed] = reader.deletions()
            assert stored.deleted is not None
            assert (stored.deleted.purged, len(stored.entries)) == (False, 3)
            assert listed == stored.deleted


def test_a_bit_of_a_name_of_a_deletion_leaves_it_in_the_list(database: Path) -> None:
    writing(database, lambda writer: (writer.append(edits(3)), writer.delete(DELETED)))
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        [row] = rows(raw, "deletions")
        with flip(raw, row, "document", random.Random(1)):
            [listed] = reader.deletions()
            assert listed.document != "drafts/1"
            assert len(reader.load("drafts/1").entries) == 3


def test_a_wrong_name_of_a_deletion_is_put_right_at_the_next_start(database: Path) -> None:
    writing(database, lambda writer: (writer.append(edits(3)), writer.delete(DELETED)))
    with raw_connection(database) as raw:
        raw.execute("UPDATE deletions SET document = 'drafts/3'")
    writing(database, lambda _: None)
    with closing(FileReader(database)) as reader:
        assert reader.deletions() == [DELETED]
        assert reader.load("drafts/1").deleted == DELETED
    with raw_connection(database) as raw:
        raw.execute("UPDATE deletions SET document = 'nothing like it'")
    writing(database, lambda _: None)  # it is left for doctor
    with closing(FileReader(database)) as reader:
        assert [one.document for one in reader.deletions()] == ["nothing like it"]


@pytest.mark.parametrize("column", ["kind", "value", "at", "until", "by", "checksum"])
def test_a_damaged_revocation_is_taken_as_it_stands(database: Path, column: str) -> None:
    writing(database, lambda writer: writer.revoke(REVOKED))
    random_ = random.Random(column)
    with raw_connection(database) as raw, closing(FileReader(database)) as reader:
        [row] = rows(raw, "revocations")
        for _ in range(30):
            with flip(raw, row, column, random_):
                found = reader.revocations()
            same = {
                "kind": lambda one: one._replace(kind="sub") == REVOKED,
                "value": lambda one: one._replace(value="mallory") == REVOKED,
                "at": lambda one: one._replace(at=NOON) == REVOKED,
                "until": lambda one: one._replace(until=LATER) == REVOKED,
                "by": lambda one: one._replace(by="root") == REVOKED,
                "checksum": lambda one: one == REVOKED,
            }[column]
            assert found
            assert all(map(same, found))
            assert column != "kind" or "sub" in {one.kind for one in found}
        assert reader.revocations() == [REVOKED]


# -- statements that fail


ACTS: dict[str, Callable[[FileWriter], object]] = {
    "rebase": lambda writer: writer.rebase(snapshot(3, update=b"newer base")),
    "compact": lambda writer: writer.compact(snapshot(6, update=b"newer")),
    "thin": lambda writer: writer.thin("drafts/1", NOON + 4),
    "delete": lambda writer: writer.delete(DELETED),
    "purge": lambda writer: writer.purge("third"),
    "undelete": lambda writer: writer.undelete("other"),
    "revoke": lambda writer: writer.revoke(REVOKED._replace(value="eve", at=LATER + 1)),
}


def prepared(writer: FileWriter) -> None:
    thin_behind_a_base(writer)
    writer.append((*edits(2, "other"), *edits(2, "third")))
    writer.delete(replace(DELETED, document="other"))
    writer.delete(replace(DELETED, document="third"))
    writer.purge("other")
    writer.revoke(REVOKED)


def state(database: Path) -> list[object]:
    with closing(FileReader(database)) as reader:
        told: list[object] = [reader.deletions(), reader.revocations(), reader.last_position()]
        for name in ("drafts/1", "other", "third"):
            told += [reader.load(name), reader.past(name, None), reader.head(name)]
    return [*told, meta(database, "removed")]


def io_error() -> None:
    raise sqlite3.OperationalError("disk I/O error")


def statements(database: Path, act: str) -> int:
    faults = Faults(io_error)

    def count(writer: FileWriter) -> None:
        faults.arm(NEVER)
        ACTS[act](writer)

    writing(database, count, faults)
    return faults.count


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", [*ACTS])
def test_whichever_statement_fails_it_is_done_wholly_or_not_and_can_be_repeated(
    tmp_path: Path, act: str, late: bool
) -> None:
    first, done = tmp_path / "first.db", tmp_path / "done.db"
    writing(first, prepared)
    old = state(first)
    shutil.copy(first, done)
    total = statements(done, act) - 1  # closing writes nothing behind, here
    new = state(done)
    assert old != new
    assert total >= 3
    for k in range(1, total + 1):
        database = Path(shutil.copy(first, tmp_path / f"{k}.db"))
        _fail_at(database, act, k, Faults(io_error, late=late))
        now = state(database)
        assert now in (old, new)
        if now == old or act not in ("undelete", "purge"):  # these go on where they were
            writing(database, ACTS[act])
        assert state(database) == new
        writing(database, lambda writer: writer.append(edits(1)))
        with closing(FileReader(database)) as reader:
            assert reader.load("drafts/1").damaged == ()


def _fail_at(database: Path, act: str, k: int, faults: Faults) -> None:
    def broken(writer: FileWriter) -> None:
        faults.arm(k)
        with pytest.raises(StoreUnavailable):
            ACTS[act](writer)

    writing(database, broken, faults)


def test_a_document_that_begins_anew_is_counted_after_a_crash(database: Path) -> None:
    """Its tally is written behind its entries, and says that there is nothing until then."""

    def act(writer: FileWriter) -> None:
        writer.append(edits(3))
        writer.delete(DELETED)
        while writer.purge("drafts/1"):
            pass
        writer.undelete("drafts/1")
        writer.append((edit(author="bob", received_at=LATER),))
        with closing(FileReader(database)) as reader:
            head = reader.head("drafts/1")
            assert head is not None
            assert (head.created_at, head.edits, head.last_author) == (LATER, 1, "bob")
            assert reader.load("drafts/1").entries == entries(
                4, [edit(author="bob", received_at=LATER)]
            )
            assert [one.document for one in reader.heads("")] == ["drafts/1"]

    writing(database, act)
    with closing(FileReader(database)) as reader:
        assert reader.load("drafts/1").damaged == ()
        assert reader.load("drafts/1").thinned == NOWHERE
