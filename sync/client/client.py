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

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

import anyio
from anyio import AsyncContextManagerMixin
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from sync.client.address import document_url
from sync.client.errors import Denied, NotSaved, ReadOnly
from sync.client.presence import Presence
from sync.client.replication import Replication, YDoc
from sync.core.errors import MalformedMessage

Token = str | Callable[[], Awaitable[str]]

TOKEN_REFUSED = 4401
MAX_MESSAGE = 64 * 2**20  # bytes; a document is at most 16 MiB
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
TICK_SECONDS = 5.0


class State(StrEnum):
    """Where a client stands."""

    CONNECTING = "connecting"  # or connected and not in sync yet
    ONLINE = "online"  # in sync: edits go out as they happen
    OFFLINE = "offline"  # by disconnect(), or until the next attempt
    DENIED = "denied"  # for good


@dataclass(frozen=True, slots=True)
class Status:
    """A client at one moment."""

    state: State
    unsaved: int  # edits that are not known to be on the server's disk
    saved_at: datetime | None  # when the server last said that everything was (UTC)
    reason: str | None  # why it is not online, or may not edit


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait between attempts: exponential, with full jitter."""

    first: float = 0.25
    most: float = 10.0

    def delay(self, failures: int) -> float:
        """How long to wait after so many failures in a row (1 or more)."""
        return random.uniform(0, min(self.most, self.first * 2 ** min(failures - 1, 30)))


class DocumentClient(AsyncContextManagerMixin):
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
        self.url = document_url(url, document)
        self.document = document
        self._token = token
        self._backoff = backoff or Backoff()
        self._linger = linger
        self._tls = tls
        self._changed = anyio.Event()  # set and replaced whenever anything changes
        self._replication = Replication(doc, self._change)
        self._wanted = True  # to be connected
        self._attempt = anyio.CancelScope()
        self._hurry = anyio.Event()
        self._state = State.CONNECTING
        self._reason: str | None = None
        self._denied: Denied | None = None
        self._saved_at: datetime | None = None
        self._failures = 0  # attempts since it was last in sync
        self._token_refused = False  # since it was last in sync

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        try:
            with _bare_errors():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._stay_connected)
                    yield self
                    await self._save_the_rest()
                    tasks.cancel_scope.cancel()
        finally:
            self._replication.forget()
            if self._denied is None:
                self._leave("closed")

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

    async def until(self, condition: Callable[[Status], bool]) -> Status:
        """Wait for a status; return it. Raises Denied when the client stopped for good.

        ``condition`` is asked at every change: of the status, the document, or somebody's presence.
        """
        while not condition(status := self.status):
            if self._denied is not None:
                raise self._denied
            await self._changed.wait()
        return status

    async def changes(self) -> AsyncIterator[Status]:
        """The status now, and again whenever it, the document or somebody's presence changed.

        Raises Denied when the client stopped for good.
        """
        while True:
            changed = self._changed
            yield self.status
            if self._denied is not None:
                raise self._denied
            await changed.wait()

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

    # -- going offline, and coming back

    def disconnect(self) -> None:
        """Go offline at once, until :meth:`connect`. Edits go on in the document."""
        self._wanted = False
        self._attempt.cancel()
        self._leave("offline on purpose")

    def connect(self) -> None:
        """Come back online; while it waits for the next attempt, try at once."""
        self._wanted = True
        self._hurry.set()
        self._change()

    # -- connections

    async def _stay_connected(self) -> None:
        while True:
            while not self._wanted:
                await self._changed.wait()
            with anyio.CancelScope() as self._attempt:
                self._enter(State.CONNECTING, self._reason)
                self._leave(await self._connect_once())
                await self._pause()

    async def _pause(self) -> None:
        """Wait before the next attempt, or until :meth:`connect`."""
        self._failures += 1
        self._hurry = anyio.Event()
        with anyio.move_on_after(self._backoff.delay(self._failures)):
            await self._hurry.wait()

    async def _connect_once(self) -> str:
        """Connect, stay in sync while the connection lasts, return why it ended."""
        try:
            token = self._token if isinstance(self._token, str) else await self._token()
        except Exception as error:  # noqa: BLE001 - whatever a token service fails with: again
            return f"no token: {error}"
        try:
            async with self._socket(token) as socket:
                trouble = await self._converse(socket)
        except (WebSocketException, OSError) as error:
            return str(error) or type(error).__name__
        return self._judge(trouble) if isinstance(trouble, ConnectionClosed) else str(trouble)

    @asynccontextmanager
    async def _socket(self, token: str) -> AsyncIterator[ClientConnection]:
        """An open connection, closed in an orderly way whatever happens."""
        secure = self.url.startswith("wss:")
        socket = await connect(
            self.url,
            additional_headers={"Authorization": f"Bearer {token}"},  # not in the URL: it is logged
            compression=None,
            max_size=MAX_MESSAGE,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ssl=self._tls or (True if secure else None),
        )
        try:
            yield socket
        finally:
            with anyio.CancelScope(shield=True):
                await self._say_goodbye(socket)

    async def _say_goodbye(self, socket: ClientConnection) -> None:
        farewell = self.presence.farewell()
        with anyio.move_on_after(CLOSE_SECONDS), suppress(ConnectionClosed):
            if farewell is not None:
                await socket.send(farewell)
        await socket.close()

    async def _converse(self, socket: ClientConnection) -> ConnectionClosed | MalformedMessage:
        """Talk until the connection ends; return what ended it."""
        self._replication.opened(anyio.current_time())
        with _bare_errors():
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
                self._failures, self._token_refused = 0, False
                self._enter(State.ONLINE, None)
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

    def _judge(self, closed: ConnectionClosed) -> str:
        """Why the server closed. Raises Denied when that is final."""
        code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
        reason = self._replication.last_reason or reason or str(closed)
        if code == TOKEN_REFUSED and callable(self._token) and not self._token_refused:
            self._token_refused = True
            return reason
        if 4400 <= code <= 4499:
            self._denied = Denied(code, reason)
            self._enter(State.DENIED, reason)
            raise self._denied
        return reason

    # -- what changes

    def _leave(self, reason: str) -> None:
        """There is no connection any more."""
        self._replication.closed()
        self._enter(State.OFFLINE, reason)

    def _enter(self, state: State, reason: str | None) -> None:
        self._state, self._reason = state, reason
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _save_the_rest(self) -> None:
        if not self._wanted or not self.status.unsaved:
            return
        with anyio.move_on_after(self._linger):
            await self.saved()
            return
        raise NotSaved(self.status.unsaved, self._reason)


@contextmanager
def _bare_errors() -> Iterator[None]:
    """Let the one error of a task group out as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        error, *more = dict.fromkeys(group.exceptions)  # Denied: of the task, and of who waited
        if more:
            raise
        raise error from error.__cause__
