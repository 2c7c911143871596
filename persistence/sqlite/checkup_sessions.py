"""The checkup of sessions: what they are, their events without a gap, and who was given them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from persistence.sqlite import repair_quarantine
from persistence.sqlite.checkup_findings import Finding, Numbers, Progress, Tell, some
from persistence.sqlite.queries import one_moment
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
    is_cursor,
    open_acknowledgement,
    open_dead_letter,
    open_event,
    open_log,
    open_state,
)
from persistence.sqlite.sessions import remake_log
from persistence.store import StoreError

STATES = f"SELECT {STATE_COLUMNS} FROM session_states"  # noqa: S608 -- our own names
LOGS = f"SELECT {LOG_COLUMNS} FROM session_logs"  # noqa: S608
EVENTS = f"""
    SELECT {EVENT_COLUMNS} FROM session_events WHERE session = ? ORDER BY offset"""  # noqa: S608
ACKNOWLEDGEMENTS = f"SELECT {ACKNOWLEDGEMENT_COLUMNS} FROM acknowledgements"  # noqa: S608
CURSORS = f"SELECT {CURSOR_COLUMNS} FROM cursors"  # noqa: S608
DEAD_LETTERS = f"SELECT {DEAD_LETTER_COLUMNS} FROM dead_letters"  # noqa: S608
_NEXT = "SELECT min(session) FROM session_events WHERE session > ?"

EVERYTHING = Session.of(0, "")
"""The session of the cursors that make consumers known; there is none such."""


def known_sessions(connection: sqlite3.Connection) -> dict[int, Session]:
    """The sessions of which one of the two rows is sound, by number."""
    known: dict[int, Session] = {}
    for row in connection.execute(LOGS):
        if (log := open_log(row)) is not None:
            known[log.session.number] = log.session
    for row in connection.execute(STATES):
        if (state := open_state(row)) is not None:
            known.setdefault(state[0].number, state[0])
    return known


def check_sessions(connection: sqlite3.Connection, tell: Tell, progress: Progress) -> None:
    """Tell what is wrong with all sessions and with what is kept of their consumers."""
    known = known_sessions(connection)
    for done, session in enumerate(known.values()):
        progress("sessions", done, len(known))
        with one_moment(connection):
            _check_session(connection, session, tell)
    with one_moment(connection):
        known = known_sessions(connection)  # a live service may have made others meanwhile
        _check_lost_sessions(connection, known, tell)
        _check_orphans(connection, known, tell)
        _check_acknowledgements(connection, known, tell)
        _check_cursors(connection, known, tell)
        _check_dead_letters(connection, known, tell)


def find_log(connection: sqlite3.Connection, session: Session) -> Log | None:
    rows = connection.execute(LOGS + " WHERE id = ?", (session.name,)).fetchall()
    log = open_log(rows[0]) if rows else None
    return log if log is not None and log.session.number == session.number else None


def find_state(connection: sqlite3.Connection, session: Session) -> Row | None:
    """Return the row of what a session is if it is sound."""
    for row in connection.execute(STATES + " WHERE session = ?", (session.number,)):
        opened = open_state(row)
        if opened is not None and opened[0].name == session.name:
            return tuple(row)
    return None


def remade_log(connection: sqlite3.Connection, session: Session) -> Log | None:
    """What a session's log row would say, made again from its events; None where it cannot be."""
    with suppress(StoreError):
        return remake_log(connection, session)
    return None


def is_known_lost(connection: sqlite3.Connection, session: Session) -> bool:
    """Whether a repair found already that nothing tells what a session is."""
    return repair_quarantine.quarantined(connection, session.name)


def _check_session(connection: sqlite3.Connection, session: Session, tell: Tell) -> None:
    log = find_log(connection, session)
    if log is None:
        log = remade_log(connection, session)
        tell(
            Finding(
                "session.log_unfit",
                "damage",
                f"{session.name}: the row that tells how far its events go is damaged or missing",
                "its events are not served until it is made again",
                "`--fix` makes it again from the events",
                session=session.name,
                fixable=True,
            )
        )
    if find_state(connection, session) is None:
        known = is_known_lost(connection, session)
        tell(
            Finding(
                "session.state_lost" if known else "session.state_unfit",
                "warning" if known else "damage",
                f"{session.name}: the row that tells what the session is is damaged or missing",
                "the session cannot be opened; its events are there",
                "restore it from a backup"
                if known
                else "`--fix` puts it right where one byte is wrong, and else moves what is "
                "left of it into quarantine; restore it from a backup",
                session=session.name,
                fixable=not known,
            )
        )
    _check_events(connection, session, log, tell)


def _check_events(
    connection: sqlite3.Connection, session: Session, log: Log | None, tell: Tell
) -> None:
    unfit, missing, last = _read_events(connection, session, log)
    if log is not None and last > log.top:
        tell(
            Finding(
                "session.log_short",
                "damage",
                f"{session.name}: the row that tells how far its events go says {log.top:,}, and "
                f"there are {last:,}",
                "nothing can be added to its events until that is put right",
                "`--fix` makes it again from the events",
                session=session.name,
                fixable=True,
            )
        )
    if unfit:
        tell(
            Finding(
                "event.unfit",
                "damage",
                f"{session.name}: the checksum of {some(unfit.count, 'event')} does not fit: "
                f"{unfit}",
                "a session's events are served whole or not at all: from there on they are not",
                "`--fix` moves them into quarantine with their bytes, and puts an event of the "
                "kind draftsync.lost in the place of each; or restore them from a backup",
                session=session.name,
                positions=unfit.told,
                count=unfit.count,
                fixable=True,
            )
        )
    if missing:
        tell(
            Finding(
                "event.missing",
                "damage",
                f"{session.name}: {some(missing.count, 'event')} went missing: {missing}",
                "a session's events are served whole or not at all: from there on they are not",
                "`--fix` puts an event of the kind draftsync.lost in the place of each; or restore "
                "them from a backup",
                session=session.name,
                positions=missing.told,
                count=missing.count,
                fixable=True,
            )
        )


def _read_events(
    connection: sqlite3.Connection, session: Session, log: Log | None
) -> tuple[Numbers, Numbers, int]:
    """Read a session's events: which are unfit, which are missing, and the last sound one's offset.

    Those that were put aside (at an offset below 0) are unfit as well.
    """
    unfit, missing = Numbers(), Numbers()
    expected = log.truncated + 1 if log else None
    for row in connection.execute(EVENTS, (session.number,)):
        found = open_event(row, session)
        if found is None:
            unfit.add(row[1])
            continue
        if expected is None:
            expected = found.offset
        while expected < found.offset and missing.count < 1_000_000:
            missing.add(expected)
            expected += 1
        expected = found.offset + 1
    last = (expected or 1) - 1
    for offset in range(last + 1, log.top + 1 if log else 0):
        missing.add(offset)
    damaged = set(unfit.first)
    if damaged & set(missing.first):
        places = [offset for offset in missing.first if offset not in damaged]
        missing = Numbers(places, missing.count - len(missing.first) + len(places))
    return unfit, missing, last


def _check_lost_sessions(
    connection: sqlite3.Connection, known: dict[int, Session], tell: Tell
) -> None:
    """Tell of rows that neither make a session nor belong to one."""
    for row in lost_states(connection, known):
        tell(_lost(row[1], "the row that tells what the session is"))
    for row in lost_logs(connection, known):
        tell(_lost(row[0], "the row that tells how far its events go"))


def lost_states(connection: sqlite3.Connection, known: dict[int, Session]) -> Iterator[Row]:
    for row in connection.execute(STATES):
        if open_state(row) is None and row[0] not in known:
            yield row


def lost_logs(connection: sqlite3.Connection, known: dict[int, Session]) -> Iterator[Row]:
    names = {session.name.encode() for session in known.values()}
    for row in connection.execute(LOGS):
        if open_log(row) is None and row[0] not in names:
            yield row


def _lost(name: object, what: str) -> Finding:
    shown = legible(name)
    return Finding(
        "session.lost",
        "damage",
        f"{what} of what may be {shown!r} is damaged, and there is no other",
        "the session cannot be opened",
        "`--fix` moves the row into quarantine with its bytes; restore it from a backup",
        session=shown,
        fixable=True,
    )


def event_sessions(connection: sqlite3.Connection) -> Iterator[int]:
    """Give the numbers of sessions that there are events of, in order."""
    last = -(2**63)
    while True:
        [(next_,)] = connection.execute(_NEXT, (last,)).fetchall()
        if next_ is None:
            return
        yield next_
        last = next_


def _check_orphans(connection: sqlite3.Connection, known: dict[int, Session], tell: Tell) -> None:
    orphans = [number for number in event_sessions(connection) if number not in known]
    if orphans:
        tell(
            Finding(
                "event.orphan",
                "damage",
                f"events stand under {some(len(orphans), 'session')} that there is not: "
                f"{', '.join(map(str, orphans[:5]))}",
                "both rows of a session are damaged, or its events were filed under a wrong number",
                "`--fix` moves them into quarantine with their bytes",
                count=len(orphans),
                fixable=True,
            )
        )


def _check_acknowledgements(
    connection: sqlite3.Connection, known: dict[int, Session], tell: Tell
) -> None:
    count = sum(
        row[0] not in known or open_acknowledgement(row, known[row[0]]) is None
        for row in connection.execute(ACKNOWLEDGEMENTS)
    )
    if count:
        tell(
            _small(
                "acknowledgement.unfit",
                some(count, "acknowledgement"),
                "what a member has received is not known until the next acknowledgement",
                count,
            )
        )


def _check_cursors(connection: sqlite3.Connection, known: dict[int, Session], tell: Tell) -> None:
    count = sum(not is_sound_cursor(row, known) for row in connection.execute(CURSORS))
    if count:
        tell(
            _small(
                "cursor.unfit",
                some(count, "cursor"),
                "a consumer of events, such as a webhook, is given a session's events once more",
                count,
            )
        )


def is_sound_cursor(row: Row, known: dict[int, Session]) -> bool:
    session = EVERYTHING if row[1] == 0 else known.get(row[1])
    return session is not None and is_cursor(row, session)


def _check_dead_letters(
    connection: sqlite3.Connection, known: dict[int, Session], tell: Tell
) -> None:
    count = sum(not is_sound_letter(row, known) for row in connection.execute(DEAD_LETTERS))
    if count:
        tell(
            _small(
                "dead_letter.unfit",
                some(count, "dead letter"),
                "an event that could not be delivered to a consumer may not be told",
                count,
            )
        )


def is_sound_letter(row: Row, known: dict[int, Session]) -> bool:
    session = known.get(row[1])
    return session is not None and open_dead_letter(row, session.name.encode()) is not None


def _small(code: str, what: str, means: str, count: int) -> Finding:
    verb = "is" if count == 1 else "are"
    return Finding(
        code,
        "damage",
        f"{what} {verb} damaged, or of a session that there is not",
        means,
        "`--fix` moves the rows into quarantine",
        count=count,
        fixable=True,
    )
