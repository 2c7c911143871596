"""Consumers of all sessions' events: up to where each was given them, and what could not be.

Plain functions on a connection; the writing ones are called within a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from persistence.checks import check_advance, unknown_consumer
from persistence.sqlite.queries import UNFIT, one_moment
from persistence.sqlite.rows import Row
from persistence.sqlite.session_rows import (
    CURSOR_COLUMNS,
    DEAD_LETTER_COLUMNS,
    LOG_COLUMNS,
    Log,
    Session,
    cursor_row,
    dead_letter_row,
    is_cursor,
    open_dead_letter,
    open_log,
)
from persistence.sqlite.statements import Insert
from persistence.store import DeadLetter

_EVERYTHING = Session.of(0, "")
"""The cursor of this session, that there is not, says that a consumer is known."""

_IS_KNOWN = "SELECT 1 FROM cursors WHERE consumer = ? LIMIT 1"
_KNOWN = "SELECT DISTINCT consumer FROM cursors ORDER BY consumer"
_LOGS = f"SELECT {LOG_COLUMNS} FROM session_logs"  # noqa: S608 -- our own names
_BEHIND = """
    SELECT logs.id, logs.session, created_at, updated_at, top, truncated, logs.checksum,
        cursors.consumer, cursors.session, cursors.offset, cursors.checksum
    FROM session_logs AS logs
    LEFT JOIN cursors ON cursors.consumer = ? AND cursors.session = logs.session
    WHERE logs.top <> coalesce(cursors.offset, 0)
    ORDER BY updated_at, logs.session"""
_LOG_WIDTH = 7
_DEAD = """
    SELECT consumer, dead.session, offset, time, reason, dead.checksum, coalesce(states.id, '')
    FROM dead_letters AS dead LEFT JOIN session_states AS states USING (session)
    WHERE ?1 IS NULL OR consumer = ?1
    ORDER BY time, consumer, states.id, offset"""
_FORGIVE = """
    DELETE FROM dead_letters WHERE consumer = ? AND offset = ?
    AND session = (SELECT session FROM session_states WHERE id = ?)"""

_put_cursors = Insert("cursors", CURSOR_COLUMNS, "INSERT OR REPLACE")
_add_cursors = Insert("cursors", CURSOR_COLUMNS, "INSERT OR IGNORE")
_put_dead_letters = Insert("dead_letters", DEAD_LETTER_COLUMNS, "INSERT OR REPLACE")


def is_known(connection: sqlite3.Connection, consumer: str) -> bool:
    """Whether a consumer was enlisted."""
    return connection.execute(_IS_KNOWN, (consumer,)).fetchone() is not None


def known(connection: sqlite3.Connection) -> list[str]:
    """List the consumers that were enlisted, by name."""
    names = (name for (name,) in connection.execute(_KNOWN).fetchall())
    return sorted(name.decode(errors="replace") for name in names)


def behind(connection: sqlite3.Connection, consumer: str, limit: int) -> list[tuple[str, int, int]]:
    """Tell what a consumer was not given yet; see :meth:`persistence.store.Reader.behind`.

    Where its cursor is damaged it was given nothing; a session whose log row is damaged is left
    out until the next event made that anew.
    """
    with one_moment(connection):
        if not is_known(connection, consumer):
            raise unknown_consumer(consumer)
        rows = connection.execute(_BEHIND, (consumer,)).fetchall()
    waiting: list[tuple[str, int, int]] = []
    for row in rows:
        log = open_log(row[:_LOG_WIDTH])
        if len(waiting) >= limit:
            break
        if log is None:
            continue
        offset = row[-2] if is_cursor(row[_LOG_WIDTH:], log.session) else 0
        if offset < log.top:
            waiting.append((log.session.name, offset, log.top))
    return waiting


def enlist(connection: sqlite3.Connection, consumer: str) -> int:
    """Make a consumer known, with all that there is behind it; return how many rows that took."""
    if is_known(connection, consumer):
        return 0
    logs = (open_log(row) for row in connection.execute(_LOGS).fetchall())
    rows = [cursor_row(consumer, log.session, log.top) for log in logs if log is not None]
    rows.append(cursor_row(consumer, _EVERYTHING, 0))
    _add_cursors(connection, [column for row in rows for column in row])
    return len(rows)


def advance(
    connection: sqlite3.Connection,
    consumer: str,
    session: str,
    log: Log | None,
    offset: int,
    dead: DeadLetter | None,
) -> None:
    """Write how far a consumer was given a session. Raises ValueError as check_advance."""
    if not is_known(connection, consumer):
        raise unknown_consumer(consumer)
    check_advance(consumer, session, offset, log.top if log else None, dead)
    assert log is not None  # noqa: S101 -- check_advance refused it; this is for mypy
    if dead is not None:
        _put_dead_letters(connection, dead_letter_row(log.session, dead))
    _put_cursors(connection, cursor_row(consumer, log.session, offset))


def dead_letters(connection: sqlite3.Connection, consumer: str | None) -> list[DeadLetter]:
    """List dead letters; a damaged one says so in the place of its reason."""
    rows = connection.execute(_DEAD, (consumer,)).fetchall()
    return [open_dead_letter(row[:-1], row[-1]) or _unfit(row) for row in rows]


def _unfit(row: Row) -> DeadLetter:
    consumer, _, offset, time, _, _, name = row
    who, where = (text.decode(errors="replace") for text in (consumer, name))
    return DeadLetter(who, where, offset, f"this row is damaged: {UNFIT}", time / 1_000)


def forgive(connection: sqlite3.Connection, letters: Sequence[DeadLetter]) -> None:
    """Remove dead letters; one that is not there is none."""
    for dead in letters:
        connection.execute(_FORGIVE, (dead.consumer, dead.offset, dead.session))
