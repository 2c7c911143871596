"""What the writer knows by heart of the sessions, so that a batch of events has little to read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from persistence.checks import check_epoch, check_first
from persistence.sqlite import sessions
from persistence.sqlite.session_rows import (
    ACKNOWLEDGEMENT_COLUMNS,
    EVENT_COLUMNS,
    LOG_COLUMNS,
    STATE_COLUMNS,
    Log,
    Session,
    acknowledgement_row,
    event_row,
    log_row,
    open_acknowledgement,
    state_row,
)
from persistence.sqlite.statements import Insert, Lookup
from persistence.store import Acknowledgement, Record, SessionState, to_milliseconds

MOST_KNOWN = 10_000
"""Sessions that are kept in memory."""

_PAGE = 4_096
_IDS_IN_A_PAGE = 32  # of events, at least

_insert_events = Insert("session_events", EVENT_COLUMNS)
_put_logs = Insert("session_logs", LOG_COLUMNS, "INSERT OR REPLACE")
_put_states = Insert("session_states", STATE_COLUMNS, "INSERT OR REPLACE")
_put_acknowledgements = Insert("acknowledgements", ACKNOWLEDGEMENT_COLUMNS, "INSERT OR REPLACE")
_known_events = Lookup("session_events", "session, id", "session, id, offset")
_known_acknowledgements = Lookup("acknowledgements", "session, subject", ACKNOWLEDGEMENT_COLUMNS)


class Known(NamedTuple):
    """A session that is there."""

    log: Log  # not to change
    epoch: str | None  # None where the row that had it is damaged: the next change brings it


@dataclass(slots=True)
class Minutes:
    """A batch as the rows that it becomes, and what will be so when they are on disk.

    ``events`` holds the columns of all rows, one after the other.
    """

    known: dict[str, Known]  # as the sessions were before
    given: dict[tuple[int, str], int]  # offsets by session and event, of those that are there
    offsets: list[int] = field(default_factory=list)  # of the batch
    sessions: dict[str, Known] = field(default_factory=dict)  # as they will be
    states: dict[str, SessionState] = field(default_factory=dict)  # of those that change
    events: list[Any] = field(default_factory=list)
    made: int = 0  # sessions that were not there before

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the rows; the caller gives the transaction."""
        logs = (known.log for known in self.sessions.values())
        states = (state_row(self.sessions[name].log.session, s) for name, s in self.states.items())
        _insert_events(connection, self.events)
        _put_logs(connection, [column for log in logs for column in log_row(log)])
        _put_states(connection, [column for row in states for column in row])

    @property
    def pages(self) -> int:
        """About how many pages were written: ids are looked up by chance, so each may be one."""
        size = sum(map(len, self.events[7 :: _insert_events.width]))
        size += sum(len(state.body) for state in self.states.values())
        logs = [known.log for known in self.sessions.values()]
        ids = sum(2 + (log.top - log.truncated) // _IDS_IN_A_PAGE for log in logs)
        return len(logs) + min(len(self.events) // _insert_events.width, ids) + size // _PAGE + 1


class Register:
    """The sessions of a file, on behalf of one connection to it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[str, Known] = {}
        self._last: int | None = None

    def session(self, name: str) -> Known | None:
        """Return a session, None for one that is not there. Within a transaction.

        Raises StoreError for one of which too much is damaged.
        """
        known = self._known.get(name) or self._read(name)
        if known is not None:
            self._remember(name, known)
        return known

    def _remember(self, name: str, known: Known) -> None:
        if len(self._known) >= MOST_KNOWN and name not in self._known:
            del self._known[next(iter(self._known))]
        self._known[name] = known

    def _read(self, name: str) -> Known | None:
        found = sessions.find(self._connection, name)
        if found is None:
            return None
        log, state = found
        if log is None:
            assert state is not None  # noqa: S101 -- find refused it; this is for mypy
            log = sessions.remake_log(self._connection, state[0])
        sessions.put_strays_aside(self._connection, log)
        return Known(log, state[1].epoch if state else None)

    def forget(self) -> None:
        """Something went wrong: the file says what is so."""
        self._known.clear()
        self._last = None

    # Recording

    def plan(self, batch: Sequence[Record]) -> Minutes:
        """Return the rows of a batch. Nothing is so before :meth:`keep`.

        Raises StoreError, and ValueError as :meth:`persistence.store.Store.record` says.
        """
        names = {record.session for record in batch}
        there = {name: known for name in names if (known := self.session(name)) is not None}
        minutes = Minutes(there, self._given(batch, there))
        minutes.offsets += [self._take(minutes, record) for record in batch]
        return minutes

    def _given(
        self, batch: Sequence[Record], there: dict[str, Known]
    ) -> dict[tuple[int, str], int]:
        asked: list[Any] = []
        for record in batch:
            if (known := there.get(record.session)) is not None:
                asked += (known.log.session.number, record.event.id)
        found = _known_events(self._connection, asked)
        return {(number, id_.decode()): offset for number, id_, offset in found}

    def _take(self, minutes: Minutes, record: Record) -> int:
        name, event, change = record
        known = minutes.sessions.get(name) or minutes.known.get(name)
        if known is not None:
            repeated = minutes.given.get((known.log.session.number, event.id))
            if repeated is not None:
                return repeated
        log = self._continued(minutes, record, known)
        log.top += 1
        log.updated_at = to_milliseconds(event.time)
        minutes.events += event_row(log.session, log.top, event)
        minutes.given[log.session.number, event.id] = log.top
        if change is not None:
            minutes.states[name] = change
        return log.top

    def _continued(self, minutes: Minutes, record: Record, known: Known | None) -> Log:
        """Return the log that the record is to be added to, as the minutes have it."""
        if known is None:
            known = Known(self._new_log(minutes, record), check_first(record).epoch)
        else:
            check_epoch(record, known.epoch)
            if record.session not in minutes.sessions:
                known = Known(replace(known.log), known.epoch)
            if record.change is not None:
                known = known._replace(epoch=record.change.epoch)
        minutes.sessions[record.session] = known
        return known.log

    def _new_log(self, minutes: Minutes, record: Record) -> Log:
        if self._last is None:
            self._last = sessions.last_number(self._connection)
        minutes.made += 1
        time = to_milliseconds(record.event.time)
        return Log(Session.of(self._last + minutes.made, record.session), time, time)

    def keep(self, minutes: Minutes) -> None:
        """A plan was carried out."""
        for name, known in minutes.sessions.items():
            self._remember(name, known)
        if self._last is not None:
            self._last += minutes.made

    def changed(self, name: str, log: Log) -> None:
        """The log of a session was written as it is given here."""
        if (known := self._known.get(name)) is not None:
            self._known[name] = known._replace(log=log)

    # Acknowledging

    def acknowledge(self, batch: Sequence[Acknowledgement]) -> int:
        """Write those that are higher than what is kept; the caller gives the transaction.

        Returns how many.
        """
        sessions_: dict[int, Session] = {}
        highest: dict[tuple[int, str], int] = {}
        for name, subject, offset in batch:
            known = self.session(name)
            if known is not None and 0 < offset <= known.log.top:
                key = (known.log.session.number, subject)
                sessions_[key[0]] = known.log.session
                highest[key] = max(offset, highest.get(key, 0))
        kept = self._acknowledged(sessions_, highest)
        higher = {key: offset for key, offset in highest.items() if offset > kept.get(key, 0)}
        rows = (acknowledgement_row(sessions_[n], who, at) for (n, who), at in higher.items())
        _put_acknowledgements(self._connection, [column for row in rows for column in row])
        return len(higher)

    def _acknowledged(
        self, sessions_: dict[int, Session], keys: Iterable[tuple[int, str]]
    ) -> dict[tuple[int, str], int]:
        """Return what is kept, but for rows that are damaged: they are written anew."""
        asked = [column for key in keys for column in key]
        kept: dict[tuple[int, str], int] = {}
        for row in _known_acknowledgements(self._connection, asked):
            if (opened := open_acknowledgement(row, sessions_[row[0]])) is not None:
                kept[row[0], opened[0]] = opened[1]
        return kept
