"""Retention: the beginning of a document's or a session's history goes, and its space with it.

Plain functions on the writer's connection.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from persistence.events import MOST_TRUNCATED
from persistence.sqlite import meta, queries
from persistence.sqlite.rows import Tally
from persistence.sqlite.session_rows import Log
from persistence.sqlite.snapshots import drop_base

MOST_ENTRIES = 2_000
"""Entries that one transaction removes: an edit that comes meanwhile waits for 3 to 5 ms."""

MOST_PAGES = 256
"""Pages that one transaction gives back."""

# The oldest entries that the snapshot contains, up to the first that has to stay.
_OLDEST = """
    WITH oldest AS (
        SELECT position, received_at, length("update") AS size FROM entries
        WHERE document = ?1 AND position <= ?2 ORDER BY position LIMIT ?3)
    SELECT max(position), count(*), sum(size) FROM oldest
    WHERE position < (SELECT coalesce(min(position), ?2 + 1) FROM oldest WHERE received_at >= ?4)"""
_REMOVE = "DELETE FROM entries WHERE document = ? AND position <= ?"

# The first events but for the last one, up to the first that has to stay.
_FIRST_EVENTS = """
    WITH oldest AS (
        SELECT offset, time FROM session_events
        WHERE session = ?1 AND offset > 0 AND offset < ?2 ORDER BY offset LIMIT ?3)
    SELECT max(offset), count(*) FROM oldest
    WHERE offset < (SELECT coalesce(min(offset), ?2) FROM oldest WHERE time >= ?4)"""
_REMOVE_EVENTS = "DELETE FROM session_events WHERE session = ? AND offset <= ?"


def thin(
    connection: sqlite3.Connection, tally: Tally, before: int, until: int | None
) -> tuple[Tally, int]:
    """Remove the oldest entries of a document; return what is left, and how many went.

    Only what a snapshot contains that is sound at this moment: it is all that is left of them. The
    caller gives the transaction, and writes the tally.
    """
    snapshot = queries.find_snapshot(connection, tally.document)
    if snapshot is None:
        return tally, 0
    last = snapshot.position
    if until is not None and until != last:
        base = queries.find_base(connection, tally.document)
        if base is None or base.position != until:
            return tally, 0
        last = min(base.position, last)
    bounds = (tally.document.id, last, MOST_ENTRIES, before)
    [(cut, removed, size)] = connection.execute(_OLDEST, bounds)
    if not removed:
        return tally, 0
    connection.execute(_REMOVE, (tally.document.id, cut))
    meta.count_removed(connection, removed)
    left = replace(tally, edits=tally.edits - removed, size=tally.size - size, thinned=cut)
    drop_base(connection, left, snapshot.position)
    return left, removed


def truncate(connection: sqlite3.Connection, log: Log, before: int) -> tuple[Log, int]:
    """Remove the first events of a session; return its log as it is then, and how many went.

    The caller gives the transaction, and writes the log.
    """
    bounds = (log.session.number, log.top, MOST_TRUNCATED, before)
    [(cut, removed)] = connection.execute(_FIRST_EVENTS, bounds)
    if not removed:
        return log, 0
    connection.execute(_REMOVE_EVENTS, (log.session.number, cut))
    return replace(log, truncated=cut), removed


def reclaim(connection: sqlite3.Connection) -> int:
    """Cut free pages off the file's end, moving others into their place; return the bytes.

    A transaction of its own.
    """
    before = _bytes(connection)
    if connection.execute("PRAGMA freelist_count").fetchone() == (0,):
        return 0
    # One page is a step of SQLite; executescript makes all steps, execute the first.
    connection.executescript(f"PRAGMA incremental_vacuum({MOST_PAGES})")
    return before - _bytes(connection)


def _bytes(connection: sqlite3.Connection) -> int:
    [(pages,)] = connection.execute("PRAGMA page_count")
    [(size,)] = connection.execute("PRAGMA page_size")
    return int(pages) * int(size)
