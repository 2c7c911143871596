"""What belongs to the SQLite store alone: files, locks, threads, migrations, readers beside it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from operator import methodcaller
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from blockbuster import BlockingError
from sqlite_utils import Database

from persistence.sqlite import names, open_sqlite, open_sqlite_readonly
from persistence.sqlite.reading import FileReader, _Opened
from persistence.sqlite.writing import LOG_PAGES, FileWriter
from persistence.store import Position, StoreError, StoreInUse, StoreTooNew, StoreUnavailable
from tests.stores.bench_append import Form
from tests.stores.children import child, hold, read_as_nobody
from tests.stores.faults import NEVER, Faults
from tests.stores.support import (
    CREATED,
    LATER,
    assert_holds,
    edit,
    edits,
    entries,
    record,
    records,
    snapshot,
    stored,
)

SESSION_TABLES = {
    *("session_states", "session_logs", "session_events"),
    *("acknowledgements", "cursors", "dead_letters"),
}


async def size_of(file: Path) -> int:
    return (await anyio.Path(file).stat()).st_size


def raw(database: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(database, isolation_level=None))


def io_error() -> None:
    raise sqlite3.OperationalError("disk I/O error")


# What it costs


def work(database: Path, call: Callable[[FileReader], object]) -> int:
    """How many steps SQLite's machine makes for a call, in hundreds."""
    done = 0

    def count() -> int:
        nonlocal done
        done += 1
        return 0

    with closing(FileReader(database)) as reader:
        reader.epoch()
        assert reader._opened is not None
        reader._opened.connection.set_progress_handler(count, 100)
        call(reader)
    return done


def test_a_page_of_the_list_costs_the_same_however_many_documents_there_are(tmp_path: Path) -> None:
    costs: list[list[int]] = []
    for documents in (200, 2_000):
        database = tmp_path / f"{documents}.db"
        with closing(FileWriter(database, "normal")) as writer:
            writer.open()
            writer.append(tuple(edit(f"{number:05}") for number in range(documents)))
        pages = (("", "00100", 50), ("00", "", 50), ("0019", "", None))
        costs.append([work(database, methodcaller("heads", *page)) for page in pages])
    assert costs[0] == costs[1]


def test_a_page_of_all_edits_costs_the_same_however_many_there_are(tmp_path: Path) -> None:
    """They are in the order of their documents: to sort all of them would take long."""
    costs: list[list[int]] = []
    for rounds in (20, 200):
        database = tmp_path / f"{rounds}.db"
        with closing(FileWriter(database, "normal")) as writer:
            writer.open()
            writer.append(tuple(edit(f"{number:03}") for number in range(100)) * rounds)
        pages = ((0, "", 100), (900, "", 1_000), (0, "00", 10))
        costs.append([work(database, methodcaller("tail", *page)) for page in pages])
    few, many = costs
    assert all(more <= 1.1 * less + 5 for less, more in zip(few, many, strict=True)), costs


def test_no_page_of_the_list_is_sorted(database: Path) -> None:
    with closing(FileWriter(database)) as writer:
        writer.open()
        with raw(database) as connection:
            for table in ("ids", "names"):
                sql = names._WITHIN.format(table)
                plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ("a", "b", "", 9)).fetchall()
                [(*_, told)] = plan
                assert told.startswith(f"SEARCH {table} USING")
                assert "name>? AND name<?" in told


# The file


async def test_a_new_file_has_our_tables_strict_and_migrated(database: Path) -> None:
    async with open_sqlite(database):
        pass
    with raw(database) as connection:
        tables = Database(connection)
        ours = {"entries", "ids", "meta", "names", "snapshots", "tallies"} | SESSION_TABLES
        ours |= {"bases", "deletions", "revocations", "quarantine"}
        assert set(tables.table_names()) == ours | {"_sqlite_migrations"}
        assert all(tables.table(name).strict for name in ours)
        names = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY rowid")
        assert [name for (name,) in names] == [
            "m001_names_entries_and_tallies",
            "m002_sessions_and_events",
            "m003_history",
        ]
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_the_views_show_names_and_dates_at_any_time(database: Path) -> None:
    async with open_sqlite(database) as store:
        for live in (True, False):
            await store.append(edits(2, "drafts/1" if live else "drafts/2"))
            with raw(database) as connection:
                views = Database(connection)
                last = list(views.view("documents").rows)[-1]
                assert last == {
                    "document": "drafts/1" if live else "drafts/2",
                    "head": 2 if live else 4,
                    "edits": 2,
                    "size": 16,
                    "last_author": "alice",
                    "created_at": "2026-05-28 20:26:40.000",
                    "updated_at": "2026-05-28 20:26:40.000",
                    "snapshot": 0,
                    "thinned": 0,
                    "deleted_at": None,
                    "deleted_by": None,
                }
    with raw(database) as connection:
        assert list(Database(connection).view("edits").rows)[1] == {
            "position": 2,
            "document": "drafts/1",
            "author": "alice",
            "received_at": "2026-05-28 20:26:40.000",
            "size": 8,
            "update": b"update 1",
            "previous": 1,
            "connection": 0,
            "offline": 0,
        }


async def test_the_views_show_sessions_and_events_for_people(database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.record(records(2))
        with raw(database) as connection:
            views = Database(connection)
            assert list(views.view("sessions").rows) == [
                {
                    "number": 1,
                    "id": "s-1",
                    "state": "created",
                    "created_at": "2026-05-28 20:26:40.000",
                    "updated_at": "2026-05-28 20:26:40.000",
                    "top": 2,
                    "truncated": 0,
                    "epoch": "epoch",
                    "body": '{"title": "Refunds"}',
                }
            ]
            assert list(views.view("events").rows)[1] == {
                "session": "s-1",
                "offset": 2,
                "id": "2",
                "kind": "review.note",
                "actor": "alice",
                "time": "2026-05-28 20:26:40.000",
                "data": '{"text": "2"}',
            }


def without_sessions(database: Path) -> None:
    """Make a file one that only the first migration made."""
    with raw(database) as connection:
        for view in ("sessions", "events"):
            connection.execute(f"DROP VIEW IF EXISTS {view}")
        for table in SESSION_TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name LIKE 'm002%'")


async def test_a_file_without_sessions_is_migrated_and_keeps_its_documents(database: Path) -> None:
    async with open_sqlite(database) as store:
        epoch = store.epoch
        await store.append(edits(10))
        await store.compact(snapshot(4))
        before = await store.load("drafts/1")
    without_sessions(database)
    with pytest.raises(StoreError, match="written by an older draftsync"):
        async with open_sqlite_readonly(database):
            pass
    async with open_sqlite(database) as store:
        assert store.epoch == epoch
        assert await store.load("drafts/1") == before
        assert await store.append(edits(1)) == 11
        assert await store.record(records(2)) == [1, 2]
    async with open_sqlite_readonly(database) as reader:
        assert await reader.events("s-1") == stored(records(2))


def test_a_migration_that_fails_anywhere_is_done_again(database: Path) -> None:
    writer = FileWriter(database)
    writer.open()
    writer.append(edits(3))
    writer.close()
    for k in range(1, NEVER):
        without_sessions(database)
        faults = Faults(io_error)
        faults.arm(k)
        writer = FileWriter(database, connect=faults.connect)
        try:
            writer.open()
        except StoreUnavailable:
            writer.close()
            continue
        faults.arm(NEVER)
        assert writer.append(edits(1)) == 4
        assert writer.record(records(1)) == [1]
        writer.close()
        break
    assert k > 15


@pytest.mark.parametrize("open_any", [open_sqlite, open_sqlite_readonly])
async def test_a_file_of_the_former_schema_says_what_to_do(
    database: Path, open_any: object
) -> None:
    async with open_sqlite(database):
        pass
    with raw(database) as connection:
        connection.execute("DELETE FROM _sqlite_migrations WHERE name NOT LIKE 'm001%'")
        connection.execute("UPDATE _sqlite_migrations SET name = 'm001_documents_and_entries'")
    assert callable(open_any)
    with pytest.raises(StoreError, match="give another file with --database"):
        async with open_any(database):
            pass


async def test_closing_leaves_one_file_and_the_lock(database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.append(edits(10))
    assert {path.name for path in database.parent.iterdir()} == {"drafts.db", "drafts.db-lock"}


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
def test_durability_is_what_sqlite_calls_synchronous(
    database: Path, durability: str, level: int
) -> None:
    connections: list[sqlite3.Connection] = []

    def connect(path: Path) -> sqlite3.Connection:
        connections.append(sqlite3.connect(path, isolation_level=None))
        return connections[-1]

    writer = FileWriter(database, durability, connect)
    writer.open()
    assert connections[-1].execute("PRAGMA synchronous").fetchone() == (level,)
    writer.close()


async def test_a_newer_database_is_left_alone(database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.append(edits(1))
    with raw(database) as connection:
        Database(connection).table("_sqlite_migrations").insert(
            {"migration_set": "draftsync", "name": "m999_from_the_future", "applied_at": "2099"}
        )
    for opening in (open_sqlite(database), open_sqlite_readonly(database)):
        with pytest.raises(StoreTooNew, match="m999_from_the_future"):
            async with opening:
                pass


async def test_a_database_with_migrations_of_others_only_is_not_ours(database: Path) -> None:
    async with open_sqlite(database):
        pass
    with raw(database) as connection:
        connection.execute("DELETE FROM _sqlite_migrations WHERE name NOT LIKE 'm001%'")
        connection.execute("UPDATE _sqlite_migrations SET name = 'x', migration_set = 'other'")
    with pytest.raises(StoreError, match=r"not one of draftsync's"):
        async with open_sqlite_readonly(database):
            pass


@pytest.mark.parametrize("open_any", [open_sqlite, open_sqlite_readonly])
async def test_a_strangers_database_is_left_alone(database: Path, open_any: object) -> None:
    with raw(database) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    before = await anyio.Path(database).read_bytes()
    assert callable(open_any)
    with pytest.raises(StoreError, match=r"not one of draftsync's"):
        async with open_any(database):
            pass
    assert await anyio.Path(database).read_bytes() == before


@pytest.mark.parametrize("open_any", [open_sqlite, open_sqlite_readonly])
async def test_a_file_that_is_no_database_is_left_alone(database: Path, open_any: object) -> None:
    await anyio.Path(database).write_text("Dear diary, " * 100)
    assert callable(open_any)
    with pytest.raises(StoreError, match="no SQLite database"):
        async with open_any(database):
            pass
    assert (await anyio.Path(database).read_text()).startswith("Dear diary")


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no folder .*nowhere"):
        async with open_sqlite(tmp_path / "nowhere" / "drafts.db"):
            pass


async def test_a_reader_makes_no_database(database: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        async with open_sqlite_readonly(database):
            pass
    assert not await anyio.Path(database).exists()


@pytest.mark.parametrize("name", ["a b?c#d%41.db", "é🙂.db", "'.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    async with open_sqlite(tmp_path / name) as store:
        await store.append(edits(1))
        await assert_holds(store, entries(1, edits(1)))


async def test_space_that_was_thinned_is_given_back(database: Path) -> None:
    async with open_sqlite(database):
        pass
    empty = await size_of(database)
    async with open_sqlite(database) as store:
        await store.append(edits(20_000))
        whole = snapshot(20_000, update=os.urandom(200_000))
        await store.compact(whole)
        while await store.thin("drafts/1", LATER):
            pass
        freed = 0
        while given_back := await store.reclaim():
            freed += given_back
        assert freed > 900_000
        assert (await store.load("drafts/1")).snapshot == whole
    assert await size_of(database) - empty < 210_000
    with raw(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_the_file_is_small(database: Path) -> None:
    """At most three times the updates, and after retention a fifth more than the snapshot."""
    async with open_sqlite(database):
        pass
    empty = await size_of(database)
    form = Form()
    made = list(islice(form.edits(), 20_000))
    async with open_sqlite(database) as store:
        for start in range(0, len(made), 1_000):
            await store.append(made[start : start + 1_000])
    assert await size_of(database) < 3 * sum(len(edit.update) for edit in made)
    whole = form.snapshot(len(made))
    async with open_sqlite(database) as store:
        await store.compact(whole)
        while await store.thin(whole.document, whole.taken_at + 1):
            pass
        while await store.reclaim():
            pass
    assert await size_of(database) - empty < 1.2 * len(whole.update)


async def test_the_log_is_brought_into_the_database_behind_the_edits(database: Path) -> None:
    """It is long from the start, and written over and over."""
    log = anyio.Path(database.with_name("drafts.db-wal"))
    async with open_sqlite(database) as store:
        await store.append(edits(1))
        await store.load("drafts/1")
        length = (await log.stat()).st_size
        assert length > 0.9 * LOG_PAGES * 4_096
        for start in range(1, 2_500):
            await store.append(edits(1, start=start))
        assert (await log.stat()).st_size < length * 1.2
        with raw(database) as connection:
            [(folded,)] = connection.execute("SELECT edits FROM tallies")
        assert 1_500 < folded <= 2_500
        [head] = await store.heads()
        assert head.edits == 2_500


async def test_the_log_is_brought_into_the_database_behind_events_too(database: Path) -> None:
    log = anyio.Path(database.with_name("drafts.db-wal"))
    async with open_sqlite(database) as store:
        await store.record(records(1))
        await store.sessions()
        length = (await log.stat()).st_size
        for start in range(2, 20_000, 20):
            await store.record(records(20, start=start))
        assert (await log.stat()).st_size < length * 1.2
        assert (await store.sessions())[0].top == 20_001


async def test_a_batch_of_events_writes_one_page_of_the_logs(database: Path) -> None:
    """However large the session's body is."""
    async with open_sqlite(database) as store:
        await store.record([record(change=CREATED._replace(body="x" * 300_000))])
    before = await size_of(database)
    async with open_sqlite(database) as store:
        for number in range(2, 200):
            await store.record([record(str(number))])
        wal = await anyio.Path(database.with_name("drafts.db-wal")).stat()
        assert await store.event("s-1", "199") is not None
    assert await size_of(database) - before < 40_000
    assert wal.st_size < 6 * LOG_PAGES * 4_096


# The lock


async def test_one_writer_at_a_time_in_this_process(database: Path) -> None:
    async with open_sqlite(database) as store:
        with pytest.raises(StoreInUse, match=rf"in process {os.getpid()}$") as refused:
            async with open_sqlite(database):
                pass
        assert refused.value.holder == store.holder
        await store.append(edits(1))
    async with open_sqlite(database) as store:
        assert await store.append(edits(1)) == 2


async def test_a_link_to_the_database_is_the_same_database(tmp_path: Path, database: Path) -> None:
    link = tmp_path / "link.db"
    await anyio.Path(link).symlink_to(database)
    async with open_sqlite(database):
        with pytest.raises(StoreInUse):
            async with open_sqlite(link):
                pass


def test_one_writer_at_a_time_among_processes_and_after_a_kill(database: Path) -> None:
    with child(hold, database) as one:
        assert next(one.lines()) == 1
        writer = FileWriter(database)
        with pytest.raises(StoreInUse, match=rf"in process {one.process.pid}$"):
            writer.open()
        writer.close()
        one.process.kill()
        one.process.join()
        writer = FileWriter(database)
        writer.open()
        assert writer.append(edits(1)) == 2
        writer.close()


# Readers beside and without a writer


async def test_reading_beside_a_live_writer(database: Path) -> None:
    async with open_sqlite(database) as store, open_sqlite_readonly(database) as reader:
        assert reader.epoch == store.epoch
        for start in range(0, 30, 10):
            await store.append(edits(10, start=start))
            await assert_holds(reader, entries(1, edits(start + 10)))
        await store.compact(snapshot(30))
        assert (await reader.load("drafts/1")).snapshot == snapshot(30)
        assert [head.edits for head in await reader.heads()] == [30]


async def test_reading_sessions_beside_a_live_writer(database: Path) -> None:
    async with open_sqlite(database) as store, open_sqlite_readonly(database) as reader:
        for start in (1, 11, 21):
            await store.record(records(10, start=start))
            assert await reader.events("s-1") == stored(records(start + 9))
            assert await reader.sessions() == await store.sessions()
        await store.enlist("hook")
        await store.record([*records(1, start=31), *records(1, "s-2")])
        assert await reader.behind("hook") == [("s-1", 30, 31), ("s-2", 0, 1)]
        assert await reader.event("s-2", "1") == stored(records(1))[0]
        assert await reader.dead_letters() == []


def test_reading_what_a_killed_writer_left_in_its_log(database: Path) -> None:
    with child(hold, database) as one:
        assert next(one.lines()) == 1
        one.process.kill()
        one.process.join()
    wal = database.with_name("drafts.db-wal")
    left = wal.read_bytes()
    assert left, "the edit is in the write-ahead log"
    for _ in range(2):
        with closing(FileReader(database)) as reader:
            assert reader.load("drafts/1").entries == entries(1, edits(1))
        assert wal.read_bytes() == left, "a reader checkpoints nothing"


def test_a_copy_is_read_where_nothing_may_be_written() -> None:
    with TemporaryDirectory() as folder:
        database = Path(folder, "copy.db")
        writer = FileWriter(database)
        writer.open()
        writer.append(edits(1))
        writer.close()
        database.with_name("copy.db-lock").unlink()
        Path(folder).chmod(0o555)
        with child(read_as_nobody, database) as one:
            assert next(one.lines()) == 1
        assert [each.name for each in Path(folder).iterdir()] == ["copy.db"]


def test_a_reader_cannot_write(database: Path) -> None:
    writer = FileWriter(database)
    writer.open()
    writer.close()
    reader = FileReader(database)
    with closing(reader), pytest.raises(StoreUnavailable, match="read-only"):
        reader._read(lambda opened: opened.connection.execute("DELETE FROM meta"))


async def test_a_long_read_does_not_hold_up_commits(database: Path) -> None:
    reading, done = threading.Event(), threading.Event()

    def long_read(opened: _Opened) -> int:
        connection = opened.connection
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM entries").fetchone()
        reading.set()
        assert done.wait(10)
        [(count,)] = connection.execute("SELECT count(*) FROM entries")
        connection.execute("ROLLBACK")
        return int(count)

    async with open_sqlite(database) as store:
        await store.append(edits(1))
        slow = asyncio.create_task(
            store._reading.run(lambda: store._reader._read(long_read)),
        )
        while not reading.is_set():
            await anyio.lowlevel.checkpoint()
        for number in range(20):
            assert await store.append(edits(1)) == number + 2
        assert not slow.done()
        done.set()
        assert await slow == 1, "it saw one moment"


async def test_a_damaged_page_is_no_empty_document(database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.append(edits(200))
    size = await size_of(database)
    whole = await anyio.Path(database).read_bytes()
    await anyio.Path(database).write_bytes(whole[:8192] + bytes(size - 8192))
    with pytest.raises(StoreUnavailable, match="damaged"):
        async with open_sqlite_readonly(database) as reader:
            await reader.load("drafts/1")


# Threads and tasks


async def test_blocking_calls_are_caught_on_the_loop(database: Path) -> None:
    with pytest.raises(BlockingError):
        FileWriter(database).open()


async def test_the_writer_has_one_thread_and_the_reader_another(database: Path) -> None:
    async with open_sqlite(database) as store:
        writing = {await store._writing.run(threading.get_ident) for _ in range(20)}
        reading = {await store._reading.run(threading.get_ident) for _ in range(20)}
    assert len(writing) == len(reading) == 1
    assert threading.get_ident() not in writing | reading
    assert writing != reading


async def test_a_cancelled_task_leaves_its_batch_whole(database: Path) -> None:
    async with open_sqlite(database) as store:
        task = asyncio.create_task(store.append(edits(500)))
        await anyio.lowlevel.checkpoint()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.append(edits(1)) == Position(501)


async def test_everything_is_released_when_the_last_checkpoint_fails(database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.append(edits(1))
        with raw(database) as connection:
            connection.execute("BEGIN IMMEDIATE")
            await store.close()
    async with open_sqlite(database) as store:
        assert await store.append(edits(1)) == 2
