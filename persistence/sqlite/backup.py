"""A copy of a database, made while it is in use. Everything here blocks.

SQLite's online backup copies page by page; where somebody writes in between, it begins again. So
the source is read inside one transaction: the copy is of the moment at which that began, however
long it takes and however much is written meanwhile (which only lengthens the write-ahead log).

The copy is made beside its destination, settled, checked and synced, and only then renamed: what
stands at the destination is a whole copy, or what stood there before.

A copy goes its own way: positions and offsets that it gives out later were given out by the
original, too, for something else. So its database and its sessions get new epochs: whoever comes
back with a place in the original's log is told that the gap cannot be filled.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from persistence.sqlite import schema
from persistence.sqlite.errors import tells_damage, translated
from persistence.sqlite.files import beside, open_to_read, remove, sync
from persistence.sqlite.lock import WriterLock, last_writer
from persistence.sqlite.log_file import log_of
from persistence.sqlite.queries import one_moment
from persistence.sqlite.rows import seal_meta
from persistence.sqlite.session_rows import STATE_COLUMNS, open_state, state_row
from persistence.sqlite.writing import FileWriter
from persistence.store import Position, SessionState, StoreError, StoreInUse, StoreUnavailable

STEP_PAGES = 512
"""Pages copied between two looks at the progress; each is followed by a sync.

Many megabytes that wait to be written would hold up the syncs of whoever shares the disk.
"""

PATIENCE = 1.0  # seconds to wait for another process's lock

ATTEMPTS = 10
"""A copy is begun anew so many times, where services are started meanwhile."""

FINDINGS = 10
"""What is wrong with a copy is told up to so many times."""

_PUT_META = "INSERT OR REPLACE INTO meta (key, value, checksum) VALUES ('epoch', ?, ?)"
_STATES = f"SELECT {STATE_COLUMNS} FROM session_states"  # noqa: S608 -- our own names
_PUT_STATE = "UPDATE session_states SET epoch = ?, checksum = ? WHERE session = ?"
_COUNTS = """
    SELECT (SELECT count(*) FROM tallies),
        (SELECT count(*) FROM entries), (SELECT coalesce(max(position), 0) FROM entries)"""

Progress = Callable[[int, int], None]
"""Told how many bytes are copied, and of how many."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a backup holds."""

    path: Path
    size: int  # bytes
    documents: int
    entries: int
    position: Position  # of the last entry
    older: bool  # it has the schema of an older draftsync, and was left as it is
    findings: tuple[str, ...]  # what is wrong with it, and so with the database; empty: sound


def copy_database(
    source: str | Path, target: str | Path, progress: Progress, *, overwrite: bool = False
) -> Copy:
    """Copy a database, with its service up, down or killed.

    A copy that is damaged, because the database is, never takes the place of an earlier one.
    Raises StoreError where there is no database of ours, no room, or something at the target that
    is not to be overwritten; StoreTooNew; StoreInUse where the target is a database in use;
    StoreUnavailable.
    """
    source, target = Path(source).resolve(), Path(target).resolve()
    _check_target(target, overwrite=overwrite)
    if source == target:
        raise StoreError(f"{target} is the database itself: give the copy another name")
    with translated(target), _part(source, target) as part:
        older = _copy(source, part, progress)
        unsettled = () if older else _settle(part.path)
        counts, found = _check(part.path)
        findings = found or unsettled
        if findings and target.exists():
            raise StoreError(
                f"the copy is damaged ({findings[0]}), and so is {source}: `draftsync doctor` "
                f"tells where. {target} was left as it was; give another name for this copy"
            )
        os.fsync(part.descriptor)
        size = os.fstat(part.descriptor).st_size
        _check_target(target, overwrite=overwrite)  # it took a while
        part.path.rename(target)
        sync(target.parent)
    documents, entries, position = counts
    return Copy(target, size, documents, entries, Position(position), older, findings)


def _check_target(target: Path, *, overwrite: bool) -> None:
    """See that a copy may be put there. Raises StoreError, StoreInUse.

    The log of another database would be taken for the copy's, and ruin it.
    """
    if target.is_dir():
        raise StoreError(f"{target} is a folder: give the name of a file in it")
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent} for the copy")
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists already: give another name, or --force")
    if beside(target, "-lock").exists():
        WriterLock(target).release()
    log = log_of(target)
    if log.exists() and log.stat().st_size:
        raise StoreInUse(
            f"{target} is a database in use, or one that was not closed ({log.name} is beside it): "
            "give another name"
        )


# The copy in the making


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    descriptor: int  # to sync it by; closed last, since closing it drops SQLite's locks


@contextmanager
def _part(source: Path, target: Path) -> Iterator[_Part]:
    """A new file beside the target, that is gone at the end with all that SQLite put beside it."""
    descriptor, name = tempfile.mkstemp(".part", f"{target.name}.", target.parent)
    path = Path(name)
    try:
        with suppress(FileNotFoundError):  # then opening it says so
            os.fchmod(descriptor, source.stat().st_mode & 0o777)
        yield _Part(path, descriptor)
    finally:
        os.close(descriptor)
        remove(path)


class _OtherWriter(Exception):
    """The database has another writer than when the copy was begun."""


def _copy(source: Path, part: _Part, progress: Progress) -> bool:
    """Copy every page. Tells whether the database is of an older draftsync.

    A service that is started brings the whole log into the database first, which waits for whoever
    reads an earlier moment: for that it goes first, and the copy is begun again.
    """
    for _ in range(ATTEMPTS):
        with suppress(_OtherWriter):
            return _copy_once(source, part, progress)
        os.ftruncate(part.descriptor, 0)
    raise StoreUnavailable(f"services are started on {source} all the time: try again later")


def _copy_once(source: Path, part: _Part, progress: Progress) -> bool:
    owner = last_writer(source)

    def stepped(_status: int, remaining: int, total: int) -> None:
        os.fsync(part.descriptor)
        progress((total - remaining) * page_bytes, total * page_bytes)
        if last_writer(source) != owner:
            raise _OtherWriter

    with closing(open_to_read(source, PATIENCE)) as reading, one_moment(reading):
        older = _is_older(reading, source)
        (page_bytes,) = reading.execute("PRAGMA page_size").fetchone()
        (pages,) = reading.execute("PRAGMA page_count").fetchone()
        _check_room(part.path.parent, pages * page_bytes)
        with closing(sqlite3.connect(part.path, isolation_level=None)) as writing:
            writing.execute("PRAGMA journal_mode = OFF")  # what fails is thrown away
            writing.execute("PRAGMA synchronous = OFF")  # each step is synced
            reading.backup(writing, pages=STEP_PAGES, progress=stepped)
    return older


def _is_older(connection: sqlite3.Connection, source: Path) -> bool:
    """Raises StoreError, StoreTooNew for what is no database of ours."""
    with translated(source):
        schema.check_for_writing(connection, source)
        if not schema.applied(connection):
            raise StoreError(f"there is nothing in {source}")
        return bool(schema.pending(connection))


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(f"the copy takes {needed:,} bytes, and {folder} has {free:,} left")


def _settle(path: Path) -> tuple[str, ...]:
    """Write what the source had not written behind yet, and give new epochs.

    A damaged one stays as it is, and why is returned: a copy of a damaged database is better than
    none. Whatever else goes wrong, such as a full disk, is raised: no sound copy goes out under the
    original's epochs.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            _give_epochs(connection)
        writer = FileWriter(path)
        try:
            writer.open()
        finally:
            writer.close()
    except (StoreError, sqlite3.DatabaseError) as error:
        if not tells_damage(error.__cause__ or error):
            raise
        return (str(error),)
    return ()


def _give_epochs(connection: sqlite3.Connection) -> None:
    connection.text_factory = bytes
    connection.execute("BEGIN IMMEDIATE")
    epoch = secrets.token_hex(16)
    connection.execute(_PUT_META, (epoch, seal_meta("epoch", epoch)))
    for row in connection.execute(_STATES).fetchall():
        if (opened := open_state(row)) is not None:
            session, (_, state, body) = opened
            changed = SessionState(secrets.token_hex(8), state, body)
            _, _, epoch, _, checksum, _ = state_row(session, changed)
            connection.execute(_PUT_STATE, (epoch, checksum, session.number))
    connection.execute("COMMIT")


def _check(path: Path) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """Count documents and entries, tell the last position, and what is wrong with the file."""
    uri = path.as_uri() + "?mode=ro&immutable=1"  # nobody else knows it
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            rows = connection.execute(f"PRAGMA quick_check({FINDINGS})").fetchall()
            counts = connection.execute(_COUNTS).fetchone()
        except sqlite3.DatabaseError as error:
            return (0, 0, 0), (str(error),)
    return counts, tuple(text for (text,) in rows if text != "ok")
