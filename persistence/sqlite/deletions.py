"""Documents that were deleted, and what is left of those that are purged.

Plain functions; they block, and who writes gives the transaction. A row that fails its checksum is
taken as it stands: the document stays deleted. But it is never taken as purged, so that a flipped
bit removes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from persistence.past import MOST_PURGED
from persistence.sqlite import meta
from persistence.sqlite.repair_mend import mended
from persistence.sqlite.rows import Document, Row, Tally
from persistence.sqlite.seals import MISFITS, legible, seal_texts
from persistence.sqlite.statements import Lookup
from persistence.store import Deletion, to_milliseconds

COLUMNS = 'document, "by", at, purged, checksum'

_ONE = f"SELECT {COLUMNS} FROM deletions WHERE document = ?"  # noqa: S608 -- our own names
_ALL = f"SELECT {COLUMNS} FROM deletions"  # noqa: S608
_PUT = f"INSERT OR REPLACE INTO deletions ({COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
_REMOVE = "DELETE FROM deletions WHERE document = ?"
_REMOVE_DAMAGED = "DELETE FROM deletions WHERE checksum = ? AND at = ?"
_FIRST = """
    WITH first AS (
        SELECT position, length("update") AS size FROM entries
        WHERE document = ? ORDER BY position LIMIT ?)
    SELECT max(position), count(*), sum(size) FROM first"""
_REMOVE_ENTRIES = "DELETE FROM entries WHERE document = ? AND position <= ?"
_REMOVE_ASIDE = """
    DELETE FROM quarantine WHERE name = ? AND source IN
    ('entries', 'tallies', 'snapshots', 'bases')"""
_COUNT_ASIDE = "SELECT count(*) FROM quarantine WHERE name = ? AND source = 'entries'"

_some = Lookup("deletions", "document", COLUMNS)

_LAST = 2**63 - 1  # the highest position that SQLite can hold


def deletion_row(deletion: Deletion) -> Row:
    """Return the columns of a deletion, in the order of COLUMNS."""
    at, purged = to_milliseconds(deletion.at), int(deletion.purged)
    checksum = _seal(deletion.document.encode(), deletion.by.encode(), at, purged)
    return (deletion.document, deletion.by, at, purged, checksum)


def _seal(document: bytes, by: bytes, at: int, purged: int) -> bytes:
    return seal_texts(b"deletions", (at, purged), document, by)


def open_deletion(row: Row) -> tuple[Deletion, bool]:
    """Return a deletion from the columns of COLUMNS, as far as it is legible; whether it is sound.

    One that is not sound is not purged.
    """
    document, by, at, purged, checksum = row
    try:
        sound = bool(checksum == _seal(document, by, at, purged))
    except MISFITS:
        sound = False
    seconds = at / 1_000 if isinstance(at, int) else 0.0
    return Deletion(legible(document), legible(by), seconds, sound and bool(purged)), sound


def find(connection: sqlite3.Connection, document: str) -> Deletion | None:
    """Return the deletion of a document."""
    row = connection.execute(_ONE, (document,)).fetchone()
    return open_deletion(row)[0] if row else None


def read_all(connection: sqlite3.Connection) -> list[Deletion]:
    """List them; see :meth:`persistence.store.Reader.deletions`."""
    found = (open_deletion(row)[0] for row in connection.execute(_ALL))
    return sorted(found, key=lambda one: one.document)


def read_some(connection: sqlite3.Connection, documents: Sequence[str]) -> list[Deletion]:
    """List those of some documents."""
    return [open_deletion(row)[0] for row in _some(connection, documents)]


def delete(connection: sqlite3.Connection, deletion: Deletion) -> bool:
    """Put a deletion; False where there is one."""
    if find(connection, deletion.document) is not None:
        return False
    connection.execute(_PUT, deletion_row(replace(deletion, purged=False)))
    return True


def forget(connection: sqlite3.Connection, document: str) -> None:
    """Take a deletion away."""
    connection.execute(_REMOVE, (document,))


def unsound(connection: sqlite3.Connection) -> list[Row]:
    """Return the rows that fail their checksum."""
    return [row for row in connection.execute(_ALL) if not open_deletion(row)[1]]


def mend(connection: sqlite3.Connection, row: Row) -> Deletion | None:
    """Put right a row that one byte is wrong of; None where that cannot be.

    Were it its name, the document would be open again, and another closed.
    """
    found = mended(row, lambda tried: open_deletion(tried)[1])
    if found is None:
        return None
    deletion, _ = open_deletion(found)
    put_again(connection, row, deletion)
    return deletion


def put_again(connection: sqlite3.Connection, row: Row, deletion: Deletion) -> None:
    """Put a deletion in the place of a row that is damaged."""
    connection.execute(_REMOVE_DAMAGED, (row[-1], row[2]))  # its key may be what is wrong
    connection.execute(_PUT, deletion_row(deletion))


# Purging


def begin_purge(connection: sqlite3.Connection, deletion: Deletion) -> None:
    """From here on the document is hidden, whatever is left of it."""
    connection.execute(_PUT, deletion_row(replace(deletion, purged=True)))


def purge_some(connection: sqlite3.Connection, tally: Tally) -> tuple[Tally, int]:
    """Remove the first entries of a document, or, without any, the rest; say what is left.

    The number is 0 where nothing was. The caller writes the tally.
    """
    [(cut, count, size)] = connection.execute(_FIRST, (tally.document.id, MOST_PURGED))
    if count:
        connection.execute(_REMOVE_ENTRIES, (tally.document.id, cut))
        meta.count_removed(connection, count)
        left = replace(
            tally, edits=max(tally.edits - count, 0), size=max(tally.size - size, 0), thinned=cut
        )
        return left, count
    rest = _remove_rest(connection, tally.document)
    return Tally.empty(tally.document, 0, 0), int(bool(rest or tally.head))


def purge_all(connection: sqlite3.Connection, tally: Tally) -> Tally:
    """Remove whatever an interrupted purge left of a document."""
    gone = connection.execute(_REMOVE_ENTRIES, (tally.document.id, _LAST)).rowcount
    meta.count_removed(connection, gone)
    _remove_rest(connection, tally.document)
    return Tally.empty(tally.document, 0, 0)


def _remove_rest(connection: sqlite3.Connection, document: Document) -> int:
    """Remove what stands for the entries of a document; return how many rows there were."""
    [(aside,)] = connection.execute(_COUNT_ASIDE, (document.name,))
    meta.count_removed(connection, aside)
    rows = connection.execute(_REMOVE_ASIDE, (document.name,)).rowcount
    for table in ("snapshots", "bases"):
        sql = f"DELETE FROM {table} WHERE document = ?"  # noqa: S608 -- our own names
        rows += connection.execute(sql, (document.id,)).rowcount
    return rows
