"""Looking over a whole database: is every row what was written, and is none missing?

For the person whose database may be damaged. Nothing is changed; a live service goes on meanwhile.
Only its log grows while one moment is looked at: as long as the pages, the names, one document or
one session take.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from persistence.sqlite import checkup_documents as documents
from persistence.sqlite import meta, names, repair_quarantine, schema
from persistence.sqlite.checkup_documents import Look, Opened, Reading
from persistence.sqlite.checkup_file import (
    check_log,
    check_pages,
    check_room,
    check_schema,
    malformed,
    missing_tables,
)
from persistence.sqlite.checkup_findings import Finding, Progress, Tell, some
from persistence.sqlite.checkup_names import (
    check_deletions,
    check_meta,
    check_nameless,
    check_names,
    check_revocations,
)
from persistence.sqlite.checkup_sessions import check_sessions
from persistence.sqlite.errors import base_code
from persistence.sqlite.files import open_to_read
from persistence.sqlite.log_file import inspect_log
from persistence.sqlite.names import Authors
from persistence.sqlite.queries import one_moment
from persistence.sqlite.rows import Document
from persistence.store import Entry, StoreError

PATIENCE = 5.0  # seconds to wait for another process's lock

_MAGIC = b"SQLite format 3\0"
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""What a damaged file makes SQLite say; the last where a table or a column is not there."""


@dataclass(slots=True)
class Report:
    """What a checkup found, and how much it looked at."""

    findings: list[Finding] = field(default_factory=list)
    documents: int = 0
    entries: int = 0
    walkable: bool = True  # SQLite can walk through all of the file

    @property
    def damaged(self) -> bool:
        return any(finding.severity == "damage" for finding in self.findings)

    def tell(self, finding: Finding) -> None:
        self.findings.append(finding)


def examine(
    path: Path,
    look: Look | None = None,
    progress: Progress = lambda *_: None,
    *,
    quick: bool = False,
) -> Report:
    """Look over the database at ``path``. Nothing is changed.

    ``look`` is shown each document, to look deeper. Raises StoreError where there is no file, or
    one that is no SQLite database or not ours; StoreTooNew. This process must not have it open.
    """
    report = Report()
    path = path.resolve()
    _check_magic(path, report.tell)
    try:
        check_log(inspect_log(path), report.tell)
        with closing(_connect(path)) as connection:
            _examine(connection, path, report, look, progress, quick)
    except _NoTables:
        report.walkable = False
        report.tell(malformed("the list of its tables, or of its migrations, is damaged"))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.Error) and base_code(error) not in _BROKEN:
            raise StoreError(f"the database {path} cannot be read now: {error}") from error
        report.walkable = False
        report.tell(malformed(str(error)))
    except OSError as error:
        raise StoreError(f"the database {path} cannot be read now: {error}") from error
    return report


def names_of(path: Path, chosen: str) -> list[str]:
    """List a document, or, where none has this name, those whose names begin so; ordered.

    Raises StoreError as :func:`examine`.
    """
    with _reading(path.resolve()) as connection:
        found = sorted(each.name for each in names.documents(connection).values())
    return [chosen] if chosen in found else [name for name in found if name.startswith(chosen)]


def examine_documents(path: Path, look: Look, chosen: list[str], progress: Progress) -> Report:
    """Look over some documents only. Raises StoreError as :func:`examine`."""
    report = Report()
    with _reading(path.resolve()) as connection:
        authors = Authors(connection)
        known = {each.name: each for each in names.documents(connection).values()}
        for done, name in enumerate(chosen):
            progress("documents", done, len(chosen))
            if name in known:
                _examine_document(connection, authors, known[name], report, look, 0)
    return report


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    _check_magic(path, lambda _: None)
    try:
        with closing(_connect(path)) as connection:
            yield connection
    except (sqlite3.Error, UnicodeDecodeError, _NoTables) as error:
        raise StoreError(
            f"the database {path} cannot be read: {error}; `draftsync doctor` tells more"
        ) from error


def _check_magic(path: Path, tell: Tell) -> None:
    """See that there is a SQLite database. (No connection of this process is open yet.)"""
    if not path.is_file():
        raise StoreError(f"there is no database {path}")
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise StoreError(f"the database {path} cannot be read: {error}") from error
    if head[:16] == _MAGIC:
        return
    if not _looks_ours(path):
        raise StoreError(f"{path} is no SQLite database")
    tell(malformed("the file's first bytes are not those of a database"))


def _is_unlisted(connection: sqlite3.Connection) -> bool:
    """Whether it is only not told any more that the tables are ours.

    (A file of a newer draftsync has all of our migrations, and further ones.)
    """
    applied = schema.applied(connection)
    return not applied or (bool(schema.pending(connection)) and not missing_tables(connection))


class _NoTables(Exception):
    """The file holds tables of ours, but SQLite does not find them."""


def _looks_ours(path: Path) -> bool:
    """Whether a file that SQLite makes nothing of holds tables of ours all the same."""
    with path.open("rb") as file:
        begun = file.read(2**20)
    return all(b"CREATE TABLE %b (" % name in begun for name in (b"entries", b"tallies", b"ids"))


def _connect(path: Path) -> sqlite3.Connection:
    connection = open_to_read(path, PATIENCE)
    try:
        schema.check_for_reading(connection, path)
    except BaseException as error:
        unknown = isinstance(error, StoreError) and _is_unlisted(connection)
        connection.close()  # before the file is read: closing that drops SQLite's locks
        if unknown and _looks_ours(path):
            raise _NoTables from error
        raise
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA query_only = ON")
    connection.text_factory = bytes
    return connection


def _examine(
    connection: sqlite3.Connection,
    path: Path,
    report: Report,
    look: Look | None,
    progress: Progress,
    quick: bool,
) -> None:
    check_room(connection, path, report.tell)
    pages = check_pages(connection, path, report.tell, progress, quick=quick)
    tables = check_schema(connection, report.tell)
    report.walkable = pages and tables
    check_meta(connection, report.tell)
    check_names(connection, report.tell)
    _examine_documents(connection, report, look, progress)
    check_sessions(connection, report.tell, progress)
    check_deletions(connection, report.tell)
    check_revocations(connection, report.tell)
    _check_quarantine(connection, report.tell)


def _check_quarantine(connection: sqlite3.Connection, tell: Tell) -> None:
    """Tell what repairs put aside: it is known, and nothing is to be done about it."""
    for source, name, count in repair_quarantine.contents(connection):
        what = some(count, "note") if source == repair_quarantine.NOTE else f"{count} of {source}"
        tell(
            Finding(
                "quarantine.content",
                "info",
                f"in quarantine: {what}{f' of {name}' if name else ''}",
                "a repair put it there, with its bytes, as it could not be read",
                document=name or None,
                count=count,
            )
        )


def _examine_documents(
    connection: sqlite3.Connection, report: Report, look: Look | None, progress: Progress
) -> None:
    told = meta.read_meta(connection, "last_position")
    reach, there = int(told or 0), 0
    authors = Authors(connection)
    known = names.documents(connection)
    for done, document in enumerate(known.values()):
        progress("documents", done, len(known))
        reading = _examine_document(connection, authors, document, report, look, reach)
        there += reading.rows_reached + reading.missing.count
    with one_moment(connection):  # a live service may have written others meanwhile
        nameless = check_nameless(connection, names.documents(connection), report.tell)
    _check_positions(connection, reach, there + nameless, report.tell)


def _examine_document(
    connection: sqlite3.Connection,
    authors: Authors,
    document: Document,
    report: Report,
    look: Look | None,
    reach: int,
) -> Reading:
    reading = documents.read(connection, authors, document, reach)
    documents.tell_entries(reading, report.tell)
    documents.tell_sums(connection, reading, report.tell)
    report.documents += reading.rows > 0 or reading.snapshot is not None
    report.entries += reading.rows
    if look is not None and (reading.rows or reading.snapshot):
        for finding in look(_opened(connection, authors, reading)):
            report.tell(finding)
    return reading


def _opened(connection: sqlite3.Connection, authors: Authors, reading: Reading) -> Opened:
    def entries() -> Iterator[Entry]:
        for link in documents.sound_entries(connection, authors, reading.document):
            if link.entry.position > reading.thinned:
                yield link.entry

    return Opened(
        reading.document.name,
        reading.snapshot,
        reading.thinned,
        reading.whole and not _is_quarantined(connection, reading),
        entries,
        reading.base,
    )


def _is_quarantined(connection: sqlite3.Connection, reading: Reading) -> bool:
    return repair_quarantine.quarantined(connection, reading.document.name)


def _check_positions(connection: sqlite3.Connection, reach: int, there: int, tell: Tell) -> None:
    """Every position up to ``reach`` is an entry's, or was removed, or put aside."""
    gone = _gone(connection, reach, there)
    if gone > 0:
        tell(
            Finding(
                "position.missing",
                "damage",
                f"{some(gone, 'entry', 'entries')} went missing without a trace: {reach:,} "
                "positions were given",
                "whole documents, or the ends of some, are not there any more",
                "restore a backup, or let whoever still has the documents open bring them back. "
                "`--fix` takes note of it",
                count=gone,
                fixable=True,
            )
        )


def unaccounted(connection: sqlite3.Connection) -> int:
    """How many positions are no entry's, and were neither removed nor put aside."""
    reach = int(meta.read_meta(connection, "last_position") or 0)
    sql = "SELECT count(*) FROM entries WHERE position <= ?"
    [(there,)] = connection.execute(sql, (reach,))
    return _gone(connection, reach, there)


def _gone(connection: sqlite3.Connection, reach: int, there: int) -> int:
    removed = meta.read_meta(connection, "removed")
    if removed is None:  # nobody knows
        return 0
    return reach - there - int(removed) - repair_quarantine.positions(connection)


__all__ = ["Report", "examine", "examine_documents", "names_of", "unaccounted"]
