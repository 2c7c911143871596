"""The rows of sessions and the values they hold; see :mod:`persistence.sqlite.rows`.

``session`` is a session's number in all tables, and its checksums cover its name as well.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from persistence.sqlite.rows import Row
from persistence.sqlite.seals import MISFITS, seal
from persistence.store import DeadLetter, Event, SessionState, StoredEvent, to_milliseconds

STATE_COLUMNS = "session, id, epoch, state, checksum, body"
LOG_COLUMNS = "id, session, created_at, updated_at, top, truncated, checksum"
EVENT_COLUMNS = "session, offset, id, kind, actor, time, checksum, data"
ACKNOWLEDGEMENT_COLUMNS = "session, subject, offset, checksum"
CURSOR_COLUMNS = "consumer, session, offset, checksum"
DEAD_LETTER_COLUMNS = "consumer, session, offset, time, reason, checksum"

_SESSION = struct.Struct("<qI")
_EVENT = struct.Struct("<qqIIII")


class Session(NamedTuple):
    """A session, and the number that its rows have in the place of its name."""

    number: int
    name: str
    events: blake2b  # what the checksums of all its events begin with

    @classmethod
    def of(cls, number: int, name: str) -> Session:
        encoded = name.encode()
        begun = blake2b(
            _SESSION.pack(number, len(encoded)), digest_size=8, person=b"session_events"
        )
        begun.update(encoded)
        return cls(number, name, begun)


def _seal(table: bytes, numbers: Row, *texts: bytes) -> bytes:
    head = struct.pack(f"<{len(numbers)}q{len(texts)}I", *numbers, *map(len, texts))
    return seal(table, head, *texts)


# What a session is


def state_row(session: Session, state: SessionState) -> Row:
    """Return the columns of what a session is, in the order of STATE_COLUMNS."""
    epoch, word, body = (text.encode() for text in state)
    checksum = _seal_state(session.number, session.name.encode(), epoch, word, body)
    return (session.number, session.name, state.epoch, state.state, checksum, state.body)


def _seal_state(number: int, *texts: bytes) -> bytes:
    return _seal(b"session_states", (number,), *texts)


def open_state(row: Row) -> tuple[Session, SessionState] | None:
    """Return a session from the columns of STATE_COLUMNS, or None if damaged."""
    number, id_, epoch, state, checksum, body = row
    try:
        if checksum != _seal_state(number, id_, epoch, state, body):
            return None
        current = SessionState(epoch.decode(), state.decode(), body.decode())
        return Session.of(number, id_.decode()), current
    except MISFITS:
        return None


# How far its log goes


@dataclass(slots=True)
class Log:
    """How far the log of a session goes, as one row. Times are in milliseconds."""

    session: Session
    created_at: int
    updated_at: int
    top: int = 0
    truncated: int = 0


def log_row(log: Log) -> Row:
    """Return the columns of a log, in the order of LOG_COLUMNS."""
    number, name, _ = log.session
    numbers = (number, log.created_at, log.updated_at, log.top, log.truncated)
    return (name, *numbers, _seal(b"session_logs", numbers, name.encode()))


def open_log(row: Row) -> Log | None:
    """Return a log from the columns of LOG_COLUMNS, or None if damaged."""
    id_, *numbers, checksum = row
    try:
        if checksum != _seal(b"session_logs", tuple(numbers), id_):
            return None
        return Log(Session.of(numbers[0], id_.decode()), *numbers[1:])
    except MISFITS:
        return None


# Events


def event_row(session: Session, offset: int, event: Event) -> Row:
    """Return the columns of an event, in the order of EVENT_COLUMNS.

    Raises ValueError for a time that is none.
    """
    id_, kind, actor, seconds, data = event
    time = to_milliseconds(seconds)
    checksum = _seal_event(
        session, offset, time, id_.encode(), kind.encode(), actor.encode(), data.encode()
    )
    return (session.number, offset, id_, kind, actor, time, checksum, data)


def _seal_event(
    session: Session, offset: int, time: int, id_: bytes, kind: bytes, actor: bytes, data: bytes
) -> bytes:
    whole = session.events.copy()
    head = _EVENT.pack(offset, time, len(id_), len(kind), len(actor), len(data))
    whole.update(head + id_ + kind + actor + data)
    return whole.digest()


def open_event(row: Row, session: Session) -> StoredEvent | None:
    """Return an event of ``session`` from the columns of EVENT_COLUMNS, or None if damaged."""
    number, offset, id_, kind, actor, time, checksum, data = row
    try:
        expected = _seal_event(session, offset, time, id_, kind, actor, data)
        if number != session.number or checksum != expected:
            return None
        texts = id_.decode(), kind.decode(), actor.decode()
        return StoredEvent(offset, Event(*texts, time / 1_000, data.decode()))
    except MISFITS:
        return None


# Acknowledgements


def acknowledgement_row(session: Session, subject: str, offset: int) -> Row:
    """Return the columns of an acknowledgement, in the order of ACKNOWLEDGEMENT_COLUMNS."""
    checksum = _seal_acknowledgement(session, subject.encode(), offset)
    return (session.number, subject, offset, checksum)


def _seal_acknowledgement(session: Session, subject: bytes, offset: int) -> bytes:
    numbers = (session.number, offset)
    return _seal(b"acknowledgements", numbers, session.name.encode(), subject)


def open_acknowledgement(row: Row, session: Session) -> tuple[str, int] | None:
    """Return a subject and an offset from the columns of its row, or None if damaged."""
    number, subject, offset, checksum = row
    try:
        expected = _seal_acknowledgement(session, subject, offset)
        if number != session.number or checksum != expected:
            return None
        return subject.decode(), offset
    except MISFITS:
        return None


# Consumers


def cursor_row(consumer: str, session: Session, offset: int) -> Row:
    """Return the columns of a cursor, in the order of CURSOR_COLUMNS."""
    checksum = _seal_cursor(consumer.encode(), session, offset)
    return (consumer, session.number, offset, checksum)


def _seal_cursor(consumer: bytes, session: Session, offset: int) -> bytes:
    numbers = (session.number, offset)
    return _seal(b"cursors", numbers, session.name.encode(), consumer)


def is_cursor(row: Row, session: Session) -> bool:
    """Whether the columns of CURSOR_COLUMNS are a sound cursor of a session."""
    consumer, number, offset, checksum = row
    try:
        fits = checksum == _seal_cursor(consumer, session, offset)
    except MISFITS:
        return False
    return bool(fits and number == session.number)


def dead_letter_row(session: Session, dead: DeadLetter) -> Row:
    """Return the columns of a dead letter, in the order of DEAD_LETTER_COLUMNS."""
    numbers = (session.number, dead.offset, to_milliseconds(dead.time))
    checksum = _seal_dead_letter(
        numbers, session.name.encode(), dead.consumer.encode(), dead.reason.encode()
    )
    return (dead.consumer, *numbers, dead.reason, checksum)


def _seal_dead_letter(numbers: Row, *texts: bytes) -> bytes:
    return _seal(b"dead_letters", numbers, *texts)


def open_dead_letter(row: Row, name: bytes) -> DeadLetter | None:
    """Return a dead letter of the session ``name`` from its columns, or None if damaged."""
    consumer, *numbers, reason, checksum = row
    try:
        if checksum != _seal_dead_letter(tuple(numbers), name, consumer, reason):
            return None
        _, offset, time = numbers
        return DeadLetter(consumer.decode(), name.decode(), offset, reason.decode(), time / 1_000)
    except MISFITS:
        return None
