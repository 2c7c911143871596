"""Drafts of stopped sessions: nobody writes into them any more, but administrators."""

from __future__ import annotations

from collections.abc import Callable

from auth.access import Access
from sync.core.errors import InternalError, ProtocolError, Sealed
from sync.core.session import session_of
from sync.server.connection import Connection, Verdict
from sync.server.journal import Journal
from sync.server.resident import Resident
from sync.server.rooms import Rooms


class Sealing:
    """Makes readers of those who write into a session's drafts; once it is stopped, closes them."""

    def __init__(
        self,
        rooms: Rooms,
        journal: Journal,
        flush: Callable[[Resident], None],
        end: Callable[[Connection, Verdict], None],
    ) -> None:
        """``flush``: send out what a room gathered. ``end``: close a connection for a reason."""
        self.sessions: set[str] = set()
        """Those that are stopped, or about to be."""
        self._rooms = rooms
        self._journal = journal
        self._flush = flush
        self._end = end

    async def seal(self, session: str) -> None:
        """Take no more edits of a session's drafts, but from administrators.

        Returns when those that were taken are on disk. Who had them open to write goes on reading
        until :meth:`close`.
        """
        self.sessions.add(session)
        taken: list[tuple[Resident, int]] = []
        for resident in self._rooms.drafts(session):
            for connection in self._writers(resident):
                resident.room.seal(connection.id)
            self._flush(resident)
            taken.append((resident, resident.room.accepted))
        for resident, edits in taken:  # and not those that administrators make meanwhile
            while resident.room.saved < edits:
                await self._journal.progress()

    def admit(self, connection: Connection) -> None:
        """One who may write has come: to a draft of a stopped session, as a reader."""
        if self._holds_for(connection):
            connection.resident.room.seal(connection.id)

    def close(self, session: str) -> None:
        """The session is stopped: close the connections that :meth:`seal` made readers of."""
        self._close_writers(session, Sealed())

    def unseal(self, session: str) -> None:
        """The session could not be stopped: those connections may come again, and write."""
        self._close_writers(session, InternalError("the session was not stopped: connect again"))
        self.sessions.discard(session)

    def _close_writers(self, session: str, error: ProtocolError) -> None:
        for resident in self._rooms.drafts(session):
            for connection in self._writers(resident):
                self._end(connection, Verdict.of(error))

    def _writers(self, resident: Resident) -> list[Connection]:
        """Those that might write, were the session not stopped."""
        return [
            connection
            for connection in resident.connections.values()
            if connection.identity.document_access(connection.document) is Access.WRITE
            and self._holds_for(connection)
        ]

    def _holds_for(self, connection: Connection) -> bool:
        if connection.identity.administrator:
            return False
        return session_of(connection.document) in self.sessions
