"""What can be imported: archives, update files, Hocuspocus databases. Told apart by content.

Everything here blocks: it reads files.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from persistence.store import Deletion, Edit, StoredEvent
from sync.cli.options import OPERATOR
from sync.core.errors import InvalidName
from sync.core.names import DocumentName, document_name, name_from_path
from sync.inspection.archive import (
    DELETIONS,
    DOCUMENTS,
    SESSIONS,
    ArchivedDocument,
    ArchivedSession,
    ArchiveReader,
    BadArchive,
    Line,
    read_deletion,
    read_document,
    read_entry,
    read_event,
    read_session,
)

_T = TypeVar("_T")

UPDATE_SUFFIX = ".update"

PART_LENGTH = 200
"""Characters of a file's name in a folder of updates; longer names are split over subfolders."""

MOST_BYTES = 128 * 2**20
"""Of an update that is read into memory; the largest document takes an eighth."""

_ZIP = b"PK\x03\x04"
_SQLITE = b"SQLite format 3\x00"


class BadSource(Exception):
    """It cannot be imported; the text says why."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A document as a source has it."""

    document: str
    edits: tuple[Edit, ...]
    source: str  # for people


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A document that cannot be ours."""

    source: str
    reason: str


Found = Incoming | Unnamed


@dataclass(frozen=True, slots=True)
class Source:
    """One file to import from."""

    path: Path
    name: str | None = None  # of the document, where the file is an update
    within: Path | None = None  # or where in an exported folder it is: that says the name

    def kind(self) -> str:
        """``archive``, ``hocuspocus`` or ``update``. Raises BadSource."""
        try:
            if self.path.exists() and not self.path.is_file():
                raise BadSource(f"{self.path} is no file: a pipe can be read only once")
            with self.path.open("rb") as file:
                start = file.read(16)
        except OSError as error:
            raise BadSource(f"{self.path} cannot be read: {error.strerror}") from error
        if start.startswith(_ZIP):
            return "archive"
        return "hocuspocus" if start == _SQLITE else "update"

    def check(self) -> None:
        """See that it can be read. Raises BadSource."""
        match self.kind():
            case "archive":
                with self.path.open("rb") as file:
                    try:
                        ArchiveReader(file).verify()
                    except BadArchive as error:
                        raise BadSource(f"{self.path}: {error}") from error
            case "hocuspocus":
                with closing(_open_hocuspocus(self.path)):
                    pass

    def documents(self) -> Iterator[Found]:
        """Raises BadSource."""
        match self.kind():
            case "archive":
                with self.path.open("rb") as file:
                    yield from self._translated(_archived(ArchiveReader(file), self.path))
            case "hocuspocus":
                yield from _of_hocuspocus(self.path)
            case _:
                yield _of_update(self)

    def deletions(self) -> list[Deletion]:
        """Raises BadSource."""
        if self.kind() != "archive":
            return []
        with self.path.open("rb") as file:
            lines = ArchiveReader(file).lines(DELETIONS)
            return list(self._translated(read_deletion(line) for line in lines))

    def sessions(self) -> Iterator[tuple[ArchivedSession, list[StoredEvent]]]:
        """Raises BadSource."""
        if self.kind() == "archive":
            with self.path.open("rb") as file:
                yield from self._translated(_sessions(ArchiveReader(file)))

    def _translated(self, lines: Iterator[_T]) -> Iterator[_T]:
        try:
            yield from lines
        except BadArchive as error:
            raise BadSource(f"{self.path}: {error}") from error


def sources(paths: list[Path], name: str | None) -> list[Source]:
    """The files of a command. ``name``: of the only document. Raises BadSource, InvalidName."""
    found = list(chain.from_iterable(map(_files, paths)))
    if name is not None:
        if len(found) != 1 or found[0].kind() != "update":
            raise BadSource("--name is for one update file, and names its document")
        return [Source(found[0].path, document_name(name))]
    return found


def _files(path: Path) -> list[Source]:
    if not path.is_dir():
        return [Source(path)]
    files = sorted(path.rglob(f"*{UPDATE_SUFFIX}"))
    if not files:
        raise BadSource(
            f"{path} has no files that end in {UPDATE_SUFFIX}: a Yjs update of each document, such "
            "as Y.encodeStateAsUpdate makes one of what y-leveldb's getYDoc gives"
        )
    return [Source(file, within=file.relative_to(path)) for file in files]


# -- archives


def _archived(reader: ArchiveReader, path: Path) -> Iterator[Found]:
    found: ArchivedDocument | None = None
    edits: list[Edit] = []
    for line in reader.lines(DOCUMENTS):
        if "document" in line:
            if found is not None:
                yield _named(found.document, edits, path)
            found = read_document(line)
            edits = _base_edits(found)
        elif found is None:
            raise BadArchive("an entry stands before its document")
        else:
            edits.append(read_entry(line, found.document).edit)
    if found is not None:
        yield _named(found.document, edits, path)


def _base_edits(found: ArchivedDocument) -> list[Edit]:
    """What retention removed comes as one edit: nobody knows any more who wrote it."""
    if found.base is None:
        return []
    return [Edit(found.document, found.base.update, OPERATOR, (), found.base.taken_at)]


def _named(name: str, edits: list[Edit], path: Path) -> Found:
    source = f"{path}: {name!r}"
    try:
        return Incoming(document_name(name), tuple(edits), source)
    except InvalidName as error:
        return Unnamed(source, error.reason)


def _sessions(reader: ArchiveReader) -> Iterator[tuple[ArchivedSession, list[StoredEvent]]]:
    found: ArchivedSession | None = None
    events: list[StoredEvent] = []
    for line in reader.lines(SESSIONS):
        if "session" in line and "event" not in line:
            if found is not None:
                yield found, events
            found, events = read_session(line), []
        else:
            events.append(_event(line, found))
    if found is not None:
        yield found, events


def _event(line: Line, found: ArchivedSession | None) -> StoredEvent:
    if found is None:
        raise BadArchive("an event stands before its session")
    return read_event(line)


# -- updates


def _of_update(source: Source) -> Found:
    """A file that holds one Yjs update, of the document that its name says, percent-encoded."""
    try:
        document = document_name(source.name) if source.name else _name_of(source)
    except InvalidName as error:
        reason = f"{error.reason}; with --name the document of a single file can be given"
        return Unnamed(str(source.path), reason)
    try:
        with source.path.open("rb") as file:
            update = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadSource(f"{source.path} cannot be read: {error.strerror}") from error
    if len(update) > MOST_BYTES:
        return Unnamed(str(source.path), f"an update has no more than {MOST_BYTES:,} bytes")
    return Incoming(document, (_edit(document, update),), str(source.path))


def _name_of(source: Source) -> DocumentName:
    """Raises InvalidName."""
    *folders, last = (source.within or Path(source.path.name)).parts
    if any(len(each) != PART_LENGTH for each in folders):
        raise InvalidName(
            "the name of a file is all of its document's, percent-encoded (drafts%2F42.update), "
            "and folders are parts of long ones"
        )
    return name_from_path("".join((*folders, last.removesuffix(UPDATE_SUFFIX))).encode())


def _edit(document: str, update: bytes) -> Edit:
    return Edit(document, update, OPERATOR, (), time.time())


# -- Hocuspocus


def _open_hocuspocus(path: Path) -> sqlite3.Connection:
    """A database of its extension-sqlite: one row of ``documents`` is a whole document."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
    )
    connection.text_factory = _text
    try:
        connection.execute("PRAGMA trusted_schema = OFF")  # it is not ours
        connection.execute("PRAGMA cell_size_check = ON")
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        if "_sqlite_migrations" in tables and "entries" in tables:
            raise BadSource(
                f"{path} is a database of draftsync: make an archive of it, with "
                f"draftsync docs export --all --format archive --database {path}, and import that"
            )
        columns = {row[1] for row in connection.execute("PRAGMA table_info(documents)")}
        if "documents" not in tables or not columns >= {"name", "data"}:
            raise BadSource(
                f"{path} is a SQLite database, but not one of Hocuspocus: it has no table "
                "documents with the columns name and data"
            )
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite quotes a damaged schema
        connection.close()
        raise BadSource(f"{path} cannot be read: {error}") from error
    except BadSource:
        connection.close()
        raise
    return connection


def _text(raw: bytes) -> str | bytes:
    """Of what is no text, the bytes: the others can still be read."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _of_hocuspocus(path: Path) -> Iterator[Found]:
    with closing(_open_hocuspocus(path)) as connection:
        try:
            for name, data in connection.execute("SELECT name, data FROM documents"):
                yield _of_row(path, name, data)
        except sqlite3.Error as error:
            raise BadSource(f"{path} cannot be read to its end: {error}") from error


def _of_row(path: Path, name: object, data: object) -> Found:
    source = f"{path}: {name!r}"
    if not isinstance(name, str) or not isinstance(data, bytes):
        return Unnamed(source, "a row of Hocuspocus is a name and bytes")
    try:
        document = document_name(name)
    except InvalidName as error:
        return Unnamed(source, error.reason)
    return Incoming(document, (_edit(document, data),), source)
