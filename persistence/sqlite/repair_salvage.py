"""A new file out of a damaged one: every row that can still be read, found page by page.

The old file and its log are kept beside the new one. The change from one to the other has one
moment, the renaming to ``.salvaged``: a crash before it leaves the old file as it was, one behind
it is finished by the next repair.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from persistence.sqlite import deletions, names, revocations, schema
from persistence.sqlite.checkup_findings import Progress
from persistence.sqlite.checkup_sessions import is_sound_cursor, is_sound_letter
from persistence.sqlite.files import beside, remove, sync
from persistence.sqlite.log_file import log_of
from persistence.sqlite.names import Kind
from persistence.sqlite.repair_pages import Cell, Pages
from persistence.sqlite.rows import (
    BASES,
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    TALLY_COLUMNS,
    Author,
    Document,
    Row,
    open_entry,
    open_meta,
    open_snapshot,
    open_tally,
)
from persistence.sqlite.seals import legible
from persistence.sqlite.session_rows import (
    ACKNOWLEDGEMENT_COLUMNS,
    CURSOR_COLUMNS,
    DEAD_LETTER_COLUMNS,
    EVENT_COLUMNS,
    LOG_COLUMNS,
    STATE_COLUMNS,
    Session,
    open_acknowledgement,
    open_event,
    open_log,
    open_state,
)

_META_COLUMNS = "key, value, checksum"
_QUARANTINE_COLUMNS = "id, at, source, name, position, reason, columns"
_FIRST_TABLES = ("meta", "names", "ids", "session_states", "session_logs")
_DONE, _DOING = ".salvaged", ".salvaging"


@dataclass(frozen=True, slots=True)
class Kept:
    """A table whose rows are looked for."""

    name: str
    columns: tuple[str, ...]  # as rows.py has them
    stored: tuple[str, ...]  # as a page has them
    types: dict[str, str]
    rowid: str | None  # the column that is the rowid, and so not among the stored ones
    defaults: dict[str, object]  # of the columns that may be empty, and rows of old lack

    def row(self, cell: Cell) -> Row | None:
        """The columns of a cell if it may be of this table."""
        if (cell.rowid is None) != (self.rowid is None) or len(cell.columns) > len(self.stored):
            return None
        found = dict(zip(self.stored, cell.columns, strict=False))
        for name in self.stored[len(cell.columns) :]:
            if name not in self.defaults:
                return None
            found[name] = self.defaults[name]
        if self.rowid is not None:
            found[self.rowid] = cell.rowid
        for name in self.columns:
            lacking = found[name] is None and name in self.defaults
            if not lacking and not _is(found[name], self.types[name]):
                return None
        return tuple(found[name] for name in self.columns)


def _is(value: object, type_: str) -> bool:
    return isinstance(value, int if type_ == "INTEGER" else bytes)


@dataclass(slots=True)
class Salvage:
    """Rows that were found, by table; and those that look like rows, but are not sound."""

    pages: Pages
    tables: dict[str, Kept]
    found: dict[str, int] = field(default_factory=dict)
    documents: dict[int, Document] = field(default_factory=dict)
    authors: dict[int, Author] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    unsound: list[tuple[Kept, Row]] = field(default_factory=list)
    patience: int = 2_000  # pages that are looked through byte by byte


def salvage(path: Path, progress: Progress) -> tuple[Path, dict[str, int]]:
    """Make the database anew; return where the old one is kept, and rows found by table.

    The caller holds the writer's lock, and has no connection open. Raises OSError, sqlite3.Error.
    """
    making = beside(path, _DOING)
    remove(making)
    pages = Pages(path)
    try:
        found = _fill(making, pages, progress)
        _liken(making, path)
    except BaseException:
        remove(making)  # it may be what filled the disk
        raise
    finally:
        pages.close()
    kept = _free_name(path)
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            os.link(beside(path, suffix), beside(kept, suffix))
    sync(making)
    making.rename(beside(path, _DONE))
    sync(path.parent)  # before anything of the old one goes
    finish(path)
    return kept, found


def _liken(making: Path, path: Path) -> None:
    """Let a new file be for whom the old one is, and as old: :func:`finish` asks for that."""
    old = path.stat()
    if os.geteuid() == 0:
        os.chown(making, old.st_uid, old.st_gid)
    making.chmod(old.st_mode & 0o777)
    os.utime(making, ns=(old.st_atime_ns, _last_change(path)))


def _last_change(path: Path) -> int:
    """When a database was written, by its clock, or else its log."""
    found = (each.stat() for each in (path, log_of(path)) if each.exists())
    return max(each.st_mtime_ns for each in found if each.st_size)


def _free_name(path: Path) -> Path:
    """A name for the old file that no other has."""
    name = f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
    kept, number = path.with_name(name), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{name}-{number}")
    return kept


def finish(path: Path) -> bool:
    """Put a new file that is complete in the place of the old one. Tells whether there was one."""
    done = beside(path, _DONE)
    if not done.exists():
        return False
    if _last_change(path) > done.stat().st_mtime_ns:
        remove(done)  # somebody wrote the old file meanwhile
        return False
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
    done.replace(path)
    sync(path.parent)
    return True


def _fill(making: Path, pages: Pages, progress: Progress) -> dict[str, int]:
    with closing(sqlite3.connect(making, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = OFF")  # a crash begins it anew
        schema.migrate(connection)
        salvage_ = Salvage(pages, _tables(connection))
        connection.text_factory = bytes
        connection.execute("BEGIN")
        connection.execute("DELETE FROM meta")
        sound = _sound(salvage_)
        _pass(connection, salvage_, _FIRST_TABLES, sound, progress)
        others = tuple(name for name in salvage_.tables if name not in _FIRST_TABLES)
        _pass(connection, salvage_, others, sound, progress)
        for table, row in salvage_.unsound:
            with suppress(sqlite3.Error):
                _insert(connection, table, row, "OR IGNORE")
        _drop_removed(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    return salvage_.found


def _tables(connection: sqlite3.Connection) -> dict[str, Kept]:
    columns = {
        "meta": _META_COLUMNS,
        "names": names.NAME_COLUMNS,
        "ids": names.NAME_COLUMNS,
        "session_states": STATE_COLUMNS,
        "session_logs": LOG_COLUMNS,
        "entries": ENTRY_COLUMNS,
        "tallies": TALLY_COLUMNS,
        "snapshots": SNAPSHOT_COLUMNS,
        "session_events": EVENT_COLUMNS,
        "acknowledgements": ACKNOWLEDGEMENT_COLUMNS,
        "cursors": CURSOR_COLUMNS,
        "dead_letters": DEAD_LETTER_COLUMNS,
        "bases": SNAPSHOT_COLUMNS,
        "deletions": deletions.COLUMNS,
        "revocations": revocations.COLUMNS,
        "quarantine": _QUARANTINE_COLUMNS,
    }
    return {name: _kept(connection, name, each) for name, each in columns.items()}


def _kept(connection: sqlite3.Connection, table: str, columns: str) -> Kept:
    """How a table's rows are stored: without rowids, the key's columns come first."""
    info = connection.execute(f"PRAGMA table_info({table})").fetchall()
    [(sql,)] = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
    with_rowid = "WITHOUT ROWID" not in sql
    rowid = next((name for _, name, _, _, _, key in info if with_rowid and key), None)
    first = sorted((key, name) for _, name, _, _, _, key in info if key and not with_rowid)
    keys = [name for _, name in first]
    return Kept(
        table,
        tuple(name.strip().strip('"') for name in columns.split(",")),
        (*keys, *(name for _, name, *_ in info if name not in keys)),
        {name: type_ for _, name, type_, *_ in info},
        rowid,
        {name: None for _, name, _, needed, _, key in info if not needed and not key},
    )


def _is_aside(row: Row) -> bool:
    """Rows of the quarantine have no checksum; but what they hold is JSON."""
    try:
        return isinstance(json.loads(row[6]), dict)
    except ValueError:
        return False


Sound = dict[str, Callable[[Row], bool]]


def _sound(salvage_: Salvage) -> Sound:
    """What tells of each table whether a row is sound."""
    documents, sessions = salvage_.documents, salvage_.sessions

    def entry(row: Row) -> bool:
        document = documents.get(row[0])
        return document is not None and open_entry(row, document, salvage_.authors.get) is not None

    def tally(row: Row) -> bool:
        document = documents.get(row[0])
        return document is not None and open_tally(row, document) is not None

    def snapshot(row: Row) -> bool:
        document = documents.get(row[0])
        return document is not None and open_snapshot(row, document) is not None

    def base(row: Row) -> bool:
        document = documents.get(row[0])
        return document is not None and open_snapshot(row, document, BASES) is not None

    def event(row: Row) -> bool:
        session = sessions.get(row[0])
        return session is not None and open_event(row, session) is not None

    def acknowledgement(row: Row) -> bool:
        session = sessions.get(row[0])
        return session is not None and open_acknowledgement(row, session) is not None

    return {
        "meta": lambda row: open_meta(legible(row[0]), *row[1:]) is not None,
        "names": names.is_sound,
        "ids": names.is_sound,
        "session_states": lambda row: open_state(row) is not None,
        "session_logs": lambda row: open_log(row) is not None,
        "entries": entry,
        "tallies": tally,
        "snapshots": snapshot,
        "session_events": event,
        "acknowledgements": acknowledgement,
        "cursors": lambda row: is_sound_cursor(row, sessions),
        "dead_letters": lambda row: is_sound_letter(row, sessions),
        "bases": base,
        "deletions": lambda row: deletions.open_deletion(row)[1],
        "revocations": revocations.is_sound,
        "quarantine": _is_aside,
    }


def _pass(
    connection: sqlite3.Connection,
    salvage_: Salvage,
    wanted: tuple[str, ...],
    sound: Sound,
    progress: Progress,
) -> None:
    """Look through all pages for rows of some tables. A page has rows of one table."""
    for number in range(1, len(salvage_.pages) + 1):
        if number % 256 == 1:
            progress("pages", number, len(salvage_.pages))
        _look_at(connection, salvage_, wanted, sound, number)


def _look_at(
    connection: sqlite3.Connection,
    salvage_: Salvage,
    wanted: tuple[str, ...],
    sound: Sound,
    number: int,
) -> None:
    table: Kept | None = None
    unsound: list[Cell] = []
    broken = False
    for cell in salvage_.pages.cells(number):
        found = _table_of(salvage_, sound, cell, table) if cell is not None else None
        if found is not None:
            table, row = found
            if table.name in wanted:
                _keep(connection, salvage_, table, row)
        elif cell is None:
            broken = True
        elif any(each.row(cell) is not None for each in salvage_.tables.values()):
            unsound.append(cell)  # and no index's
    if (broken or unsound or salvage_.pages.is_odd(number)) and salvage_.patience > 0:
        salvage_.patience -= 1
        pages = salvage_.pages
        for cell in chain(pages.anywhere(number), pages.nearly(number)):
            found = _table_of(salvage_, sound, cell, table)
            if found is not None and found[0].name in wanted:
                _keep(connection, salvage_, *found)
    for cell in unsound:
        _keep_unsound(salvage_, cell, table, wanted)


def _table_of(
    salvage_: Salvage, sound: Sound, cell: Cell, likely: Kept | None
) -> tuple[Kept, Row] | None:
    """The table that a cell is a sound row of; ``likely`` is tried first."""
    for table in (*([likely] if likely else []), *salvage_.tables.values()):
        row = table.row(cell)
        if row is not None and sound[table.name](row):
            return table, row
    return None


def _keep_unsound(
    salvage_: Salvage, cell: Cell, table: Kept | None, wanted: tuple[str, ...]
) -> None:
    for each in [table] if table is not None else salvage_.tables.values():
        row = each.row(cell)
        if row is not None and len(cell.columns) == len(each.stored):
            if each.name in wanted:
                salvage_.unsound.append((each, row))
            return


def _keep(connection: sqlite3.Connection, salvage_: Salvage, table: Kept, row: Row) -> None:
    name = table.name
    _learn(salvage_, name, row)
    if name in _NEWER:
        sql, column = _NEWER[name]
        known = connection.execute(sql, (row[0],)).fetchone()
        if known is not None and _order(known[0]) >= _order(row[column]):
            return
    _insert(connection, table, row, "OR REPLACE" if name in _NEWER else "OR IGNORE")
    salvage_.found[name] = salvage_.found.get(name, 0) + 1


def _order(value: object) -> int:
    """Numbers as they are; of facts only the last position has an order."""
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, bytes) and value.isdigit() else -1


_NEWER = {
    "tallies": ("SELECT head FROM tallies WHERE document = ?", 1),
    "snapshots": ("SELECT position FROM snapshots WHERE document = ?", 1),
    "bases": ("SELECT position FROM bases WHERE document = ?", 1),
    "session_logs": ("SELECT top FROM session_logs WHERE id = CAST(? AS TEXT)", 4),
    "meta": ("SELECT value FROM meta WHERE key = CAST(? AS TEXT)", 1),
}
"""Of these a page may be there in several states: the highest is the newest."""


def _learn(salvage_: Salvage, table: str, row: Row) -> None:
    """Later rows are known by what earlier ones say."""
    if table in ("names", "ids"):
        id_, kind, name, _ = row
        if kind == Kind.DOCUMENT:
            salvage_.documents[id_] = Document.of(id_, name.decode())
        else:
            salvage_.authors[id_] = Author(id_, name)
    elif table == "session_states":
        salvage_.sessions[row[0]] = Session.of(row[0], row[1].decode())
    elif table == "session_logs":
        salvage_.sessions[row[1]] = Session.of(row[1], row[0].decode())


def _insert(connection: sqlite3.Connection, table: Kept, row: Row, verb: str) -> None:
    places = ", ".join(
        "CAST(? AS TEXT)" if table.types[name] == "TEXT" else "?" for name in table.columns
    )
    columns = ", ".join(f'"{name}"' for name in table.columns)
    sql = f"INSERT {verb} INTO {table.name} ({columns}) VALUES ({places})"  # noqa: S608
    connection.execute(sql, row)


def _drop_removed(connection: sqlite3.Connection) -> None:
    """What retention removed is not to come back out of pages that were not overwritten yet."""
    connection.execute(
        "DELETE FROM entries WHERE position <= coalesce("
        "(SELECT thinned FROM tallies WHERE tallies.document = entries.document), 0)"
    )
    connection.execute(
        "DELETE FROM session_events WHERE offset > 0 AND offset <= coalesce("
        "(SELECT truncated FROM session_logs WHERE session_logs.session = "
        "session_events.session), 0)"
    )
