"""The Python client: one Yjs document, kept in sync with the service.

::

    doc = pycrdt.Doc()
    async with DocumentClient("http://127.0.0.1:3001", "drafts/42", doc, token=token) as client:
        await client.synced()
        doc.get("answers", type=pycrdt.Map)["q1"] = "yes"
        await client.saved()  # on the server's disk

Edit the document as you like, in the event loop's thread, connected or not. The client sends edits
as they happen, applies those of others, and comes back by itself after whatever ends a connection.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sync.client.address import document_url
from sync.client.errors import NotSaved, ReadOnly
from sync.client.presence import Presence
from sync.client.reconnecting import Backoff, Reconnecting, State, Token, bare_errors
from sync.client.replication import Replication, YDoc
from sync.core.errors import MalformedMessage

TICK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """A client at one moment."""

    state: State
    unsaved: int  # edits that are not known to be on the server's disk
    saved_at: datetime | None  # when the server last said that everything was (UTC)
    reason: str | None  # why it is not online, or may not edit


class DocumentClient(Reconnecting[Status]):
    """Keeps a Yjs document in sync with the service, inside its ``async with`` block.

    ``url`` and ``document`` are as in :func:`~sync.client.address.document_url`. ``token`` is a
    token, or an async callable that returns a fresh one: it is called for every connection, and
    once more when the server refuses a token (4401).

    Leaving the block waits up to ``linger`` seconds for the last edits to be saved, and raises
    NotSaved when they are not (but not after :meth:`disconnect`: who goes offline on purpose keeps
    the document). When the server's verdict is final (close codes 4400 to 4499), the block is
    cancelled and raises :class:`~sync.client.errors.Denied`. Errors come out bare, not in groups.
    """

    def __init__(
        self,
        url: str,
        document: str,
        doc: YDoc,
        *,
        token: Token,
        backoff: Backoff | None = None,
        linger: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(document_url(url, document), token=token, backoff=backoff, tls=tls)
        self.document = document
        self._linger = linger
        self._replication = Replication(doc, self._change)
        self._saved_at: datetime | None = None

    # -- what it is like now

    @property
    def status(self) -> Status:
        """The client as it is now."""
        replication = self._replication
        unsaved = replication.edits - replication.saved
        return Status(self._state, unsaved, self._saved_at, replication.read_only or self._reason)

    @property
    def presence(self) -> Presence:
        """Who else has the document open, and what we show them."""
        return self._replication.presence

    async def synced(self) -> None:
        """Wait until it is connected and both sides have told each other everything."""
        await self.until(lambda status: status.state is State.ONLINE)

    async def saved(self) -> None:
        """Wait until every edit made so far is on the server's disk, however often it reconnects.

        Raises ReadOnly when the server does not take this client's edits.
        """
        replication = self._replication
        target = replication.edits
        await self.until(lambda _: replication.saved >= target or bool(replication.read_only))
        if replication.read_only:
            raise ReadOnly(replication.read_only)

    # -- connections

    async def _say_goodbye(self, socket: ClientConnection) -> None:
        farewell = self.presence.farewell()
        if farewell is not None:
            await socket.send(farewell)

    async def _converse(self, socket: ClientConnection) -> ConnectionClosed | MalformedMessage:
        self._replication.opened(anyio.current_time())
        with bare_errors():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send_all, socket)
                tasks.start_soon(self._tick)
                trouble = await self._receive_all(socket)
                tasks.cancel_scope.cancel()
        return trouble

    async def _receive_all(self, socket: ClientConnection) -> ConnectionClosed | MalformedMessage:
        replication = self._replication
        while True:
            try:
                frame = await socket.recv(decode=False)
                saved = replication.saved
                replication.receive(frame, anyio.current_time())
            except (ConnectionClosed, MalformedMessage) as trouble:
                return trouble
            if replication.saved > saved:
                self._saved_at = datetime.now(UTC)
            if replication.synced and self._state is State.CONNECTING:
                self._settled()
            self._change()

    async def _send_all(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # the receiver hears of it too, and why
            while True:
                changed = self._changed  # before looking, so that no change is missed
                for frame in self._replication.flush():
                    await socket.send(frame)
                await changed.wait()

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK_SECONDS)
            self.presence.tick(anyio.current_time())
            self._change()

    @property
    def _last_reason(self) -> str | None:
        return self._replication.last_reason

    # -- the end

    def _disconnected(self) -> None:
        self._replication.closed()

    def _forget(self) -> None:
        self._replication.forget()

    async def _finish(self) -> None:
        if not self._wanted or not self.status.unsaved:
            return
        with anyio.move_on_after(self._linger):
            await self.saved()
            return
        raise NotSaved(self.status.unsaved, self._reason)
