"""Databases to damage: real documents in them, and what was written to compare with."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map, Text

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import (
    ClientRange,
    Edit,
    Event,
    Position,
    Record,
    SessionState,
    Snapshot,
    StoredDocument,
    StoredEvent,
)
from sync.core.crdt import Replica
from sync.core.guard import inspect

NOON = 1_790_000_000.0
PEOPLE = ("alice", "bob", "carol")


@dataclass(frozen=True)
class Written:
    """What a database holds, as it reads while it is sound."""

    documents: dict[str, StoredDocument]
    events: dict[str, tuple[StoredEvent, ...]]


def write(path: Path, documents: int = 8, edits: int = 20, sessions: int = 3) -> Written:
    """Write documents (every other with a snapshot of its first half) and sessions."""
    writer = FileWriter(path)
    writer.open()
    for number in range(documents):
        _write_document(writer, f"drafts/{number}", number + 1, edits, snapshot=number % 2 == 0)
    for number in range(sessions):
        writer.record(tuple(_record(f"s-{number}", offset) for offset in range(20)))
    writer.enlist("https://example.com/hook")
    writer.close()
    return read(path)


def updates(client: int, edits: int) -> list[bytes]:
    """Edits of one person's tab, each of which stands on the ones before it."""
    doc: Doc[Any] = Doc(client_id=client)
    made: list[bytes] = []
    doc.observe(lambda event: made.append(event.update))
    answers, notes = doc.get("answers", type=Map), doc.get("notes", type=Text)
    for number in range(edits):
        if number % 3:
            answers[f"q{number % 7}"] = f"answer {number}"
        else:
            notes.insert(len(str(notes)), f"word {number} ")
    return made


def _write_document(
    writer: FileWriter, name: str, client: int, edits: int, *, snapshot: bool
) -> None:
    made = updates(client, edits)
    first = writer.append(tuple(_edit(name, update, number) for number, update in enumerate(made)))
    if snapshot:
        replica = Replica()
        for update in made[: edits // 2]:
            replica.apply(update)
        position = Position(first + edits // 2 - 1)
        writer.compact(Snapshot(name, position, replica.encode(), replica.state_vector(), NOON))


def _edit(name: str, update: bytes, number: int) -> Edit:
    writes = inspect(update, 100).writes
    ranges = tuple(ClientRange(client, *clocks) for client, clocks in writes.items())
    return Edit(name, update, PEOPLE[number % len(PEOPLE)], ranges, NOON + number)


def _record(session: str, offset: int) -> Record:
    event = Event(f"event {offset}", "review.note", "alice", NOON + offset, '{"text": "fine"}')
    return Record(session, event, SessionState("epoch", "running", "{}") if not offset else None)


def read(path: Path) -> Written:
    """Read all of a database. Raises StoreError."""
    with closing(FileReader(path)) as reader:
        documents = {head.document: reader.load(head.document) for head in reader.heads("")}
        sessions = [each.session for each in reader.sessions(None, 0, 1_000)]
        events = {each: tuple(reader.events(each, 0, 1_000, None)) for each in sessions}
    return Written(documents, events)
