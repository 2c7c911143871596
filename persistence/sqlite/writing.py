"""The one connection that writes. Everything here blocks, and belongs to one thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from persistence.checks import check_batch, check_snapshot
from persistence.sqlite import queries, schema
from persistence.sqlite.errors import breaks_connection, translated
from persistence.sqlite.lock import WriterLock
from persistence.sqlite.rows import (
    DOCUMENT_COLUMNS,
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    Row,
    Tally,
    document_row,
    entry_row,
    open_snapshot,
    seal_meta,
    snapshot_row,
)
from persistence.store import NOWHERE, Edit, Position, Snapshot, StoreError, StoreUnavailable

PATIENCE = 1.0  # seconds to wait for another process's lock before StoreUnavailable
REACH = 2**32
"""How far beyond the last position a stray entry is believed. A flipped bit in a position can put
a row ahead of us; we step over it, unless that would push positions out of JavaScript's reach."""

_LONGEST_WAL = 64 * 2**20  # bytes that a -wal keeps after a checkpoint

_PLACES_OF = {ENTRY_COLUMNS: 8, DOCUMENT_COLUMNS: 9, SNAPSHOT_COLUMNS: 6}


def _insert(table: str, columns: str, replacing: str = "") -> str:
    places = ", ".join("?" * _PLACES_OF[columns])
    sql = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608 -- our own names
    if replacing:
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))
        sql += f" ON CONFLICT ({replacing}) DO UPDATE SET {changes}"
    return sql


_INSERT_ENTRY = _insert("entries", ENTRY_COLUMNS)
_UPSERT_DOCUMENT = _insert("documents", DOCUMENT_COLUMNS, replacing="document")
_UPSERT_SNAPSHOT = _insert("snapshots", SNAPSHOT_COLUMNS, replacing="document")
_UPDATE_META = "UPDATE meta SET value = ?, checksum = ? WHERE key = ?"
_SNAPSHOT_THERE = f"SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE document = ?"  # noqa: S608
_IS_ENTRY = "SELECT 1 FROM entries WHERE position = ? AND document = ?"


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A batch whose COMMIT raised: on disk or not, the next look will tell."""

    batch: tuple[Edit, ...]
    first: Position


class FileWriter:
    """Writes a database, alone: it holds the lock from :meth:`open` until :meth:`close`.

    A connection that met an error is closed, and opened again by the next call.
    """

    def __init__(
        self,
        path: Path,
        durability: str = "full",
        connect: Callable[[Path], sqlite3.Connection] | None = None,
    ) -> None:
        """Begin with nothing open. ``connect`` lets tests put faults in between."""
        self.path = path
        self._synchronous = {"full": "FULL", "normal": "NORMAL"}[durability]
        self._connect = connect or _connect
        self._connection: sqlite3.Connection | None = None
        self._lock: WriterLock | None = None
        self._last = NOWHERE
        self._doubt: _Doubt | None = None

    def open(self) -> str:
        """Take the lock, make or migrate the file, and return the database's epoch.

        Raises StoreInUse, StoreTooNew, StoreError (not ours), StoreUnavailable; :meth:`close`
        is to be called all the same.
        """
        with translated(self.path):
            self.path = self.path.resolve()  # one lock, by whatever links it is called
            if not self.path.parent.is_dir():
                raise StoreError(f"there is no folder {self.path.parent} for the database")
            self._lock = WriterLock(self.path)
            return queries.read_epoch(self._connected())

    def append(self, batch: tuple[Edit, ...]) -> Position:
        """Commit a batch; see :meth:`persistence.store.Store.append`."""
        check_batch(batch)
        with translated(self.path):
            connection = self._connected()
            if (first := self._settle(batch)) is not None:
                return first
            first = Position(self._last + 1)
            with self._transaction(connection, _Doubt(batch, first)):
                self._write(connection, batch, first)
            self._last = Position(self._last + len(batch))
            return first

    def compact(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; see :meth:`persistence.store.Store.compact`."""
        with translated(self.path):
            connection = self._connected()
            with self._transaction(connection):
                self._keep(connection, snapshot)

    def close(self) -> None:
        """Bring the write-ahead log into the database if it lets us, and release the lock."""
        try:
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._drop()
        finally:
            if self._lock is not None:
                self._lock.release()

    # One transaction

    @contextmanager
    def _transaction(
        self, connection: sqlite3.Connection, doubt: _Doubt | None = None
    ) -> Iterator[None]:
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
        except BaseException as error:
            self._roll_back(connection, error)
            raise
        try:
            connection.execute("COMMIT")
        except BaseException:
            self._doubt = doubt
            self._drop()
            raise

    def _roll_back(self, connection: sqlite3.Connection, error: BaseException) -> None:
        try:
            if connection.in_transaction:  # SQLite may have rolled back by itself
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop()
        else:
            if breaks_connection(error) and not isinstance(error, ValueError):
                self._drop()

    def _settle(self, batch: tuple[Edit, ...]) -> Position | None:
        """Return the position of a batch that an earlier call committed unknowingly.

        The connection is a new one by now: it brought everything that it found into the database
        file and saw it synced, so what is there is durable.
        """
        doubt, self._doubt = self._doubt, None
        if doubt is None or self._last < doubt.first:
            return None
        if batch != doubt.batch:
            self._doubt = doubt
            raise ValueError("the batch that failed before has to be repeated first")
        return doubt.first

    def _write(
        self, connection: sqlite3.Connection, batch: tuple[Edit, ...], first: Position
    ) -> None:
        tallies: dict[str, Tally] = {}
        entries: list[Row] = []
        for position, edit in enumerate(batch, first):
            tally = tallies.get(edit.document)
            if tally is None:
                tally = tallies[edit.document] = _tally(connection, edit)
            entries.append(entry_row(position, tally.head, edit))
            tally.add(position, edit)
        connection.executemany(_INSERT_ENTRY, entries)
        connection.executemany(_UPSERT_DOCUMENT, map(document_row, tallies.values()))
        _set_meta(connection, "last_position", str(first + len(batch) - 1))

    def _keep(self, connection: sqlite3.Connection, snapshot: Snapshot) -> None:
        name = snapshot.document
        tally = queries.find_document(connection, name)[0] or queries.add_up(connection, name)
        is_entry = connection.execute(_IS_ENTRY, (snapshot.position, name)).fetchone() is not None
        check_snapshot(snapshot, Position(tally.head) if tally else None, is_entry=is_entry)
        assert tally is not None  # noqa: S101 -- check_snapshot refused it; this is for mypy
        there = connection.execute(_SNAPSHOT_THERE, (name,)).fetchall()
        if any(
            (old := open_snapshot(row, name)) and old.position >= snapshot.position for row in there
        ):
            return
        connection.execute(_UPSERT_SNAPSHOT, snapshot_row(snapshot))
        tally.snapshot = snapshot.position
        connection.execute(_UPSERT_DOCUMENT, document_row(tally))

    # The connection

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect(self.path)
            try:
                self._prepare(self._connection)
            except BaseException:
                self._drop()
                raise
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        schema.check_for_writing(connection, self.path)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{self.path} lies where SQLite cannot keep a write-ahead log: {mode}")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_WAL}")
        connection.execute("PRAGMA cell_size_check = ON")
        schema.migrate(connection)
        connection.text_factory = bytes
        self._make_durable(connection)
        self._last = _last_position(connection)

    def _make_durable(self, connection: sqlite3.Connection) -> None:
        """Sync whatever was found.

        A process that was killed between write and fsync leaves commits in the -wal which only
        the page cache holds. They are read like any other, so a client would be told that they
        are saved; and after a failed fsync the pages count as clean, and are never written again.
        A checkpoint writes them into the database file, and syncs that.
        """
        busy, frames, copied = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy or frames != copied:
            raise StoreUnavailable(f"the database {self.path} is locked by another process")
        _sync_folder(self.path.parent)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tally(connection: sqlite3.Connection, edit: Edit) -> Tally:
    """Return the tally to count ``edit`` into. One that is damaged or missing is made anew."""
    found = queries.find_document(connection, edit.document)[0]
    when = edit.received_at + 0.0
    return (
        found
        or queries.add_up(connection, edit.document)
        or Tally(edit.document, NOWHERE, 0, 0, edit.author, when, when)
    )


def _set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(_UPDATE_META, (value, seal_meta(key, value), key))


def _last_position(connection: sqlite3.Connection) -> Position:
    """Return the highest position that was ever given."""
    written = queries.read_meta(connection, "last_position")
    if written is None:  # damaged: the documents know their heads
        last = max((one.head for one in queries.heads(connection)), default=NOWHERE)
    else:
        last = Position(int(written))
    strays: Iterable[Row] = connection.execute(
        "SELECT max(position) FROM entries WHERE position <= ?", (last + REACH,)
    )
    return max(last, *(Position(stray or 0) for (stray,) in strays))
