"""A WebSocket that comes back by itself: what the clients of documents and of events share."""

from __future__ import annotations

import random
import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Self, TypeVar

import anyio
from anyio import AsyncContextManagerMixin
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from sync.client.errors import Denied

Token = str | Callable[[], Awaitable[str]]

TOKEN_REFUSED = 4401
MAX_MESSAGE = 64 * 2**20  # bytes; a document is at most 16 MiB
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0

S = TypeVar("S")


class State(StrEnum):
    """Where a client stands."""

    CONNECTING = "connecting"  # or connected and not in sync yet
    ONLINE = "online"  # in sync: what happens goes out and comes in as it does
    OFFLINE = "offline"  # by disconnect(), or until the next attempt
    DENIED = "denied"  # for good


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait between attempts: exponential, with full jitter."""

    first: float = 0.25
    most: float = 10.0

    def delay(self, failures: int) -> float:
        """How long to wait after so many failures in a row (1 or more)."""
        return random.uniform(0, min(self.most, self.first * 2 ** min(failures - 1, 30)))


class Reconnecting(AsyncContextManagerMixin, Generic[S]):
    """Keeps a connection to ``url`` inside its ``async with`` block.

    When the server's verdict is final (close codes 4400 to 4499), the block is cancelled and raises
    :class:`~sync.client.errors.Denied`. Errors come out bare, not in groups.
    """

    def __init__(
        self, url: str, *, token: Token, backoff: Backoff | None, tls: ssl.SSLContext | None
    ) -> None:
        self.url = url
        self._token = token
        self._backoff = backoff or Backoff()
        self._tls = tls
        self._changed = anyio.Event()  # set and replaced whenever anything changes
        self._wanted = True  # to be connected
        self._attempt = anyio.CancelScope()
        self._hurry = anyio.Event()
        self._state = State.CONNECTING
        self._reason: str | None = None
        self._denied: Denied | None = None
        self._failures = 0  # attempts since it was last in sync
        self._token_refused = False  # since it was last in sync

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        try:
            with bare_errors():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._stay_connected)
                    yield self
                    await self._finish()
                    tasks.cancel_scope.cancel()
        finally:
            self._forget()
            if self._denied is None:
                self._leave("closed")

    # -- what a client is about

    @property
    @abstractmethod
    def status(self) -> S:
        """The client as it is now."""

    @abstractmethod
    async def _converse(self, socket: ClientConnection) -> Exception:
        """Talk until the connection ends; return what ended it. To call :meth:`_settled` once."""

    @property
    @abstractmethod
    def _last_reason(self) -> str | None:
        """What the server said last of why it ends."""

    async def _say_goodbye(self, socket: ClientConnection) -> None:
        """The last words of a connection; raises ConnectionClosed where it has gone."""

    async def _finish(self) -> None:
        """The block is left in good order."""

    def _disconnected(self) -> None:
        """There is no connection any more."""

    def _forget(self) -> None:
        """The block is left."""

    # -- what it is like now

    async def until(self, condition: Callable[[S], bool]) -> S:
        """Wait for a status; return it. Raises Denied when the client stopped for good.

        ``condition`` is asked at every change, whatever of.
        """
        while not condition(status := self.status):
            if self._denied is not None:
                raise self._denied
            await self._changed.wait()
        return status

    async def changes(self) -> AsyncIterator[S]:
        """The status now, and again whenever anything changed.

        Raises Denied when the client stopped for good.
        """
        while True:
            changed = self._changed
            yield self.status
            if self._denied is not None:
                raise self._denied
            await changed.wait()

    # -- going offline, and coming back

    def disconnect(self) -> None:
        """Go offline at once, until :meth:`connect`."""
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
        """Connect, talk while the connection lasts, return why it ended."""
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
                await self._close(socket)

    async def _close(self, socket: ClientConnection) -> None:
        with anyio.move_on_after(CLOSE_SECONDS):
            with suppress(ConnectionClosed):
                await self._say_goodbye(socket)
        await socket.close()

    def _judge(self, closed: ConnectionClosed) -> str:
        """Why the server closed. Raises Denied when that is final."""
        code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
        reason = self._last_reason or reason or str(closed)
        if code == TOKEN_REFUSED and callable(self._token) and not self._token_refused:
            self._token_refused = True
            return reason
        if 4400 <= code <= 4499:
            self._denied = Denied(code, reason)
            self._enter(State.DENIED, reason)
            raise self._denied
        return reason

    # -- what changes

    def _settled(self) -> None:
        """Both sides know where they stand."""
        self._failures, self._token_refused = 0, False
        self._enter(State.ONLINE, None)

    def _leave(self, reason: str) -> None:
        """There is no connection any more."""
        self._disconnected()
        self._enter(State.OFFLINE, reason)

    def _enter(self, state: State, reason: str | None) -> None:
        self._state, self._reason = state, reason
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@contextmanager
def bare_errors() -> Iterator[None]:
    """Let the one error of a task group out as itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        error, *more = dict.fromkeys(group.exceptions)  # Denied: of the task, and of who waited
        if more:
            raise
        raise error from error.__cause__
