"""The one connection that writes. Everything here blocks, and belongs to one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from persistence.checks import (
    check_batch,
    check_name,
    check_records,
    check_revocation,
    check_text,
    not_deleted,
)
from persistence.sqlite import (
    consumers,
    deletions,
    meta,
    names,
    queries,
    revocations,
    schema,
    snapshots,
    thinning,
)
from persistence.sqlite.errors import breaks_connection, tells_damage, translated
from persistence.sqlite.files import sync
from persistence.sqlite.ledger import Ledger, Plan
from persistence.sqlite.lock import WriterLock
from persistence.sqlite.log_file import log_of
from persistence.sqlite.register import Register
from persistence.sqlite.rows import (
    ENTRY_COLUMNS,
    TALLY_COLUMNS,
    Tally,
    tally_row,
)
from persistence.sqlite.session_rows import LOG_COLUMNS, log_row
from persistence.sqlite.statements import LARGEST, Insert
from persistence.store import (
    Acknowledgement,
    DeadLetter,
    Deletion,
    Edit,
    Position,
    Record,
    Revocation,
    Snapshot,
    StoreError,
    StoreUnavailable,
    to_milliseconds,
)

PATIENCE = 1.0  # seconds to wait for another process's lock before StoreUnavailable

LOG_PAGES = 1_000
"""Pages that the write-ahead log takes before they are brought into the database."""

_PAGE = 4_096
_FRAME = _PAGE + 24  # a page in the log

_MOST_MENDED = 20  # rows at a start, each of which may take half a second

_insert_entries = Insert("entries", ENTRY_COLUMNS)
_put_tallies = Insert("tallies", TALLY_COLUMNS, "INSERT OR REPLACE")
_put_log = Insert("session_logs", LOG_COLUMNS, "INSERT OR REPLACE")
_FILLER = "INSERT INTO snapshots VALUES (0, 0, 0, x'', x'', zeroblob(?))"


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A batch whose commit raised: on disk or not, the next look will tell."""

    batch: tuple[Edit, ...]
    first: Position

    @property
    def last(self) -> Position:
        return Position(self.first + len(self.batch) - 1)


class _Opened(NamedTuple):
    connection: sqlite3.Connection
    ledger: Ledger
    register: Register


@dataclass(slots=True)
class _Rewriting:
    """A document, and what is left of it when it was written anew; None: it stays as it is."""

    connection: sqlite3.Connection
    tally: Tally | None  # as it was; None: it was never written
    left: Tally | None = None


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
        self._opened: _Opened | None = None
        self.holder = ""  # see persistence.store.Store.holder
        self._lock: WriterLock | None = None
        self._doubt: _Doubt | None = None
        self._log_pages = 0  # at most so many are in the log that the database has not got
        self._log_is_long = False

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
            self.holder = self._lock.holder
            return queries.read_epoch(self._ready().connection)

    def append(self, batch: tuple[Edit, ...]) -> Position:
        """Commit a batch; see :meth:`persistence.store.Store.append`."""
        check_batch(batch)
        with translated(self.path):
            opened = self._ready()
            if (first := self._settle(batch, opened.ledger)) is not None:
                return first
            plan = opened.ledger.plan(batch)
            with self._undoing(opened.connection, _Doubt(batch, plan.first)):
                _carry_out(opened.connection, plan)
            opened.ledger.keep(plan)
            size = sum(len(edit.update) for edit in batch)
            self._log_pages += len(plan.documents) + size // _PAGE + 1
            return plan.first

    def compact(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; see :meth:`persistence.store.Store.compact`."""
        with self._rewriting(snapshot.document) as it:
            it.left = snapshots.keep(it.connection, it.tally, snapshot)
        if it.left is not None:
            self._log_pages += len(snapshot.update) // _PAGE + 1

    def thin(self, document: str, before: float, until: int | None = None) -> int:
        """Remove old history; see :meth:`persistence.store.Store.thin`."""
        horizon = to_milliseconds(before)
        removed = 0
        with self._rewriting(document) as it:
            if it.tally is not None:
                left, removed = thinning.thin(it.connection, it.tally, horizon, until)
                it.left = left if removed else None
        self._log_pages += removed // 32  # rows in a page
        return removed

    def rebase(self, base: Snapshot) -> None:
        """Keep a base; see :meth:`persistence.store.Store.rebase`."""
        with self._rewriting(base.document) as it:
            kept = snapshots.rebase(it.connection, it.tally, base)
        if kept:
            self._log_pages += len(base.update) // _PAGE + 1

    # Deleting and revoking

    def delete(self, deletion: Deletion) -> bool:
        """Mark a document as deleted; see :meth:`persistence.store.Store.delete`."""
        check_name(deletion.document)
        deletion.by.encode()  # UnicodeEncodeError is a ValueError
        with self._writing() as connection:
            deleted = deletions.delete(connection, deletion)
        self._log_pages += 1
        return deleted

    def undelete(self, document: str) -> bool:
        """Bring a document back; see :meth:`persistence.store.Store.undelete`."""
        with self._rewriting(document) as it:
            deleted = deletions.find(it.connection, document)
            if deleted is not None and deleted.purged and it.tally is not None:
                it.left = deletions.purge_all(it.connection, it.tally)
            deletions.forget(it.connection, document)
        self._log_pages += 1
        return deleted is not None

    def purge(self, document: str) -> int:
        """Remove a deleted document; see :meth:`persistence.store.Store.purge`."""
        removed = 0
        with self._rewriting(document) as it:
            deleted = deletions.find(it.connection, document)
            if deleted is None:
                raise not_deleted(document)
            if not deleted.purged:
                deletions.begin_purge(it.connection, deleted)
            if it.tally is not None:
                left, removed = deletions.purge_some(it.connection, it.tally)
                it.left = left if removed else None
        self._log_pages += removed // 32 + 1  # rows in a page
        return removed

    def revoke(self, revocation: Revocation) -> None:
        """Keep a revocation; see :meth:`persistence.store.Store.revoke`."""
        check_revocation(revocation)
        with self._writing() as connection:
            revocations.revoke(connection, revocation)
        self._log_pages += 1

    # Space

    def reclaim(self) -> int:
        """Give space back; see :meth:`persistence.store.Store.reclaim`."""
        with translated(self.path):
            connection, _, _ = self._ready()
            with self._undoing(connection):
                given_back = thinning.reclaim(connection)
            self._log_pages += 2 * given_back // _PAGE
            return given_back

    # Sessions

    def record(self, batch: tuple[Record, ...]) -> list[int]:
        """Commit events; see :meth:`persistence.store.Store.record`."""
        check_records(batch)
        with self._on_sessions() as (connection, register):
            minutes = register.plan(batch)
            minutes.write(connection)
        if minutes.sessions:
            register.keep(minutes)
            self._log_pages += minutes.pages
        return minutes.offsets

    def acknowledge(self, batch: tuple[Acknowledgement, ...]) -> None:
        """Keep what was received; see :meth:`persistence.store.Store.acknowledge`."""
        for _, subject, _ in batch:
            subject.encode()  # UnicodeEncodeError is a ValueError
        with self._on_sessions() as (_, register):
            written = register.acknowledge(batch)
        self._log_pages += written

    def truncate(self, session: str, before: float) -> int:
        """Remove old events; see :meth:`persistence.store.Store.truncate`."""
        horizon = to_milliseconds(before)
        with self._on_sessions() as (connection, register):
            known = register.session(session)
            if known is None:
                return 0
            left, removed = thinning.truncate(connection, known.log, horizon)
            if removed:
                _put_log(connection, log_row(left))
        if removed:
            register.changed(session, left)
            self._log_pages += removed // 4  # rows in a page, and ids anywhere
        return removed

    def enlist(self, consumer: str) -> None:
        """Make a consumer known; see :meth:`persistence.store.Store.enlist`."""
        check_text("a consumer's name", consumer)
        with self._on_sessions() as (connection, _):
            written = consumers.enlist(connection, consumer)
        self._log_pages += written // 32 + 1  # rows in a page

    def advance(self, consumer: str, session: str, offset: int, dead: DeadLetter | None) -> None:
        """Keep what a consumer was given; see :meth:`persistence.store.Store.advance`."""
        with self._on_sessions() as (connection, register):
            known = register.session(session)
            log = known.log if known else None
            consumers.advance(connection, consumer, session, log, offset, dead)
        self._log_pages += 2

    def forgive(self, letters: tuple[DeadLetter, ...]) -> None:
        """Remove dead letters; see :meth:`persistence.store.Store.forgive`."""
        with self._on_sessions() as (connection, _):
            consumers.forgive(connection, letters)
        self._log_pages += len(letters)

    @contextmanager
    def _on_sessions(self) -> Iterator[tuple[sqlite3.Connection, Register]]:
        """One transaction; when it fails, nothing is known by heart any more."""
        with translated(self.path):
            connection, _, register = self._ready()
            try:
                with self._transaction(connection):
                    yield connection, register
            except BaseException:
                register.forget()
                raise

    # What can wait

    def tidy(self) -> None:
        """Do what could wait until the last call was answered. Cheap while nothing is due.

        What fails here is done again when the connection was opened anew, by the next call.
        """
        if self._opened is not None:
            with suppress(StoreError), translated(self.path):
                if not self._log_is_long:
                    self._lengthen_log(self._opened.connection)
                elif self._log_pages >= LOG_PAGES:
                    self._checkpoint(self._opened)

    def close(self) -> None:
        """Bring the write-ahead log into the database if it lets us, and release the lock."""
        try:
            if self._opened is not None:
                with suppress(StoreError), translated(self.path):
                    self._write_behind(self._opened)
                    self._opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._drop()
        finally:
            if self._lock is not None:
                self._lock.release()

    # One transaction

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One that nothing which is known by heart has to do with."""
        with translated(self.path):
            connection = self._ready().connection
            with self._transaction(connection):
                yield connection

    @contextmanager
    def _rewriting(self, document: str) -> Iterator[_Rewriting]:
        """One in which what is left of a document is written, and then known."""
        with translated(self.path):
            connection, ledger, _ = self._ready()
            it = _Rewriting(connection, ledger.document(document))
            with self._transaction(connection):
                yield it
                if it.left is not None:
                    _write_tallies(connection, tally_row(it.left), ledger.last)
            if it.left is not None:
                ledger.rewritten(it.left)

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        with self._undoing(connection):
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")

    @contextmanager
    def _undoing(
        self, connection: sqlite3.Connection, doubt: _Doubt | None = None
    ) -> Iterator[None]:
        """Roll back what raises, and part from a connection that it broke."""
        try:
            yield
        except BaseException as error:
            self._doubt = doubt or self._doubt
            self._roll_back(connection)
            if breaks_connection(error):
                self._drop()
            raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:  # SQLite may have rolled back by itself
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop()

    def _settle(self, batch: tuple[Edit, ...], ledger: Ledger) -> Position | None:
        """Return the position of a batch that an earlier call committed unknowingly.

        The connection is a new one by now: it brought everything that it found into the database
        file and saw it synced, so what is there is durable.
        """
        doubt, self._doubt = self._doubt, None
        if doubt is None:
            return None
        tally = ledger.document(doubt.batch[-1].document)
        if tally is None or tally.head < doubt.last:
            return None
        if batch != doubt.batch:
            self._doubt = doubt
            raise ValueError("the batch that failed before has to be repeated first")
        return doubt.first

    # What follows the edits

    def _checkpoint(self, opened: _Opened) -> None:
        """Bring the log into the database, so that it is written from its beginning again."""
        self._write_behind(opened)
        with self._undoing(opened.connection):
            opened.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._log_pages = 0

    def _write_behind(self, opened: _Opened) -> None:
        """Let the tables say what the ledger knows."""
        connection, ledger, _ = opened
        if ledger.behind:
            torn, tallies = ledger.rows_behind()
            with self._transaction(connection):
                names.write(connection, torn)
                _write_tallies(connection, tallies, ledger.last)
            ledger.caught_up()

    def _lengthen_log(self, connection: sqlite3.Connection) -> None:
        """Write the log to its usual length once, by a transaction that is taken back.

        A commit that overwrites it is synced in two thirds of the time of one that lengthens it:
        there is no size of the file to sync.
        """
        self._log_is_long = True
        with self._undoing(connection):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA cache_size = 16")  # so that pages are written before COMMIT
            try:
                connection.execute(_FILLER, (LOG_PAGES * _PAGE,))
            finally:
                connection.execute("PRAGMA cache_size = -2000")  # KiB, SQLite's own default
            connection.execute("ROLLBACK")
        sync(log_of(self.path))

    # The connection

    def _ready(self) -> _Opened:
        if self._opened is None:
            connection = self._connect(self.path)
            try:
                ledger = self._prepare(connection)
                self._opened = _Opened(connection, ledger, Register(connection))
                self._mend_deletions(connection)
                self._write_behind(self._opened)
                self._make_durable(connection)
            except BaseException:
                self._opened = None
                _close(connection)
                raise
        return self._opened

    def _prepare(self, connection: sqlite3.Connection) -> Ledger:
        schema.check_for_writing(connection, self.path)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heard where the file is new
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{self.path} lies where SQLite cannot keep a write-ahead log: {mode}")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # in tidy, when nobody waits for it
        connection.execute(f"PRAGMA journal_size_limit = {4 * LOG_PAGES * _FRAME}")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA secure_delete = ON")  # as some builds have it: gone is gone
        schema.migrate(connection)
        connection.text_factory = bytes
        self._log_is_long = False
        return Ledger.open(connection)

    def _mend_deletions(self, connection: sqlite3.Connection) -> None:
        """A document whose deletion has a wrong name would be open to everybody.

        Where too much is wrong with them for that, the documents are served all the same.
        """
        try:
            for row in deletions.unsound(connection)[:_MOST_MENDED]:
                with self._transaction(connection):
                    deletions.mend(connection, row)
        except sqlite3.Error as error:
            if not tells_damage(error):
                raise

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
        self._log_pages = 0
        sync(self.path.parent)

    def _drop(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            _close(opened.connection)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        connection.close()


def _carry_out(connection: sqlite3.Connection, plan: Plan) -> None:
    """Commit a batch. Where nothing is new but the entries, that is one step of SQLite."""
    alone = not plan.names and len(plan.entries) <= LARGEST * _insert_entries.width
    if alone:
        _insert_entries(connection, plan.entries)
        return
    connection.execute("BEGIN IMMEDIATE")
    names.write(connection, plan.names)
    _put_tallies(connection, plan.tallies)
    _insert_entries(connection, plan.entries)
    connection.execute("COMMIT")


def _write_tallies(
    connection: sqlite3.Connection, values: Sequence[Any], last_position: Position
) -> None:
    """Write tallies, and the last position with them: no head may ever stand before it."""
    _put_tallies(connection, values)
    meta.write(connection, "last_position", str(last_position))
