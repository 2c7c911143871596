"""The portable archive: a whole database as a zip of JSON lines, whatever store it was in.

::

    documents.jsonl   {"document": name, "position", "base"?}, and behind it its entries:
                      {"entry": position, "author", "time", "clients", "connection", "offline",
                      "update"}
    deletions.jsonl   {"document": name, "by", "at", "purged"}
    sessions.jsonl    {"session": id, "epoch", "state", "body", "top", "truncated",
                      "acknowledged"}, and behind it its events:
                      {"event": offset, "id", "kind", "actor", "time", "data"}
    manifest.json     the format, what there is, and the SHA-256 of each of the others

``base`` is what a document was when the part of its history that retention removed had ended:
{"position", "time", "update", "state_vector"}. Bytes are base64, times seconds since 1970,
``clients`` lists of client id, first clock, end, and whether the author handed them on for somebody
else. A line is read by itself: an archive of any size takes the memory of its longest line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from persistence.store import (
    ClientRange,
    Deletion,
    Edit,
    Entry,
    Event,
    Past,
    Position,
    SessionState,
    Snapshot,
    StoredEvent,
    StoredSession,
    to_milliseconds,
)

FORMAT = "draftsync-archive"
VERSION = 1

DOCUMENTS, DELETIONS, SESSIONS = "documents.jsonl", "deletions.jsonl", "sessions.jsonl"
MANIFEST = "manifest.json"

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
"""What comes of reading a zip that is damaged, encrypted, or none."""

MOST_LINE = 128 * 2**20
"""Bytes of a line: the largest document, as base64, and as much again."""

Line: TypeAlias = Mapping[str, Any]


class BadArchive(ValueError):
    """It is no archive, or not all of one; the text says what is wrong, for people."""


@dataclass(frozen=True, slots=True)
class ArchivedSession:
    """A session, but for its events."""

    session: str
    current: SessionState
    top: int
    truncated: int
    acknowledged: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ArchivedDocument:
    """A document, but for its entries."""

    document: str
    position: Position  # of its last entry
    base: Snapshot | None  # what retention removed adds up to


# -- lines


def document_line(past: Past) -> dict[str, Any]:
    """What stands before a document's entries."""
    line: dict[str, Any] = {"document": past.document, "position": past.position}
    if past.base is not None:
        line["base"] = {
            "position": past.base.position,
            "time": past.base.taken_at,
            "update": _text(past.base.update),
            "state_vector": _text(past.base.state_vector),
        }
    return line


def entry_line(entry: Entry) -> dict[str, Any]:
    edit = entry.edit
    return {
        "entry": entry.position,
        "author": edit.author,
        "time": edit.received_at,
        "clients": edit.clients,
        "connection": edit.connection,
        "offline": edit.offline,
        "update": _text(edit.update),
    }


def deletion_line(deletion: Deletion) -> dict[str, Any]:
    return {
        "document": deletion.document,
        "by": deletion.by,
        "at": deletion.at,
        "purged": deletion.purged,
    }


def session_line(stored: StoredSession) -> dict[str, Any]:
    """What stands before a session's events."""
    return {
        "session": stored.session,
        "epoch": stored.current.epoch,
        "state": stored.current.state,
        "body": stored.current.body,
        "top": stored.top,
        "truncated": stored.truncated,
        "acknowledged": dict(stored.acknowledged),
    }


def event_line(stored: StoredEvent) -> dict[str, Any]:
    offset, event = stored
    return {"event": offset, **event._asdict()}


def read_document(line: Line) -> ArchivedDocument:
    """Raises BadArchive, as all that read lines do."""
    with _meant("a document"):
        name, position, base = line["document"], Position(_whole(line["position"])), None
        if (held := line.get("base")) is not None:
            base = Snapshot(
                _str(name),
                Position(_whole(held["position"])),
                _bytes(held["update"]),
                _bytes(held["state_vector"]),
                _time(held["time"]),
            )
        return ArchivedDocument(_str(name), position, base)


def read_entry(line: Line, document: str) -> Entry:
    with _meant("an entry"):
        clients = tuple(
            ClientRange(_whole(client), _whole(start), _whole(end), bool(introduced))
            for client, start, end, introduced in line["clients"]
        )
        edit = Edit(
            document,
            _bytes(line["update"]),
            _str(line["author"]),
            clients,
            _time(line["time"]),
            _whole(line["connection"]),
            bool(line["offline"]),
        )
        return Entry(Position(_whole(line["entry"])), edit)


def read_deletion(line: Line) -> Deletion:
    with _meant("a deletion"):
        by, at = _str(line["by"]), _time(line["at"])
        return Deletion(_str(line["document"]), by, at, bool(line["purged"]))


def read_session(line: Line) -> ArchivedSession:
    with _meant("a session"):
        state = SessionState(_str(line["epoch"]), _str(line["state"]), _str(line["body"]))
        acknowledged = {_str(key): _whole(value) for key, value in line["acknowledged"].items()}
        top, truncated = _whole(line["top"]), _whole(line["truncated"])
        return ArchivedSession(_str(line["session"]), state, top, truncated, acknowledged)


def read_event(line: Line) -> StoredEvent:
    with _meant("an event"):
        id_, kind, actor, data = (_str(line[key]) for key in ("id", "kind", "actor", "data"))
        event = Event(id_, kind, actor, _time(line["time"]), data)
        return StoredEvent(_whole(line["event"]), event)


@contextmanager
def _meant(what: str) -> Iterator[None]:
    try:
        yield
    except BadArchive:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadArchive(f"a line that should be {what} is none: {error!r}") from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: object) -> bytes:
    try:
        return base64.b64decode(_str(text), validate=True)
    except binascii.Error as error:
        raise BadArchive(f"bytes that are no base64: {error}") from error


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise BadArchive(f"a text was expected, not {value!r:.40}")
    value.encode()  # JSON can write half a character, and no store can keep it
    return value


def _whole(value: object) -> int:
    """A position, an offset, a client id or a clock."""
    if type(value) is not int or not 0 <= value < 2**53:
        raise BadArchive(f"a whole number was expected, not {value!r:.40}")
    return value


def _time(value: Any) -> float:
    to_milliseconds(float(value))  # raises ValueError for what no store takes for a time
    return float(value)


# -- the file


class ArchiveWriter:
    """Writes an archive to a file, or to a pipe: it is never read, and never gone back in."""

    def __init__(self, file: IO[bytes], told: Mapping[str, Any]) -> None:
        """``told``: what else the manifest says."""
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._told = dict(told)
        self._files: dict[str, dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()  # of lines, by what they are

    @contextmanager
    def part(self, name: str) -> Iterator[_Lines]:
        """One of the files: its lines are written to what this gives."""
        with self._zip.open(name, "w", force_zip64=True) as file:
            lines = _Lines(file, self.counts, "deletion" if name == DELETIONS else None)
            yield lines
        self._files[name] = {"sha256": lines.digest.hexdigest(), "bytes": lines.size}

    def abandon(self) -> None:
        """Write no more, where it cannot be written to its end."""
        self._zip.fp = None  # or it would be ended, and fail once more, when it is collected

    def finish(self) -> None:
        """Write the manifest, which makes it whole."""
        head = {"format": FORMAT, "version": VERSION, **self._told}
        manifest = head | {"counts": dict(self.counts), "files": self._files}
        self._zip.writestr(MANIFEST, json.dumps(manifest, indent=2) + "\n")
        self._zip.close()


class _Lines:
    def __init__(self, file: IO[bytes], counts: Counter[str], kind: str | None) -> None:
        """``kind``: what all lines are; None: what each begins with."""
        self.digest = hashlib.sha256()
        self.size = 0
        self._file = file
        self._counts = counts
        self._kind = kind

    def write(self, line: Line) -> None:
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"
        data = text.encode()
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)
        self._counts[self._kind or next(iter(line))] += 1


class ArchiveReader:
    """Reads an archive. Raises BadArchive."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
            self.manifest: Mapping[str, Any] = json.loads(self._read_manifest())
        except (*UNREADABLE, KeyError) as error:
            raise BadArchive(f"this is no whole archive of draftsync: {error}") from error
        self._check_manifest()

    def _read_manifest(self) -> bytes:
        with self._zip.open(MANIFEST) as file:
            return file.read(2**20)

    def _check_manifest(self) -> None:
        with _meant("the manifest"):
            if self.manifest["format"] != FORMAT:
                raise BadArchive(f"its manifest says that it is a {self.manifest['format']!r}")
            if self.manifest["version"] != VERSION:
                raise BadArchive(
                    f"it is of version {self.manifest['version']}, and this draftsync reads "
                    f"version {VERSION}: import it with the one that wrote it, or a newer one"
                )
            if missing := {DOCUMENTS, DELETIONS, SESSIONS} - self.manifest["files"].keys():
                raise BadArchive(f"its manifest misses {', '.join(sorted(missing))}")

    @property
    def counts(self) -> Mapping[str, int]:
        with _meant("the manifest"):
            return {str(key): int(value) for key, value in self.manifest["counts"].items()}

    def verify(self) -> None:
        """Read all of it once: what was changed, or cut off, is found before anything is taken."""
        for name, told in self.manifest["files"].items():
            digest = hashlib.sha256()
            try:
                with self._zip.open(name) as file:
                    while block := file.read(2**20):
                        digest.update(block)
            except (*UNREADABLE, KeyError) as error:
                raise BadArchive(f"{name} cannot be read: {error}") from error
            with _meant("the manifest"):
                if digest.hexdigest() != told["sha256"]:
                    raise BadArchive(f"{name} is not what was written: its SHA-256 does not fit")

    def lines(self, name: str) -> Iterator[Line]:
        """The lines of one of the files."""
        with self._zip.open(name) as file:
            while text := file.readline(MOST_LINE):
                try:
                    line = json.loads(text)
                except (ValueError, RecursionError) as error:
                    raise BadArchive(f"{name} has a line that is no JSON: {error}") from error
                if not isinstance(line, dict):
                    raise BadArchive(f"{name} has a line that is no object: {text[:40]!r}")
                yield line
