"""Documents are deleted, brought back, and removed for ever.

The law of deletion:

1. Nobody joins a document from the moment at which its deletion begins.
2. Nothing is taken any more from those who have it open. What was taken is saved, and said to be,
   before anything else.
3. Then the deletion is written, and only then is anybody told of it. Where it cannot be written,
   the document is as it was, and those who had it open come again.

What was deleted stays in the store: it can be brought back until it is purged. A document that was
purged does not come back with the copy of somebody who was away: its name is kept from everybody
until it is allowed to begin anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from anyio.abc import TaskGroup

from persistence.store import Deletion, Position, Store
from sync.core.errors import Deleted, NotDeleted, Overloaded, UnknownDocument
from sync.core.names import DocumentName
from sync.server.connection import Connection, Verdict
from sync.server.errands import to_the_end
from sync.server.journal import Journal
from sync.server.resident import Resident
from sync.server.rooms import Rooms
from sync.server.telemetry import logger

log = logger(__name__)


class Deleting:
    """Deletes documents of a hub, whether they are in memory or not."""

    def __init__(
        self,
        store: Store,
        rooms: Rooms,
        journal: Journal,
        tasks: TaskGroup,
        flush: Callable[[Resident], None],
        end: Callable[[Connection, Verdict], None],
    ) -> None:
        """``flush``: send out what a room gathered. ``end``: close a connection for a reason."""
        self._store = store
        self._rooms = rooms
        self._journal = journal
        self._tasks = tasks
        self._flush = flush
        self._end = end
        self._going: set[DocumentName] = set()
        self._turns: WeakValueDictionary[DocumentName, asyncio.Lock] = WeakValueDictionary()

    def check(self, document: DocumentName) -> None:
        """Nobody joins what is about to be deleted; of what is deleted the store knows.

        Raises Overloaded.
        """
        if document in self._going:
            raise Overloaded("the document is being deleted: in a moment it is known whether it is")

    async def delete(self, document: DocumentName, by: str) -> None:
        """Delete a document, and close it for all who have it open. Once more is no harm.

        When it returns the deletion is on disk. Raises UnknownDocument and StoreError.
        """
        await self._in_turn(document, lambda: self._delete(document, by))

    async def bring_back(self, document: DocumentName) -> Position:
        """Bring back what was deleted, or allow what was purged to begin anew.

        Returns where it stands then. Raises UnknownDocument, NotDeleted and StoreError.
        """
        await self._in_turn(document, lambda: self._bring_back(document))
        head = await self._store.head(document)
        return head.head if head is not None else Position(0)

    async def purge(self, document: DocumentName) -> None:
        """Remove for ever what was deleted. Once more is no harm.

        Raises UnknownDocument, NotDeleted and StoreError.
        """
        await self._in_turn(document, lambda: self._purge(document))

    async def _in_turn(self, document: DocumentName, work: Callable[[], Awaitable[None]]) -> None:
        turn = self._turns.setdefault(document, asyncio.Lock())

        async def work_in_turn() -> None:
            async with turn:
                await work()

        await to_the_end(self._tasks, work_in_turn)

    async def _delete(self, document: DocumentName, by: str) -> None:
        if await self._deletion(document) is not None:
            return
        resident = await self._rooms.at_hand(document)
        if resident is None or not resident.room.version:
            await self._check_existence(document)
        self._going.add(document)
        try:
            await self._delete_apart(document, by)
        finally:
            self._going.discard(document)

    async def _delete_apart(self, document: DocumentName, by: str) -> None:
        resident = await self._rooms.at_hand(document)
        try:
            if resident is not None:
                await self._calm(resident)
            await self._store.delete(Deletion(document, by, time.time()))
        except BaseException:
            if resident is not None:
                self._let_go_on(resident)
            raise
        log.info("document deleted", document=document, by=by)
        if resident is not None:
            self._close_for_good(resident)

    async def _calm(self, resident: Resident) -> None:
        """Take no more; return when what was taken is on disk, and its barriers are answered."""
        room = resident.room
        resident.going = True
        for connection in resident.connections.values():
            room.seal(connection.id)  # and what waits for other edits to come waits no longer
        self._flush(resident)
        while not room.settled:
            await self._journal.progress()

    def _let_go_on(self, resident: Resident) -> None:
        again = Overloaded("the document was to be deleted, and was not: connect again")
        for connection in list(resident.connections.values()):
            self._end(connection, Verdict.of(again))
        resident.going = False

    def _close_for_good(self, resident: Resident) -> None:
        verdict = Verdict.at_once(Deleted())
        for connection in list(resident.connections.values()):
            self._end(connection, verdict)
        self._rooms.let_go(resident)

    async def _bring_back(self, document: DocumentName) -> None:
        if await self._store.undelete(document):
            log.info("document brought back", document=document)
        else:
            await self._refuse(document, "it is not deleted: there is nothing to bring back")

    async def _purge(self, document: DocumentName) -> None:
        if await self._deletion(document) is None:
            await self._refuse(document, "delete it first: what is not deleted is not purged")
        while await self._store.purge(document):
            pass
        log.info("document purged", document=document)

    async def _refuse(self, document: DocumentName, reason: str) -> None:
        await self._check_existence(document)
        raise NotDeleted(reason)

    async def _check_existence(self, document: DocumentName) -> None:
        if await self._store.head(document) is None:
            raise UnknownDocument(document)

    async def _deletion(self, document: DocumentName) -> Deletion | None:
        head = await self._store.head(document)
        if head is not None:
            return head.deleted
        found = (each for each in await self._store.deletions() if each.document == document)
        return next(found, None)
