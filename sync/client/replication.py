"""One document's side of the y-websocket protocol, as a machine: frames in, frames out.

The law, for whoever edits this module:

1. On each connection nothing of ours is sent before the server's step1 is answered with everything
   that it lacks. So an edit never arrives before what it stands on, and what was edited offline
   needs no queue: the document itself is it.
2. A barrier (message 102) carries the count of the edits that went before it on the same
   connection, and at most one is under way. Its echo, and nothing else, makes those edits saved.
3. A connection that ends takes its barrier with it. The next one sends everything the server lacks
   and a new barrier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sync.client.presence import Presence
from sync.core.crdt import EMPTY_STATE_VECTOR
from sync.core.wire import Reader, encode_uint
from sync.core.yprotocol import (
    READ_ONLY,
    Awareness,
    Barrier,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode,
    saved_frame,
    step1_frame,
    step2_frame,
    update_frame,
)

MAX_UPDATE = 2**20
"""Bytes of an edit that goes out as an update; a server takes larger ones as a step2."""

MAX_QUEUED = 4 * 2**20
"""Bytes of edits that wait for the socket; beyond it one diff takes their place."""


class YDoc(Protocol):
    """What is needed of a Yjs document. ``pycrdt.Doc`` is one."""

    @property
    def client_id(self) -> int: ...

    def get_state(self) -> bytes: ...

    def get_update(self, state: bytes | None = None) -> bytes: ...

    def apply_update(self, update: bytes) -> None: ...

    def observe(self, callback: Callable[[Any], None]) -> Any: ...

    def unobserve(self, subscription: Any) -> None: ...


class Replication:
    """A document, and what the server has of it. It outlives connections.

    The shell calls :meth:`opened` and :meth:`closed` around each connection, gives every frame to
    :meth:`receive` and sends what :meth:`flush` returns, in this order. ``wake`` is called when an
    edit was made and there may be something to flush.
    """

    def __init__(self, doc: YDoc, wake: Callable[[], None]) -> None:
        self.presence = Presence(doc.client_id, wake)
        # What the document already holds counts as an edit: the server may not have it.
        self.edits = int(doc.get_state() != EMPTY_STATE_VECTOR)
        self.saved = 0  # of these, on the server's disk
        self.received = False  # the server's answer to our step1 came, on this connection
        self.read_only: str | None = None  # why the server dropped edits of this connection
        self.last_reason: str | None = None  # the last reason that the server gave on it
        self._doc = doc
        self._wake = wake
        self._applying = False
        self._server: bytes | None = None  # the state vector that the server asked from
        self._replies: list[bytes] = []  # frames
        self._queue: list[bytes] = []  # updates
        self._queued = 0  # bytes of them
        self._barrier: int | None = None  # edits that the barrier under way stands for
        self._subscription = doc.observe(self._observe)

    @property
    def synced(self) -> bool:
        """Both sides have told each other everything, on this connection."""
        return self.received and self._server is not None

    def forget(self) -> None:
        """Stop watching the document."""
        self._doc.unobserve(self._subscription)

    # -- connections

    def opened(self, now: float) -> None:
        """A connection is there: ask for what we lack, and say who is here."""
        self.read_only = self.last_reason = None
        self._replies = [step1_frame(self._doc.get_state())]
        self.presence.opened(now)

    def closed(self) -> None:
        """The connection has gone, with whatever was under way."""
        self.received = False
        self._server = self._barrier = None
        self._replies.clear()
        self._forget_queue()
        self.presence.closed()

    def receive(self, frame: bytes, now: float) -> None:
        """Take one frame from the server. Raises MalformedMessage."""
        if frame[:2] == b"\x02\x00":
            self._receive_reason(frame)
            return
        match decode(frame):
            case SyncStep1(state_vector):
                self._answer(state_vector)
            case SyncStep2(update):
                self._apply(update)
                self.received = True
            case SyncUpdate(update):
                self._apply(update)
            case Awareness(entries):
                self.presence.receive(entries, now)
            case Barrier(payload):
                self._receive_saved(payload)
            case _:
                pass  # a query for awareness, or a renewed token: nothing that we ask for

    def flush(self) -> list[bytes]:
        """The frames to send now."""
        frames, self._replies = self._replies, []
        if self._server is None:
            return frames
        if (awareness := self.presence.flush()) is not None:
            frames.append(awareness)
        if self._queued > MAX_QUEUED:
            frames.append(step2_frame(self._doc.get_update(self._server)))
        else:
            frames += [_frame(update) for update in self._queue]
        self._forget_queue()
        if self._barrier is None and self.saved < self.edits and self.read_only is None:
            self._barrier = self.edits
            frames.append(saved_frame(encode_uint(self._barrier)))
        return frames

    # -- inside

    def _observe(self, event: Any) -> None:
        if self._applying:
            return
        self.edits += 1
        if self._server is not None:
            update: bytes = event.update
            self._queue.append(update)
            self._queued += len(update)
            if self._queued > MAX_QUEUED:
                self._queue.clear()
        self._wake()

    def _apply(self, update: bytes) -> None:
        self._applying = True
        try:
            self._doc.apply_update(update)
        finally:
            self._applying = False

    def _answer(self, state_vector: bytes) -> None:
        """The server tells what it has: send all the rest, what is queued included."""
        self._server = state_vector
        self._forget_queue()
        self._replies.append(step2_frame(self._doc.get_update(state_vector)))

    def _forget_queue(self) -> None:
        self._queue.clear()
        self._queued = 0

    def _receive_saved(self, payload: bytes) -> None:
        if self._barrier is not None and payload == encode_uint(self._barrier):
            if self.read_only is None:
                self.saved = self._barrier
            self._barrier = None

    def _receive_reason(self, frame: bytes) -> None:
        reader = Reader(frame, 2)
        self.last_reason = reader.read_string()
        reader.finish()
        if self.last_reason == READ_ONLY:
            self.read_only = self.last_reason


def _frame(update: bytes) -> bytes:
    return update_frame(update) if len(update) <= MAX_UPDATE else step2_frame(update)
