"""Reading documents out of a connection, damaged ones too. Plain functions; they block."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from persistence.sqlite.rows import (
    DOCUMENT_COLUMNS,
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    Link,
    Row,
    Tally,
    open_document,
    open_entry,
    open_meta,
    open_snapshot,
)
from persistence.store import (
    NOWHERE,
    Damage,
    Entry,
    Head,
    Position,
    Snapshot,
    StoredDocument,
    StoreError,
)

# Positions come from the index and the rows from the table: asked in one, SQLite takes the name
# from the index, and a name damaged in the row would go unseen.
_ENTRIES = f"""
    SELECT {ENTRY_COLUMNS} FROM entries
    WHERE position IN (SELECT position FROM entries WHERE document = ? AND position > ?)
    ORDER BY position"""  # noqa: S608 -- only our own column names
_DOCUMENT = f"SELECT {DOCUMENT_COLUMNS} FROM documents WHERE document = ?"  # noqa: S608
_DOCUMENTS = f"SELECT {DOCUMENT_COLUMNS} FROM documents NOT INDEXED"  # noqa: S608
_SNAPSHOT = f"SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE document = ?"  # noqa: S608
_SUMS = """
    SELECT min(position), max(position), count(*), total(length("update"))
    FROM entries WHERE document = ?"""
_AUTHOR = "SELECT author, received_at FROM entries WHERE position = ?"

UNFIT = "its checksum does not fit"
MISSING = "its row is missing"


@contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several SELECTs see the same state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def load(connection: sqlite3.Connection, document: str) -> StoredDocument:
    """Read one document; see :meth:`persistence.store.Reader.load`. Raises sqlite3.Error."""
    with one_moment(connection):
        tally, reason = find_document(connection, document)
        snapshot, damaged = _find_snapshot(connection, document, tally)
        start = snapshot.position if snapshot else NOWHERE
        rows = connection.execute(_ENTRIES, (document, start)).fetchall()
    entries, missed, head = _chain(rows, document, start, tally)
    never_written = reason == MISSING and not (rows or snapshot or damaged)
    if reason and not never_written:
        damaged = (Damage(head, "document", reason), *damaged)
    return StoredDocument(document, snapshot, entries, head, (*damaged, *missed))


def find_document(
    connection: sqlite3.Connection, document: str
) -> tuple[Tally, None] | tuple[None, str]:
    """Return what ``documents`` has to say of a document, or why it has nothing to say."""
    rows = connection.execute(_DOCUMENT, (document,)).fetchall()
    for row in rows:
        tally = open_document(row)
        if tally is not None and tally.document == document:
            return tally, None
    return None, UNFIT if rows else MISSING


def _find_snapshot(
    connection: sqlite3.Connection, document: str, tally: Tally | None
) -> tuple[Snapshot | None, tuple[Damage, ...]]:
    rows = connection.execute(_SNAPSHOT, (document,)).fetchall()
    known = Position(tally.snapshot) if tally else NOWHERE
    for row in rows:
        if (snapshot := open_snapshot(row, document)) is not None:
            return snapshot, ()
    if rows:
        return None, (Damage(known, "snapshot", UNFIT),)
    return None, (Damage(known, "snapshot", MISSING),) if known else ()


def _chain(
    rows: list[Row], document: str, start: Position, tally: Tally | None
) -> tuple[tuple[Entry, ...], tuple[Damage, ...], Position]:
    """Open the entries behind ``start`` and miss those that the others point at.

    Returns the sound entries in order, the damage, and the document's head.
    """
    opened = [(row[0], open_entry(row, document)) for row in rows]
    links: list[Link] = [link for _, link in opened if link]
    unfit = [position for position, link in opened if link is None]
    there = {start, *(position for position, _ in opened)}
    head = tally.head if tally else max(there)
    missing = ({link.previous for link in links} | {head}) - there
    damage = [Damage(Position(position), "entry", UNFIT) for position in unfit]
    damage += [Damage(Position(position), "entry", MISSING) for position in missing]
    damage.sort(key=lambda one: one.position)
    return tuple(link.entry for link in links), tuple(damage), Position(head)


def heads(connection: sqlite3.Connection, prefix: str = "") -> list[Head]:
    """List documents; see :meth:`persistence.store.Reader.heads`. Raises sqlite3.Error.

    The whole table is read, without its index, and compared in Python: names are case-sensitive,
    and a damaged one may stand anywhere. What a damaged row should say is added up from entries.
    """
    with one_moment(connection):
        rows = connection.execute(_DOCUMENTS).fetchall()
        tallies = {tally.document: tally for row in rows if (tally := open_document(row))}
        if len(tallies) < len(rows):
            for name in _names(connection) - tallies.keys():
                if tally := add_up(connection, name):
                    tallies[name] = tally
    return [tallies[name].as_head() for name in sorted(tallies) if name.startswith(prefix)]


def _names(connection: sqlite3.Connection) -> set[str]:
    names = connection.execute("SELECT DISTINCT document FROM entries")
    return {name.decode(errors="replace") for (name,) in names if isinstance(name, bytes)}


def add_up(connection: sqlite3.Connection, document: str) -> Tally | None:
    """Make the row of a document anew, from its entries and its snapshot; None if it has none."""
    first, last, edits, size = connection.execute(_SUMS, (document,)).fetchone()
    snapshot, _ = _find_snapshot(connection, document, None)
    covered = snapshot.position if snapshot else NOWHERE
    if not edits:
        return None
    created_at = connection.execute(_AUTHOR, (first,)).fetchone()[1]
    author, updated_at = connection.execute(_AUTHOR, (last,)).fetchone()
    name = author.decode(errors="replace")
    head = max(last, covered)
    return Tally(document, head, edits, int(size), name, created_at, updated_at, covered)


def read_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value of ``meta``, None where it is damaged or missing."""
    row = connection.execute("SELECT value, checksum FROM meta WHERE key = ?", (key,)).fetchone()
    return open_meta(key, *row) if row else None


def read_epoch(connection: sqlite3.Connection) -> str:
    """Return the database's epoch. Raises StoreError when it is damaged."""
    epoch = read_meta(connection, "epoch")
    if epoch is None:
        raise StoreError("the database's epoch is damaged; `draftsync doctor` tells more")
    return epoch
