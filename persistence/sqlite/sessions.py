"""Reading sessions and their events out of a connection. Plain functions; they block.

Damage is never left out in silence: what is not whole raises StoreError, but for the list of
sessions and the acknowledgements, where the others matter more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from persistence.events import read_some
from persistence.sqlite.queries import one_moment
from persistence.sqlite.session_rows import (
    ACKNOWLEDGEMENT_COLUMNS,
    EVENT_COLUMNS,
    LOG_COLUMNS,
    STATE_COLUMNS,
    Log,
    Session,
    open_acknowledgement,
    open_event,
    open_log,
    open_state,
)
from persistence.store import SessionState, StoredEvent, StoredSession, StoreError

_STATE = f"SELECT {STATE_COLUMNS} FROM session_states WHERE id = ?"  # noqa: S608 -- our own names
_STATES = f"SELECT {STATE_COLUMNS} FROM session_states WHERE session > ?1"  # noqa: S608
_IN_ORDER = " ORDER BY session"
_IN_STATE = " AND state = ?2"
_LOG = f"SELECT {LOG_COLUMNS} FROM session_logs WHERE id = ?"  # noqa: S608
_IS_SESSION = "SELECT 1 FROM session_states WHERE id = ?"
_EVENTS = f"""
    SELECT {EVENT_COLUMNS} FROM session_events
    WHERE session = ? AND offset > ? AND offset <= ? ORDER BY offset"""  # noqa: S608
_EVENT = f"SELECT {EVENT_COLUMNS} FROM session_events WHERE session = ? AND id = ?"  # noqa: S608
_ENDS = f"""
    SELECT {EVENT_COLUMNS} FROM session_events WHERE session = ?1 AND offset IN (
        (SELECT min(offset) FROM session_events WHERE session = ?1 AND offset > 0),
        (SELECT max(offset) FROM session_events WHERE session = ?1))
    ORDER BY offset"""  # noqa: S608
_STRAYS = f"""
    SELECT {EVENT_COLUMNS} FROM session_events WHERE session = ? AND offset > ?"""  # noqa: S608
_PUT_ASIDE = """
    UPDATE OR REPLACE session_events SET offset = -offset WHERE session = ? AND offset > ?"""
_ACKNOWLEDGED = f"""
    SELECT {ACKNOWLEDGEMENT_COLUMNS} FROM acknowledgements WHERE session = ?"""  # noqa: S608
_LAST = """
    SELECT max(session) FROM (SELECT max(session) AS session FROM session_states WHERE session < ?1
    UNION ALL SELECT max(session) FROM session_logs WHERE session < ?1
    UNION ALL SELECT max(session) FROM session_events WHERE session < ?1)"""

MOST_SESSIONS = 2**31
"""A number that is not smaller is none of ours: a flipped bit made it."""


class Found(NamedTuple):
    """What is left of the two rows of a session; None for one that is damaged or missing."""

    log: Log | None
    state: tuple[Session, SessionState] | None


def find(connection: sqlite3.Connection, name: str) -> Found | None:
    """Return the rows of a session, None where there is neither.

    Raises StoreError where neither is sound.
    """
    logs = connection.execute(_LOG, (name,)).fetchall()
    states = connection.execute(_STATE, (name,)).fetchall()
    if not logs and not states:
        return None
    found = Found(open_log(logs[0]) if logs else None, open_state(states[0]) if states else None)
    if found.log is None and found.state is None:
        raise _damaged(name)
    return found


def read_log(connection: sqlite3.Connection, name: str) -> Log | None:
    """Return how far the log of a session goes, None for an unknown one. Raises StoreError."""
    rows = connection.execute(_LOG, (name,)).fetchall()
    if rows and (log := open_log(rows[0])) is not None:
        return log
    if rows or connection.execute(_IS_SESSION, (name,)).fetchone():
        raise _damaged(name)
    return None


def remake_log(connection: sqlite3.Connection, session: Session) -> Log:
    """Make a damaged log row again, from the first and the last event. Raises StoreError."""
    rows = connection.execute(_ENDS, (session.number,)).fetchall()
    ends = [open_event(row, session) for row in rows]
    if not ends or (first := ends[0]) is None or (last := ends[-1]) is None:
        raise _damaged(session.name)
    created_at, updated_at = rows[0][5], rows[-1][5]
    return Log(session, created_at, updated_at, last.offset, first.offset - 1)


def put_strays_aside(connection: sqlite3.Connection, log: Log) -> None:
    """Let no damaged event stand where the next ones belong.

    A flipped bit in an offset can bring one there. It is kept, at the same offset below zero.
    Raises StoreError for a sound one behind the top: the log row is an older one.
    """
    behind = (log.session.number, log.top)
    strays = connection.execute(_STRAYS, behind).fetchall()
    if any(open_event(row, log.session) for row in strays):
        raise _damaged(log.session.name)
    if strays:
        connection.execute(_PUT_ASIDE, behind)


def last_number(connection: sqlite3.Connection) -> int:
    """Return the highest number that was given."""
    [(last,)] = connection.execute(_LAST, (MOST_SESSIONS,)).fetchall()
    return last or 0


def session(connection: sqlite3.Connection, name: str) -> StoredSession | None:
    """Read one session; see :meth:`persistence.store.Reader.session`."""
    with one_moment(connection):
        found = find(connection, name)
        if found is None:
            return None
        if found.log is None or found.state is None:
            raise _damaged(name)
        return _as_stored(connection, found.log, found.state[1])


def sessions(
    connection: sqlite3.Connection, state: str | None, after: int, limit: int
) -> list[StoredSession]:
    """List sessions; see :meth:`persistence.store.Reader.sessions`."""
    with one_moment(connection):
        return list(islice(_sound(connection, state, after), max(limit, 0)))


def _sound(
    connection: sqlite3.Connection, state: str | None, after: int
) -> Iterator[StoredSession]:
    picked = _STATES if state is None else _STATES + _IN_STATE
    for row in connection.execute(picked + _IN_ORDER, (after, state)[: picked.count("?")]):
        opened = open_state(row)
        if opened is None:
            continue
        logs = connection.execute(_LOG, (opened[0].name,)).fetchall()
        if logs and (log := open_log(logs[0])) is not None:
            yield _as_stored(connection, log, opened[1])


def _as_stored(connection: sqlite3.Connection, log: Log, current: SessionState) -> StoredSession:
    number, name, _ = log.session
    rows = connection.execute(_ACKNOWLEDGED, (number,)).fetchall()
    sound = (open_acknowledgement(row, log.session) for row in rows)
    return StoredSession(
        number, name, current, log.created_at / 1_000, log.updated_at / 1_000,
        log.top, log.truncated, dict(one for one in sound if one is not None),
    )  # fmt: skip


# Events


def events(
    connection: sqlite3.Connection, name: str, after: int, limit: int, kind: str | None
) -> list[StoredEvent]:
    """Read events; see :meth:`persistence.store.Reader.events`."""
    with one_moment(connection):
        log = read_log(connection, name)
        return read_some(_unbroken(connection, log, after), limit, kind) if log else []


def _unbroken(connection: sqlite3.Connection, log: Log, after: int) -> Iterator[StoredEvent]:
    """Give all events behind an offset up to the top. Raises StoreError at the first gap."""
    expected = max(after, log.truncated) + 1
    for row in connection.execute(_EVENTS, (log.session.number, expected - 1, log.top)):
        found = open_event(row, log.session)
        if found is None or found.offset != expected:
            raise _broken(log, expected)
        yield found
        expected += 1
    if expected <= log.top:
        raise _broken(log, expected)


def event(connection: sqlite3.Connection, name: str, event_id: str) -> StoredEvent | None:
    """Find an event; see :meth:`persistence.store.Reader.event`."""
    with one_moment(connection):
        log = read_log(connection, name)
        if log is None:
            return None
        rows = connection.execute(_EVENT, (log.session.number, event_id)).fetchall()
    if not rows:
        return None
    found = open_event(rows[0], log.session)
    if found is None:
        raise _broken(log, rows[0][1])
    return found


def _broken(log: Log, offset: object) -> StoreError:
    return StoreError(
        f"the event {offset} of the session {log.session.name!r} is damaged or missing; "
        "`draftsync doctor` tells more"
    )


def _damaged(name: str) -> StoreError:
    return StoreError(f"the session {name!r} is damaged; `draftsync doctor` tells more")
