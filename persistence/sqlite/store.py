"""The async face of a database file: what the service and the commands hold in their hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from persistence.sqlite.reading import FileReader
from persistence.sqlite.thread import Thread
from persistence.sqlite.writing import FileWriter
from persistence.store import (
    Acknowledgement,
    DeadLetter,
    Deletion,
    Edit,
    Entry,
    Head,
    History,
    Past,
    Position,
    Record,
    Revocation,
    Snapshot,
    StoredDocument,
    StoredEvent,
    StoredSession,
)

Durability: TypeAlias = Literal["full", "normal"]
"""full: every commit is synced before ``append`` returns. normal: it survives the death of the
process, but a power failure may take the last commits (never the database's soundness)."""


class SqliteReader:
    """A :class:`persistence.store.Reader` on a thread of its own. Made by open_sqlite_readonly."""

    def __init__(self, path: str | Path) -> None:
        self._reader = FileReader(Path(path).absolute())
        self._reading = Thread("draftsync-reader")
        self._epoch = ""

    async def open(self) -> None:
        self._epoch = await self._reading.run(self._reader.epoch)

    @property
    def epoch(self) -> str:
        return self._epoch

    async def load(self, document: str) -> StoredDocument:
        return await self._reading.run(lambda: self._reader.load(document))

    async def heads(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Head]:
        return await self._reading.run(lambda: self._reader.heads(prefix, after, limit))

    async def history(self, document: str, after: int = 0, limit: int = 1_000) -> History:
        return await self._reading.run(lambda: self._reader.history(document, after, limit))

    async def head(self, document: str) -> Head | None:
        return await self._reading.run(lambda: self._reader.head(document))

    async def past(self, document: str, position: int | None = None) -> Past:
        return await self._reading.run(lambda: self._reader.past(document, position))

    async def position_at(self, document: str, time: float) -> Position:
        return await self._reading.run(lambda: self._reader.position_at(document, time))

    async def tail(self, after: int, prefix: str = "", limit: int = 1_000) -> list[Entry]:
        return await self._reading.run(lambda: self._reader.tail(after, prefix, limit))

    async def last_position(self) -> Position:
        return await self._reading.run(self._reader.last_position)

    async def deletions(self) -> list[Deletion]:
        return await self._reading.run(self._reader.deletions)

    async def revocations(self) -> list[Revocation]:
        return await self._reading.run(self._reader.revocations)

    async def session(self, session: str) -> StoredSession | None:
        return await self._reading.run(lambda: self._reader.session(session))

    async def sessions(
        self, state: str | None = None, after: int = 0, limit: int = 100
    ) -> list[StoredSession]:
        return await self._reading.run(lambda: self._reader.sessions(state, after, limit))

    async def events(
        self, session: str, after: int = 0, limit: int = 1_000, kind: str | None = None
    ) -> list[StoredEvent]:
        return await self._reading.run(lambda: self._reader.events(session, after, limit, kind))

    async def event(self, session: str, event_id: str) -> StoredEvent | None:
        return await self._reading.run(lambda: self._reader.event(session, event_id))

    async def consumers(self) -> list[str]:
        return await self._reading.run(self._reader.consumers)

    async def behind(self, consumer: str, limit: int = 100) -> list[tuple[str, int, int]]:
        return await self._reading.run(lambda: self._reader.behind(consumer, limit))

    async def dead_letters(self, consumer: str | None = None) -> list[DeadLetter]:
        return await self._reading.run(lambda: self._reader.dead_letters(consumer))

    async def close(self) -> None:
        await self._reading.stop(self._reader.close)


class SqliteStore(SqliteReader):
    """A :class:`persistence.store.Store`: a writer on its thread, a reader on another.

    Made by open_sqlite. What is written is written in the order of the calls.
    """

    def __init__(self, path: str | Path, durability: Durability) -> None:
        super().__init__(path)
        self._writer = FileWriter(Path(path).absolute(), durability)
        self._writing = Thread("draftsync-writer", between=self._writer.tidy)

    async def open(self) -> None:
        self._epoch = await self._writing.run(self._writer.open)

    @property
    def holder(self) -> str:
        return self._writer.holder

    async def append(self, batch: Sequence[Edit]) -> Position:
        edits = tuple(batch)
        return await self._writing.run(lambda: self._writer.append(edits))

    async def record(self, batch: Sequence[Record]) -> list[int]:
        records = tuple(batch)
        return await self._writing.run(lambda: self._writer.record(records))

    async def acknowledge(self, batch: Sequence[Acknowledgement]) -> None:
        received = tuple(batch)
        await self._writing.run(lambda: self._writer.acknowledge(received))

    async def truncate(self, session: str, before: float) -> int:
        return await self._writing.run(lambda: self._writer.truncate(session, before))

    async def enlist(self, consumer: str) -> None:
        await self._writing.run(lambda: self._writer.enlist(consumer))

    async def advance(
        self, consumer: str, session: str, offset: int, dead: DeadLetter | None = None
    ) -> None:
        await self._writing.run(lambda: self._writer.advance(consumer, session, offset, dead))

    async def forgive(self, letters: Sequence[DeadLetter]) -> None:
        forgiven = tuple(letters)
        await self._writing.run(lambda: self._writer.forgive(forgiven))

    async def compact(self, snapshot: Snapshot) -> None:
        await self._writing.run(lambda: self._writer.compact(snapshot))

    async def thin(self, document: str, before: float, *, until: int | None = None) -> int:
        return await self._writing.run(lambda: self._writer.thin(document, before, until))

    async def rebase(self, base: Snapshot) -> None:
        await self._writing.run(lambda: self._writer.rebase(base))

    async def delete(self, deletion: Deletion) -> bool:
        return await self._writing.run(lambda: self._writer.delete(deletion))

    async def undelete(self, document: str) -> bool:
        return await self._writing.run(lambda: self._writer.undelete(document))

    async def purge(self, document: str) -> int:
        return await self._writing.run(lambda: self._writer.purge(document))

    async def revoke(self, revocation: Revocation) -> None:
        await self._writing.run(lambda: self._writer.revoke(revocation))

    async def reclaim(self) -> int:
        return await self._writing.run(self._writer.reclaim)

    async def close(self) -> None:
        try:
            await super().close()  # first, or it would hold back the writer's last checkpoint
        finally:
            await self._writing.stop(self._writer.close)


@asynccontextmanager
async def open_sqlite(
    path: str | Path, durability: Durability = "full"
) -> AsyncIterator[SqliteStore]:
    """Open a database for writing, making it where there is none, and close it at the end.

    Raises StoreInUse when another process (or this one) has it open, StoreTooNew, StoreError when
    the file is not ours, StoreUnavailable when the disk cannot take or give data now.
    """
    store = SqliteStore(path, durability)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_sqlite_readonly(path: str | Path) -> AsyncIterator[SqliteReader]:
    """Open a database for reading, with its server up, down or killed, and close it at the end.

    Raises StoreError when it is not there, not ours, or still of an older draftsync; StoreTooNew;
    StoreUnavailable.
    """
    reader = SqliteReader(path)
    try:
        await reader.open()
        yield reader
    finally:
        await reader.close()
