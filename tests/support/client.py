"""A y-websocket client for tests: what a stock Yjs provider does, with a pycrdt document.

:class:`Peer` is the protocol alone: frames in, frames out, no I/O. :class:`Client` drives one over
any channel of binary messages; :func:`connect` gives it a real socket. Tests wait for conditions
(:meth:`Client.until`), never for a while.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
from pycrdt import Doc, Map
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sync.core.wire import Reader, encode_bytes
from sync.core.yprotocol import (
    EMPTY_UPDATE,
    saved_frame,
    step1_frame,
    step2_frame,
    update_frame,
)

ROOT = "answers"
PATIENCE = 15.0
"""Seconds after which a condition that should come true is given up."""


@dataclass(frozen=True, slots=True)
class Closed:
    """How the server ended a connection."""

    code: int
    reason: str


class FrameChannel(Protocol):
    """Binary messages both ways; iteration ends when the server has gone."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def send(self, message: bytes, /) -> None: ...


class Peer:
    """One document and what the server said about it."""

    def __init__(self, client_id: int | None = None, doc: Doc[Any] | None = None) -> None:
        self.doc: Doc[Any] = doc or Doc(client_id=client_id)
        self.frames: list[bytes] = []  # as they came
        self.updates: list[bytes] = []  # of steps 2 and updates
        self.saved: list[bytes] = []  # payloads of the barriers that came back
        self.denied: list[str] = []  # reasons
        self.renewed: list[str] = []  # expiries
        self.asked = 0  # step1s of the server
        self.answered = 0  # step2s of the server
        self.synced = False  # a step2 came
        self._barriers = 0

    @property
    def answers(self) -> dict[str, Any]:
        """What the root map holds."""
        return dict(self.doc.get(ROOT, type=Map).to_py() or {})

    def edit(self, change: Callable[[Doc[Any]], None]) -> bytes:
        """Change the document; return the update."""
        before = self.doc.get_state()
        with self.doc.transaction():
            change(self.doc)
        return self.doc.get_update(before)

    def put(self, key: str, value: Any) -> bytes:
        """Answer one question; return the update."""

        def change(doc: Doc[Any]) -> None:
            doc.get(ROOT, type=Map)[key] = value

        return self.edit(change)

    def hello(self) -> bytes:
        """Our step1."""
        return step1_frame(self.doc.get_state())

    def barrier(self) -> tuple[bytes, bytes]:
        """A new SAVED barrier: its payload and its frame."""
        self._barriers += 1
        payload = b"%d" % self._barriers
        return payload, saved_frame(payload)

    def take(self, frame: bytes) -> list[bytes]:
        """Take a frame of the server's; return the answers."""
        self.frames.append(frame)
        reader = Reader(frame)
        match reader.read_uint():
            case 0:
                return self._sync(reader.read_uint(), reader.read_bytes())
            case 2:
                kind, text = reader.read_uint(), reader.read_string()
                (self.renewed if kind else self.denied).append(text)
            case 102:
                self.saved.append(reader.read_bytes())
        return []

    def _sync(self, kind: int, payload: bytes) -> list[bytes]:
        if kind == 0:
            self.asked += 1
            return [step2_frame(self.doc.get_update(payload))]
        self.answered += kind == 1
        self.synced = self.synced or kind == 1
        self.updates.append(payload)
        if payload != EMPTY_UPDATE:
            self.doc.apply_update(payload)
        return []


_GONE = ConnectionClosed, anyio.BrokenResourceError, anyio.ClosedResourceError


class Client:
    """A peer at work over a channel. :meth:`run` reads until the server has gone."""

    def __init__(self, channel: FrameChannel, peer: Peer | None = None) -> None:
        self.peer = peer or Peer()
        self.peer.synced = False  # over this channel, whatever was before
        self.channel = channel
        self.closed: Closed | None = None
        self._news = anyio.Event()

    async def run(self) -> None:
        """Say hello, then take what comes."""
        try:
            await self._answer(self.peer.hello())
            async for frame in self.channel:
                for answer in self.peer.take(frame):
                    await self._answer(answer)
                self.stir()
        except _GONE:
            pass  # how it ended is in `closed`
        finally:
            self.end(Closed(1006, ""))

    async def _answer(self, frame: bytes) -> None:
        """Send; what a server said before it closed is read, though it takes nothing any more."""
        with suppress(*_GONE):
            await self.channel.send(frame)

    def end(self, closed: Closed) -> None:
        """The connection is over; the first verdict stands."""
        self.closed = self.closed or closed
        self.stir()

    def stir(self) -> None:
        """Something happened: let the waiting look again."""
        self._news.set()
        self._news = anyio.Event()

    async def until(self, condition: Callable[[], bool], within: float = PATIENCE) -> None:
        """Wait until something that frames bring about is true."""
        with anyio.fail_after(within):
            while not condition():
                await self._news.wait()

    async def send(self, frame: bytes) -> None:
        await self.channel.send(frame)

    async def put(self, key: str, value: Any) -> bytes:
        """Make an edit and send it; return the update."""
        update = self.peer.put(key, value)
        await self.send(update_frame(update))
        return update

    async def edit(self, change: Callable[[Doc[Any]], None]) -> bytes:
        """Make any edit and send it; return the update."""
        update = self.peer.edit(change)
        await self.send(update_frame(update))
        return update

    async def synced(self) -> None:
        """Wait for the server's step2. It comes behind its step1, so ours was sent, too."""
        await self.until(lambda: self.peer.synced)

    async def saved(self, within: float = PATIENCE) -> None:
        """Wait until everything that was sent is on disk, as the server says."""
        payload, frame = self.peer.barrier()
        await self.send(frame)
        await self.until(lambda: payload in self.peer.saved or self.closed is not None, within)
        assert payload in self.peer.saved, f"closed instead: {self.closed}"

    async def received(self) -> None:
        """Wait until everything that was sent was received, whether it is on disk or not."""
        answered = self.peer.answered
        await self.send(self.peer.hello())
        await self.until(lambda: self.peer.answered > answered)

    async def sees(self, key: str, value: Any, within: float = PATIENCE) -> None:
        """Wait until the document holds an answer."""
        await self.until(lambda: bool(self.peer.answers.get(key) == value), within)

    async def ended(self, within: float = PATIENCE) -> Closed:
        """Wait for the server to close; return how it did."""
        await self.until(lambda: self.closed is not None, within)
        assert self.closed is not None
        return self.closed


def awareness(client: int, clock: int, state: str) -> bytes:
    """An awareness frame with one entry."""
    text = encode_bytes(state.encode())
    body = b"\x01" + _uint(client) + _uint(clock) + text
    return b"\x01" + encode_bytes(body)


def renewal(token: str) -> bytes:
    """A frame that replaces the connection's token."""
    return b"\x02\x01" + encode_bytes(token.encode())


def _uint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


class Refused(Exception):
    """The server answered the upgrade with an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@asynccontextmanager
async def connect(
    sync_url: str,
    document: str,
    token: str = "",
    *,
    peer: Peer | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    reading: bool = True,
) -> AsyncIterator[Client]:
    """Open a document on a running server. Raises Refused.

    Without ``reading`` nothing is ever read from the socket, and only its buffers take anything.
    """
    query = f"?token={token}" if token else ""
    socket = connect_websocket(
        f"{sync_url}/{document}{query}",
        additional_headers=headers,
        ssl=tls,
        max_size=None,
        max_queue=16 if reading else 1,
        ping_interval=None,
        compression=None,
        close_timeout=0.5,
        proxy=None,
    )
    try:
        websocket = await socket
    except InvalidStatus as refusal:
        raise Refused(refusal.response.status_code) from None
    client = Client(_Socket(websocket), peer)
    failure: Exception | None = None  # of the block: raised as it is, not in a group
    async with anyio.create_task_group() as tasks:
        if reading:
            tasks.start_soon(_run, client, websocket)
        try:
            yield client
            if reading:
                await websocket.close()
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = error
        finally:
            websocket.transport.abort()
            with anyio.CancelScope(shield=True):
                await websocket.wait_closed()
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _run(client: Client, websocket: ClientConnection) -> None:
    try:
        await client.run()
    finally:
        if websocket.close_code is not None:
            client.closed = None  # what the frame says is better than 'it is over'
            client.end(Closed(websocket.close_code, websocket.close_reason or ""))


class _Socket:
    """A websocket as a channel."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for message in self._websocket:
            assert isinstance(message, bytes), "the server sends binary messages"
            yield message

    async def send(self, message: bytes) -> None:
        await self._websocket.send(message)
