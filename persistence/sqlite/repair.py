"""Repairing a database: what can be made again is, and what cannot be read is put aside.

Nothing is deleted in silence: a row that cannot be read goes into the table ``quarantine``, with
its bytes and why. Each document and each session is one transaction; whoever is interrupted begins
again, and a second repair finds nothing to do.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from persistence.sqlite import deletions, meta, names, revocations, schema
from persistence.sqlite.checkup import Report, examine, unaccounted
from persistence.sqlite.checkup_documents import Look
from persistence.sqlite.checkup_findings import Finding, Progress, some
from persistence.sqlite.checkup_sessions import known_sessions
from persistence.sqlite.errors import translated
from persistence.sqlite.lock import WriterLock
from persistence.sqlite.names import Authors
from persistence.sqlite.repair_documents import CannotRemove, Done, Remake, mend_document, remove
from persistence.sqlite.repair_mend import mended
from persistence.sqlite.repair_names import mend_names, put_nameless_aside
from persistence.sqlite.repair_quarantine import PutAside, note, put_aside
from persistence.sqlite.repair_salvage import finish, salvage
from persistence.sqlite.repair_sessions import Mended, mend_session, mend_states, put_strays_aside
from persistence.sqlite.rows import seal_meta
from persistence.store import Position, Snapshot, StoreError, StoreInUse

PATIENCE = 5.0  # seconds to wait for another process's lock

Connect = Callable[[Path], sqlite3.Connection]

_REBUILT = {"pages.malformed", "schema.differs", "log.damaged", "log.header"}
"""Findings that a new file is made for."""

_PUT_META = "INSERT OR REPLACE INTO meta (key, value, checksum) VALUES (?, ?, ?)"
_PUT_REVOCATION = """
    INSERT OR REPLACE INTO revocations VALUES
    (CAST(? AS TEXT), CAST(? AS TEXT), ?, ?, CAST(? AS TEXT), ?)"""
_HIGHEST = """
    SELECT max(head) FROM (
        SELECT max(head) AS head FROM tallies UNION ALL SELECT max(position) FROM entries)"""


@dataclass(frozen=True, slots=True)
class Deep:
    """What replays documents, for a repair."""

    look: Look | None = None
    remake: Remake | None = None


def repair(
    path: Path,
    report: Report,
    deep: Deep | None = None,
    progress: Progress = lambda *_: None,
    connect: Connect | None = None,
) -> list[Finding]:
    """Repair what a checkup found; return what was done.

    ``deep`` replays documents; ``connect`` lets tests put faults in between.
    Raises StoreInUse while a service has the database open, StoreTooNew, StoreError,
    StoreUnavailable: then what was done so far stays done, and the rest can be done later.
    """
    path = path.resolve()
    with translated(path):
        try:
            lock = WriterLock(path)
        except StoreInUse as error:
            raise StoreInUse(f"{error}: stop the service first, then repair") from None
        try:
            return _Repair(path, report, deep or Deep(), progress, connect or _connect).run()
        finally:
            lock.release()


class _Repair:
    """One repair, from the first look to the last."""

    def __init__(
        self,
        path: Path,
        report: Report,
        deep: Deep,
        progress: Progress,
        connect: Connect,
    ) -> None:
        self._path = path
        self._report = report
        self._deep = deep
        self._progress = progress
        self._connect = connect
        self._done: list[Finding] = []
        self._lost = [
            finding.text
            for finding in report.findings
            if finding.code.startswith("log.") and finding.severity == "damage"
        ]

    def run(self) -> list[Finding]:
        codes = {finding.code for finding in self._report.findings}
        if finish(self._path):
            self._tell("file.finished", "the new file of an interrupted repair was put in place")
            self._look_again()
        elif not self._report.walkable or codes & _REBUILT:
            self._make_anew()
        try:
            self._mend()
        except (CannotRemove, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._make_anew()  # rows that are there, and not found by their keys
            self._mend()
        return self._done

    def _tell(self, code: str, text: str, document: str | None = None) -> None:
        self._done.append(Finding(code, "info", text, "", document=document))

    def _make_anew(self) -> None:
        kept, found = salvage(self._path, self._progress)
        told = ", ".join(f"{count:,} of {table}" for table, count in sorted(found.items()))
        self._tell(
            "file.made_anew",
            f"a new file was made of all rows that can be read ({told}); "
            f"the old one is kept as {kept.name}",
        )
        self._look_again()

    def _look_again(self) -> None:
        """What was found in the old file may be wrong, for SQLite did not find all rows of it."""
        self._report = examine(self._path, self._deep.look, self._progress)

    # Row by row

    def _mend(self) -> None:
        with closing(self._connect(self._path)) as connection:
            _prepare(connection, self._path)
            self._mend_meta(connection)
            with transaction(connection):
                made, aside = mend_names(connection)
            if made or aside:
                self._tell(
                    "name.remade", f"{some(made, 'name')} made whole, {aside} rows put aside"
                )
            self._mend_documents(connection)
            self._mend_sessions(connection)
            self._mend_takings(connection)
            self._account(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _mend_meta(self, connection: sqlite3.Connection) -> None:
        [(highest,)] = connection.execute(_HIGHEST)
        made = {
            "epoch": secrets.token_hex(16),
            "created_at": repr(time.time()),
            "last_position": str(highest or 0),
        }
        with transaction(connection):
            for key, value in made.items():
                if meta.read_meta(connection, key) is None:
                    connection.execute(_PUT_META, (key, value, seal_meta(key, value)))
                    self._tell("meta.remade", f"meta: {key} was made again")

    def _mend_documents(self, connection: sqlite3.Connection) -> None:
        authors = Authors(connection)
        with transaction(connection):
            strays = put_nameless_aside(connection, names.documents(connection), authors)
        if strays.anything:
            self._tell_document("rows without a document", strays, None)
        damaged: dict[str, set[str]] = {}
        for finding in self._report.findings:
            if finding.fixable and finding.document is not None:
                damaged.setdefault(finding.document, set()).add(finding.code)
        known = names.documents(connection)
        everything = any(
            finding.fixable and finding.document is None and finding.session is None
            for finding in self._report.findings
        )
        chosen = [each for each in known.values() if everything or each.name in damaged]
        for done, document in enumerate(chosen):
            self._progress("documents", done, len(chosen))
            with transaction(connection):
                found = damaged.get(document.name, ())
                mended = mend_document(connection, authors, document, self._deep.remake, found)
            if mended.anything:
                self._tell_document(document.name, mended, document.name)

    def _tell_document(self, name: str, done: Done, document: str | None) -> None:
        said = [
            f"{some(done.mended, 'row')} put right" if done.mended else "",
            f"{some(done.put_aside, 'entry', 'entries')} put into quarantine"
            if done.put_aside
            else "",
            f"{some(done.noted, 'missing entry', 'missing entries')} noted" if done.noted else "",
            "what sums it up made again" if done.remade else "",
            "all of it is in quarantine, for what it begins with is lost" if done.given_up else "",
        ]
        self._tell("document.mended", f"{name}: {', '.join(filter(None, said))}", document)

    def _mend_sessions(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            known = known_sessions(connection)
            done = mend_states(connection)
        self._tell_sessions("sessions", done)
        known = known_sessions(connection) | known
        for session in known.values():
            with transaction(connection):
                done = mend_session(connection, session)
            self._tell_sessions(session.name, done)
        with transaction(connection):
            done = put_strays_aside(connection, known)
        self._tell_sessions("what belongs to no session", done)

    def _tell_sessions(self, name: str, done: Mended) -> None:
        if done.anything:
            self._tell(
                "session.mended",
                f"{name}: {some(done.mended, 'row')} put right, {done.put_aside} put into "
                f"quarantine, {some(done.lost, 'lost event')} stood in for, "
                f"{some(done.remade, 'log')} made again",
            )

    def _mend_takings(self, connection: sqlite3.Connection) -> None:
        """Deletions are believed as they stand; revocations that are none are put aside."""
        made = aside = 0
        with transaction(connection):
            for row in deletions.unsound(connection):
                if deletions.mend(connection, row) is None:
                    deletions.put_again(connection, row, deletions.open_deletion(row)[0])
                made += 1
            for row in revocations.unsound(connection):
                remove(connection, "revocations", "checksum = ? AND at = ?", (row[5], row[2]))
                found = mended(row, revocations.is_sound)
                if found is not None:
                    connection.execute(_PUT_REVOCATION, found)
                    made += 1
                    continue
                put_aside(connection, PutAside("revocations", revocations.COLUMNS, row),
                          "its checksum did not fit")  # fmt: skip
                aside += 1
        if made or aside:
            self._tell(
                "taking.mended",
                f"{some(made, 'deletion or revocation', 'deletions or revocations')} put right, "
                f"{aside} put into quarantine",
            )

    def _account(self, connection: sqlite3.Connection) -> None:
        """Take note of positions that went missing, and of commits that the log lost."""
        with transaction(connection):
            if meta.read_meta(connection, meta.REMOVED) is None:
                meta.write(connection, meta.REMOVED, "0")
                meta.write(connection, meta.REMOVED, str(max(unaccounted(connection), 0)))
                self._tell("meta.remade", "meta: removed was made again, from what is not there")
            gone = unaccounted(connection)
            if gone > 0:
                note(connection, "", 0, "entries went missing without a trace", gone)
                self._tell("position.noted", f"{some(gone, 'missing entry', 'missing entries')}"
                           " noted")  # fmt: skip
            for text in self._lost:
                note(connection, "", 0, text, 0)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def snapshot(document: str, position: int, update: bytes, state_vector: bytes) -> Snapshot:
    """What was made again of a document, taken now."""
    return Snapshot(document, Position(position), update, state_vector, time.time())


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    schema.check_for_writing(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"{path} lies where SQLite cannot keep a write-ahead log: {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cell_size_check = ON")
    schema.migrate(connection)
    connection.text_factory = bytes
