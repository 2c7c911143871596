"""The tables, their migrations, and whether a file is one of ours.

``entries`` is the log, ordered by document and then by position, so that a document is read, and
thinned, in one stretch. ``step`` is how far behind the document's entry before it an entry stands
(the first: behind 0): with ``tallies.head`` it makes a chain, so that an entry that went missing,
because its row, its keys or a page was damaged, is missed.

``tallies`` sums up the entries of each document, up to ``head`` and down to ``thinned``, the last
entry that retention removed. It is written behind the edits, before each checkpoint: what it does
not know yet is in the write-ahead log, whose frames have checksums of their own. Where it is
damaged it is made again from the entries.

``names`` and ``ids`` hold the names of documents (kind 1) and authors (kind 2), twice: see
:mod:`persistence.sqlite.names`. All other tables hold ids. ``meta.last_position`` is the highest
position that was ever given, as of the last checkpoint; it never goes back.

``session_states`` and ``session_logs`` are the two rows of each session: what it is, and how far
its log goes, from behind ``truncated`` up to ``top``. Only the second is written with every batch
of events, so it is small. Both hold the session's name outside, ``id``, and the number that all
other tables have in its place, ``session``: so a session is missed where one of them is damaged,
and ``session_logs`` is made again from the events. ``session_events`` is the log; an event that
comes once more is recognised by ``id``. ``acknowledgements`` say what members have received.

``origin`` of an entry is the number of its connection times two, plus one where it was made
offline. Entries that were written before schema m003 have none, and their checksums cover none.

``bases`` are snapshots too: what a document was where its history begins, once retention removed
what was before. ``deletions`` hold the names of documents that were deleted, for documents too that
were never written; of those that are ``purged`` nothing is left but an empty tally. A deletion that
is damaged is taken as it stands, but never as purged. ``revocations`` are of tokens: ``kind`` is
jti or sub. ``quarantine`` holds the rows that ``doctor --fix`` took out of other tables
(``source``), because they are damaged: ``columns`` is JSON, of a blob its base64. ``meta.removed``
counts the entries that retention and purges removed: every other position is an entry's, or in
quarantine.

``cursors`` say up to where a consumer was given a session's events; where there is none, up to 0.
The one of session 0 says that the consumer is known. ``dead_letters`` could not be delivered.

Times are milliseconds since 1970. Every ``checksum`` covers all other columns of its row, and the
names that its ids stand for (see :mod:`persistence.sqlite.seals`).

The views ``documents``, ``edits``, ``sessions`` and ``events`` are for people: names and dates in
the place of ids and numbers, and up to date at any time. They check nothing.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from persistence.sqlite.rows import open_meta, seal_meta
from persistence.store import StoreError, StoreTooNew

if TYPE_CHECKING:  # it takes 0.15 s to import, and who only reads needs none of it
    from sqlite_utils import Database

OLDEST_SQLITE = (3, 37, 0)  # STRICT tables

_SET = "draftsync"  # the name of our migrations

_migrations: list[Callable[[Database], None]] = []  # in order

_BEFORE_THE_FIRST = "m001_documents_and_entries"
"""What development files have that were written before this schema; no release wrote any."""

_TABLES = (
    """
    CREATE TABLE meta (
        key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, checksum BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE names (
        id INTEGER NOT NULL PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX names_by_name ON names (kind, name)",
    """
    CREATE TABLE ids (
        kind INTEGER NOT NULL, name TEXT NOT NULL, id INTEGER NOT NULL, checksum BLOB NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE entries (
        document INTEGER NOT NULL, position INTEGER NOT NULL, step INTEGER NOT NULL,
        author INTEGER NOT NULL, received_at INTEGER NOT NULL, clients BLOB NOT NULL,
        checksum BLOB NOT NULL, "update" BLOB NOT NULL,
        PRIMARY KEY (document, position)
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE tallies (
        document INTEGER NOT NULL PRIMARY KEY, head INTEGER NOT NULL, edits INTEGER NOT NULL,
        size INTEGER NOT NULL, last_author INTEGER NOT NULL, created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, snapshot INTEGER NOT NULL, thinned INTEGER NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT""",
    """
    CREATE TABLE snapshots (
        document INTEGER NOT NULL PRIMARY KEY, position INTEGER NOT NULL,
        taken_at INTEGER NOT NULL, checksum BLOB NOT NULL, state_vector BLOB NOT NULL,
        "update" BLOB NOT NULL
    ) STRICT""",
)

_DATE = "strftime('%Y-%m-%d %H:%M:%f', {} / 1000.0, 'unixepoch')"

_FIRST_VIEWS = (
    f"""
    CREATE VIEW edits AS
    SELECT
        entries.position, documents.name AS document, authors.name AS author,
        {_DATE.format("entries.received_at")} AS received_at,
        length(entries."update") AS size, entries."update",
        entries.position - entries.step AS previous
    FROM entries
    JOIN names AS documents ON documents.id = entries.document
    JOIN names AS authors ON authors.id = entries.author""",  # noqa: S608 -- our own names
    f"""
    CREATE VIEW documents AS
    SELECT
        names.name AS document,
        coalesce(last.position, tallies.head) AS head,
        tallies.edits + (
            SELECT count(*) FROM entries AS new
            WHERE new.document = tallies.document AND new.position > tallies.head) AS edits,
        tallies.size + (
            SELECT coalesce(sum(length(new."update")), 0) FROM entries AS new
            WHERE new.document = tallies.document AND new.position > tallies.head) AS size,
        authors.name AS last_author,
        {_DATE.format("tallies.created_at")} AS created_at,
        {_DATE.format("coalesce(last.received_at, tallies.updated_at)")} AS updated_at,
        tallies.snapshot, tallies.thinned
    FROM tallies
    JOIN names ON names.id = tallies.document
    LEFT JOIN entries AS last ON last.document = tallies.document AND last.position = (
        SELECT max(position) FROM entries WHERE entries.document = tallies.document)
    LEFT JOIN names AS authors ON authors.id = coalesce(last.author, tallies.last_author)""",  # noqa: S608
)

_SESSION_TABLES = (
    """
    CREATE TABLE session_states (
        session INTEGER NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,
        state TEXT NOT NULL, checksum BLOB NOT NULL, body TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX session_states_by_state ON session_states (state)",
    """
    CREATE TABLE session_logs (
        id TEXT NOT NULL PRIMARY KEY, session INTEGER NOT NULL, created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, top INTEGER NOT NULL, truncated INTEGER NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE session_events (
        session INTEGER NOT NULL, offset INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
        actor TEXT NOT NULL, time INTEGER NOT NULL, checksum BLOB NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (session, offset)
    ) STRICT, WITHOUT ROWID""",
    "CREATE UNIQUE INDEX session_events_by_id ON session_events (session, id)",
    """
    CREATE TABLE acknowledgements (
        session INTEGER NOT NULL, subject TEXT NOT NULL, offset INTEGER NOT NULL,
        checksum BLOB NOT NULL, PRIMARY KEY (session, subject)
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE cursors (
        consumer TEXT NOT NULL, session INTEGER NOT NULL, offset INTEGER NOT NULL,
        checksum BLOB NOT NULL, PRIMARY KEY (consumer, session)
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE dead_letters (
        consumer TEXT NOT NULL, session INTEGER NOT NULL, offset INTEGER NOT NULL,
        time INTEGER NOT NULL, reason TEXT NOT NULL, checksum BLOB NOT NULL,
        PRIMARY KEY (consumer, session, offset)
    ) STRICT, WITHOUT ROWID""",
)

_SESSION_VIEWS = (
    f"""
    CREATE VIEW sessions AS
    SELECT
        states.session AS number, states.id, states.state,
        {_DATE.format("logs.created_at")} AS created_at,
        {_DATE.format("logs.updated_at")} AS updated_at,
        logs.top, logs.truncated, states.epoch, states.body
    FROM session_states AS states JOIN session_logs AS logs ON logs.id = states.id""",  # noqa: S608
    f"""
    CREATE VIEW events AS
    SELECT
        states.id AS session, offset, events.id, kind, actor,
        {_DATE.format("time")} AS time, data
    FROM session_events AS events
    JOIN session_states AS states ON states.session = events.session""",  # noqa: S608
)


_HISTORY_TABLES = (
    "ALTER TABLE entries ADD COLUMN origin INTEGER",
    """
    CREATE TABLE bases (
        document INTEGER NOT NULL PRIMARY KEY, position INTEGER NOT NULL,
        taken_at INTEGER NOT NULL, checksum BLOB NOT NULL, state_vector BLOB NOT NULL,
        "update" BLOB NOT NULL
    ) STRICT""",
    """
    CREATE TABLE deletions (
        document TEXT NOT NULL PRIMARY KEY, "by" TEXT NOT NULL, at INTEGER NOT NULL,
        purged INTEGER NOT NULL, checksum BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE revocations (
        kind TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL,
        "by" TEXT NOT NULL, checksum BLOB NOT NULL, PRIMARY KEY (kind, value)
    ) STRICT, WITHOUT ROWID""",
    """
    CREATE TABLE IF NOT EXISTS quarantine (
        id INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, source TEXT NOT NULL,
        name TEXT NOT NULL, position INTEGER NOT NULL, reason TEXT NOT NULL, columns TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX quarantine_by_name ON quarantine (name, position)",
)

_HISTORY_VIEWS = (
    "DROP VIEW IF EXISTS edits",
    f"""
    CREATE VIEW edits AS
    SELECT
        entries.position, documents.name AS document, authors.name AS author,
        {_DATE.format("entries.received_at")} AS received_at,
        length(entries."update") AS size, entries."update",
        entries.position - entries.step AS previous,
        coalesce(entries.origin >> 1, 0) AS connection, coalesce(entries.origin & 1, 0) AS offline
    FROM entries
    JOIN names AS documents ON documents.id = entries.document
    JOIN names AS authors ON authors.id = entries.author""",  # noqa: S608 -- our own names
    "DROP VIEW IF EXISTS documents",
    f"""
    CREATE VIEW documents AS
    SELECT
        names.name AS document,
        coalesce(last.position, tallies.head) AS head,
        tallies.edits + (
            SELECT count(*) FROM entries AS new
            WHERE new.document = tallies.document AND new.position > tallies.head) AS edits,
        tallies.size + (
            SELECT coalesce(sum(length(new."update")), 0) FROM entries AS new
            WHERE new.document = tallies.document AND new.position > tallies.head) AS size,
        authors.name AS last_author,
        {_DATE.format("tallies.created_at")} AS created_at,
        {_DATE.format("coalesce(last.received_at, tallies.updated_at)")} AS updated_at,
        tallies.snapshot, tallies.thinned,
        {_DATE.format("deletions.at")} AS deleted_at, deletions."by" AS deleted_by
    FROM tallies
    JOIN names ON names.id = tallies.document
    LEFT JOIN deletions ON deletions.document = names.name
    LEFT JOIN entries AS last ON last.document = tallies.document AND last.position = (
        SELECT max(position) FROM entries WHERE entries.document = tallies.document)
    LEFT JOIN names AS authors ON authors.id = coalesce(last.author, tallies.last_author)
    WHERE coalesce(last.position, tallies.head) > 0 AND coalesce(deletions.purged, 0) = 0""",  # noqa: S608
)

_LAST_POSITION = "SELECT CAST(value AS BLOB), checksum FROM meta WHERE key = 'last_position'"
_ACCOUNTED = """
    SELECT count(*) + (SELECT count(*) FROM quarantine WHERE source = 'entries')
    FROM entries WHERE position <= ?"""


def _migration(change: Callable[[Database], None]) -> Callable[[Database], None]:
    """Take a function for a migration; its name is kept in the databases that have it."""
    _migrations.append(change)
    return change


@_migration
def m001_names_entries_and_tallies(database: Database) -> None:
    """Make the tables and views of documents, and give the database its epoch."""
    for sql in (*_TABLES, *_FIRST_VIEWS):
        database.execute(sql)
    values = {
        "epoch": secrets.token_hex(16),
        "created_at": repr(time.time()),
        "last_position": "0",
    }
    for key, value in values.items():
        database.execute("INSERT INTO meta VALUES (?, ?, ?)", [key, value, seal_meta(key, value)])


@_migration
def m002_sessions_and_events(database: Database) -> None:
    """Make the tables and views of sessions."""
    for sql in (*_SESSION_TABLES, *_SESSION_VIEWS):
        database.execute(sql)


@_migration
def m003_history(database: Database) -> None:
    """Make room for connections, bases, deletions, revocations and the quarantine.

    The rows that are there stay as they are. What was removed by now is what is not there of the
    positions up to the last one that is told. (Those behind it are of a service that was killed.)
    Where that is damaged it is not known, and `doctor` says so.
    """
    for sql in (*_HISTORY_TABLES, *_HISTORY_VIEWS):
        database.execute(sql)
    for row in database.execute(_LAST_POSITION).fetchall():
        if (last := open_meta("last_position", *row)) is not None:
            [(accounted,)] = database.execute(_ACCOUNTED, [int(last)])
            removed = str(max(int(last) - accounted, 0))
            sealed = ["removed", removed, seal_meta("removed", removed)]
            database.execute("INSERT INTO meta VALUES (?, ?, ?)", sealed)


def check_for_writing(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError or StoreTooNew unless the database is ours, or empty. Changes nothing."""
    _check_ours(connection, path, or_empty=True)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database, or a new file, to this version's schema: wholly or not at all."""
    if not pending(connection):
        return
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(_SET)
    for change in _migrations:
        migrations(name=change.__name__)(change)
    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    with database.atomic():
        migrations.apply(database)


def check_for_reading(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError or StoreTooNew unless the database is ours and of this schema."""
    _check_ours(connection, path, or_empty=False)
    if pending(connection):
        raise StoreError(
            f"{path} was written by an older draftsync: start this version's service on it once"
        )


def applied(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the migrations that a database has, in the order they were applied."""
    if "_sqlite_migrations" not in _tables(connection):
        return []
    rows = connection.execute(
        "SELECT CAST(name AS BLOB) FROM _sqlite_migrations WHERE migration_set = ? ORDER BY rowid",
        (_SET,),
    )
    return [name.decode(errors="replace") for (name,) in rows]


def pending(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the migrations that a database still needs."""
    there = set(applied(connection))
    return [name for change in _migrations if (name := change.__name__) not in there]


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT CAST(name AS BLOB) FROM sqlite_schema WHERE type = 'table'")
    return {name.decode(errors="replace") for (name,) in rows}


def _check_ours(connection: sqlite3.Connection, path: Path, *, or_empty: bool) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
    there = set(applied(connection))
    if _BEFORE_THE_FIRST in there:
        raise StoreError(
            f"{path} was written by a draftsync under development, before its first release, and "
            "cannot be read by this one: give another file with --database (whoever still has the "
            "drafts open brings them along), or read it with the draftsync that wrote it"
        )
    if unknown := sorted(there - {change.__name__ for change in _migrations}):
        raise StoreTooNew(
            f"{path} was written by a newer draftsync: it has {', '.join(unknown)}, which this one "
            "does not know. Use the newer draftsync, or a backup from before it was there"
        )
    if not there and not (or_empty and not _tables(connection)):
        raise StoreError(f"{path} is a SQLite database, but not one of draftsync's")
