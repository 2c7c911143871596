"""Mending sessions: their logs again without a gap, and what cannot be read put aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from persistence.sqlite.checkup_sessions import (
    ACKNOWLEDGEMENTS,
    CURSORS,
    DEAD_LETTERS,
    EVENTS,
    LOGS,
    STATES,
    event_sessions,
    find_log,
    find_state,
    is_known_lost,
    is_sound_cursor,
    is_sound_letter,
    lost_logs,
    lost_states,
)
from persistence.sqlite.repair_documents import remove
from persistence.sqlite.repair_mend import mended
from persistence.sqlite.repair_quarantine import PutAside, note, put_aside
from persistence.sqlite.rows import Row
from persistence.sqlite.seals import legible
from persistence.sqlite.session_rows import (
    ACKNOWLEDGEMENT_COLUMNS,
    CURSOR_COLUMNS,
    DEAD_LETTER_COLUMNS,
    EVENT_COLUMNS,
    LOG_COLUMNS,
    STATE_COLUMNS,
    Log,
    Session,
    event_row,
    log_row,
    open_acknowledgement,
    open_event,
    open_log,
    open_state,
)
from persistence.sqlite.statements import Insert
from persistence.store import Event, StoredEvent, to_milliseconds

LOST = "draftsync.lost"
"""The kind of the event that stands where one was lost: offsets have no gaps."""

MOST_STAND_INS = 10_000
"""Beyond, the log of a session begins behind its last gap."""

_UNFIT = "its checksum did not fit"

_put_log = Insert("session_logs", LOG_COLUMNS, "INSERT OR REPLACE")
_put_state = Insert("session_states", STATE_COLUMNS, "INSERT OR REPLACE")
_put_event = Insert("session_events", EVENT_COLUMNS, "INSERT OR IGNORE")


@dataclass(slots=True)
class Mended:
    """What was done to sessions."""

    mended: int = 0  # rows that were put right
    put_aside: int = 0  # rows
    lost: int = 0  # events that something else stands for now
    remade: int = 0  # logs

    @property
    def anything(self) -> bool:
        return self != Mended()


def mend_states(connection: sqlite3.Connection) -> Mended:
    """Put right, or aside, the rows that tell what sessions are and how far their logs go."""
    done = Mended()
    for row in connection.execute(STATES).fetchall():
        if open_state(row) is None:
            found = mended(row, lambda r: open_state(r) is not None)
            _put_right(connection, "session_states", STATE_COLUMNS, row, found, _put_state, done)
    for row in connection.execute(LOGS).fetchall():
        if open_log(row) is None:
            found = mended(row, lambda r: open_log(r) is not None)
            _put_right(connection, "session_logs", LOG_COLUMNS, row, found, _put_log, done)
    return done


def _put_right(
    connection: sqlite3.Connection,
    table: str,
    columns: str,
    row: Row,
    found: Row | None,
    put: Insert,
    done: Mended,
) -> None:
    remove(connection, table, "checksum = ? AND session = ?", _key(table, row))
    if found is not None:
        put(connection, _as_texts(table, found))
        done.mended += 1
        return
    name = row[1] if table == "session_states" else row[0]
    put_aside(connection, PutAside(table, columns, row, legible(name)), _UNFIT)
    done.put_aside += 1


def _key(table: str, row: Row) -> Row:
    return (row[4], row[0]) if table == "session_states" else (row[6], row[1])


def _as_texts(table: str, row: Row) -> Row:
    """The columns of text as text again: they were read as bytes."""
    texts = {"session_states": (1, 2, 3, 5), "session_logs": (0,), "session_events": (2, 3, 4, 7)}
    return tuple(
        value.decode() if index in texts[table] and isinstance(value, bytes) else value
        for index, value in enumerate(row)
    )


def mend_session(connection: sqlite3.Connection, session: Session) -> Mended:
    """Let a session's events be without a gap, and its log row say so."""
    done = Mended()
    if find_state(connection, session) is None and not is_known_lost(connection, session):
        note(connection, session.name, 0, "nothing tells any more what the session is", 0)
    first = last = None
    for row in connection.execute(EVENTS, (session.number,)).fetchall():
        found = open_event(row, session) or _mended_event(connection, session, row, done)
        if found is not None:
            first = found if first is None or found.offset < first.offset else first
            last = found if last is None or found.offset > last.offset else last
    log = find_log(connection, session)
    kept = replace(log) if log is not None else _remade(session, first, last)
    if last is not None and last.offset > kept.top:
        kept.top, kept.updated_at = last.offset, to_milliseconds(last.event.time)
    gaps = list(_gaps(connection, session, kept))
    if len(gaps) > MOST_STAND_INS:
        note(connection, session.name, gaps[-1], f"{len(gaps)} events are missing up to here", 0)
        kept.truncated = gaps[-1]
        _clear(connection, session, gaps[-1], done)
    else:
        _fill(connection, session, gaps, kept, done)
    if kept != log:
        _put_log(connection, log_row(kept))
        done.remade += 1
    return done


def _mended_event(
    connection: sqlite3.Connection, session: Session, row: Row, done: Mended
) -> StoredEvent | None:
    found = mended(row, lambda r: open_event(r, session) is not None, (0,))
    remove(connection, "session_events", "session = ? AND offset = ?", row[:2])
    if found is None:
        what = PutAside("session_events", EVENT_COLUMNS, row, session.name, _number(row[1]))
        put_aside(connection, what, _UNFIT)
        done.put_aside += 1
        return None
    _put_event(connection, _as_texts("session_events", found))
    done.mended += 1
    return open_event(found, session)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _remade(session: Session, first: StoredEvent | None, last: StoredEvent | None) -> Log:
    if first is None or last is None:
        return Log(session, 0, 0)
    begun, ended = (to_milliseconds(one.event.time) for one in (first, last))
    return Log(session, begun, ended, last.offset, first.offset - 1)


def _gaps(connection: sqlite3.Connection, session: Session, log: Log) -> Iterator[int]:
    """Give the offsets of a log that no event stands at."""
    sql = "SELECT offset FROM session_events WHERE session = ? AND offset > ? ORDER BY offset"
    expected = log.truncated + 1
    for (offset,) in connection.execute(sql, (session.number, log.truncated)):
        yield from range(expected, min(offset, log.top + 1))
        expected = offset + 1
    yield from range(expected, log.top + 1)


def _clear(connection: sqlite3.Connection, session: Session, until: int, done: Mended) -> None:
    sql = EVENTS.replace("ORDER BY", "AND offset <= ? ORDER BY")
    for row in connection.execute(sql, (session.number, until)).fetchall():
        what = PutAside("session_events", EVENT_COLUMNS, row, session.name, _number(row[1]))
        put_aside(connection, what, "too many events behind it are lost")
        remove(connection, "session_events", "session = ? AND offset = ?", row[:2])
        done.put_aside += 1


def _fill(
    connection: sqlite3.Connection, session: Session, gaps: list[int], log: Log, done: Mended
) -> None:
    for offset in gaps:
        event = Event(f"{LOST}-{offset}", LOST, "draftsync", log.updated_at / 1_000, "{}")
        _put_event(connection, event_row(session, offset, event))
        done.lost += 1


# What belongs to no session, and what is kept of consumers


def put_strays_aside(connection: sqlite3.Connection, known: dict[int, Session]) -> Mended:
    """Put aside what is of no session, and every acknowledgement, cursor or letter that is none."""
    done = Mended()
    for number in [each for each in event_sessions(connection) if each not in known]:
        rows = connection.execute(EVENTS, (number,)).fetchall()
        where = "session = ? AND offset = ?"
        _aside(connection, "session_events", EVENT_COLUMNS, where, (0, 1), rows, done)
    lost = list(lost_states(connection, known))
    where = "session = ? AND checksum = ?"
    _aside(connection, "session_states", STATE_COLUMNS, where, (0, 4), lost, done)
    _aside(
        connection, "session_logs", LOG_COLUMNS, where, (1, 6), list(lost_logs(connection, known)),
        done,
    )  # fmt: skip
    _small(connection, known, done)
    return done


def _small(connection: sqlite3.Connection, known: dict[int, Session], done: Mended) -> None:
    def acknowledges(row: Row) -> bool:
        session = known.get(row[0])
        return session is not None and open_acknowledgement(row, session) is not None

    kinds: list[tuple[str, str, str, tuple[int, int], Callable[[Row], bool]]] = [
        ("acknowledgements", ACKNOWLEDGEMENT_COLUMNS, ACKNOWLEDGEMENTS, (0, 3), acknowledges),
        ("cursors", CURSOR_COLUMNS, CURSORS, (1, 3), lambda row: is_sound_cursor(row, known)),
        (
            "dead_letters", DEAD_LETTER_COLUMNS, DEAD_LETTERS, (1, 5),
            lambda row: is_sound_letter(row, known),
        ),
    ]  # fmt: skip
    for table, columns, sql, key, sound in kinds:
        unsound = [row for row in connection.execute(sql).fetchall() if not sound(row)]
        _aside(connection, table, columns, "session = ? AND checksum = ?", key, unsound, done)


def _aside(
    connection: sqlite3.Connection,
    table: str,
    columns: str,
    where: str,
    key: tuple[int, int],
    rows: Iterable[Row],
    done: Mended,
) -> None:
    for row in rows:
        put_aside(connection, PutAside(table, columns, row), "it is damaged, or of no session")
        remove(connection, table, where, (row[key[0]], row[key[1]]))
        done.put_aside += 1
