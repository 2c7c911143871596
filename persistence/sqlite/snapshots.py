"""Keeping snapshots and bases. Plain functions on the writer's connection, in its transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from persistence.checks import check_snapshot
from persistence.past import earliest
from persistence.sqlite import queries
from persistence.sqlite.rows import BASES, SNAPSHOT_COLUMNS, Tally, snapshot_row
from persistence.sqlite.statements import Insert
from persistence.store import Position, Snapshot

_put_snapshot = Insert("snapshots", SNAPSHOT_COLUMNS, "INSERT OR REPLACE")
_put_base = Insert("bases", SNAPSHOT_COLUMNS, "INSERT OR REPLACE")
_IS_ENTRY = "SELECT 1 FROM entries WHERE document = ? AND position = ?"
_DROP_BASE = "DELETE FROM bases WHERE document = ? AND (position < ? OR position >= ?)"


def keep(connection: sqlite3.Connection, tally: Tally | None, snapshot: Snapshot) -> Tally | None:
    """Put a snapshot in the place of an older one; return the document's tally, if it changed.

    The older one becomes the base where history begins with it.
    """
    old = queries.find_snapshot(connection, tally.document) if tally else None
    known = _checked(connection, tally, snapshot, old)
    if old is not None and old.position >= snapshot.position:
        return None
    if known.thinned:
        _keep_beginning(connection, known, old)
    _put_snapshot(connection, snapshot_row(known.document, snapshot))
    return replace(known, snapshot=snapshot.position)


def _keep_beginning(connection: sqlite3.Connection, tally: Tally, old: Snapshot | None) -> None:
    base = queries.find_base(connection, tally.document)
    if old is not None and earliest(Position(tally.thinned), base, old) is old:
        _put_base(connection, snapshot_row(tally.document, old, BASES))


def rebase(connection: sqlite3.Connection, tally: Tally | None, base: Snapshot) -> bool:
    """Put a base in the place of an older one; False where that is as new."""
    snapshot = queries.find_snapshot(connection, tally.document) if tally else None
    known = _checked(connection, tally, base, snapshot)
    old = queries.find_base(connection, known.document)
    if old is not None and old.position >= base.position:
        return False
    _put_base(connection, snapshot_row(known.document, base, BASES))
    return True


def drop_base(connection: sqlite3.Connection, tally: Tally, snapshot: Position) -> None:
    """Remove a base that is of no use: entries behind it are gone, or the snapshot does as well."""
    connection.execute(_DROP_BASE, (tally.document.id, tally.thinned, snapshot))


def _checked(
    connection: sqlite3.Connection, tally: Tally | None, one: Snapshot, there: Snapshot | None
) -> Tally:
    """Return the tally of a document that has an entry where a snapshot stands, or ValueError."""
    is_entry = tally is not None and _is_entry(connection, tally, one.position, there)
    check_snapshot(one, Position(tally.head) if tally else None, is_entry=is_entry)
    assert tally is not None  # noqa: S101 -- check_snapshot refused it; this is for mypy
    return tally


def _is_entry(
    connection: sqlite3.Connection, tally: Tally, position: int, there: Snapshot | None
) -> bool:
    if 0 < position < tally.thinned:  # nobody knows; but what it says is in the snapshot there
        return there is not None
    if position in (tally.head, tally.thinned):
        return position > 0
    row = (tally.document.id, position)
    return connection.execute(_IS_ENTRY, row).fetchone() is not None
