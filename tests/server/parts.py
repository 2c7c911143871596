"""Parts to run a hub with in one process: identities, a store that has troubles, channels."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pycrdt import Doc, Map

from auth.access import Access, Grants, Identity, SessionAccess, TokenInvalid, Verifier
from auth.revocation import Revocations
from persistence.memory import MemoryStore
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
    Store,
    StoredDocument,
    StoredEvent,
    StoredSession,
    StoreUnavailable,
)
from sync.core.content import content
from sync.core.crdt import Replica
from sync.core.errors import NativeFailure
from sync.core.names import DocumentName
from sync.core.replay import replay
from sync.server.channel import ChannelOutbox, serve
from sync.server.connection import Connection, Verdict
from sync.server.hub import Hub, open_hub
from sync.server.limits import HubLimits
from tests.support.client import PATIENCE, ROOT, Client, Closed, Peer

DRAFT = DocumentName("drafts/1")


def identity(
    subject: str = "alice", access: Access = Access.WRITE, *, ttl: float = 3600.0
) -> Identity:
    """Somebody with the same right to every document."""
    none: Mapping[str, SessionAccess] = {}
    return Identity(
        subject=subject,
        name=subject.title(),
        administrator=False,
        documents=Grants({"*": access}),
        sessions=Grants(none),
        expires_at=time.time() + ttl,
        token_id=None,
    )


class Tokens:
    """A verifier that knows some tokens by heart."""

    def __init__(self, **known: Identity) -> None:
        self.known = known

    async def verify(self, token: str) -> Identity:
        if token not in self.known:
            raise TokenInvalid("this token is unknown")
        return self.known[token]


class TroubledStore:
    """A store in whose way tests put troubles.

    ``failure`` is raised by every call while it is set; calls wait while ``held`` is. Only the
    first reading of what was revoked is spared: a service that cannot read that does not begin.
    """

    def __init__(self, inner: Store | None = None) -> None:
        self.inner = inner or MemoryStore()
        self.failure: Exception | None = None
        self.loads = 0
        self.appends = 0  # that were tried
        self.begun = False  # what was revoked was read
        self.compacted: list[Snapshot] = []
        self.replaced: dict[str, StoredDocument] = {}  # what load is to give instead
        self._open = anyio.Event()
        self._open.set()

    def hold(self) -> None:
        """Let calls wait."""
        self._open = anyio.Event()

    def release(self) -> None:
        self._open.set()

    @property
    def epoch(self) -> str:
        return self.inner.epoch

    @property
    def holder(self) -> str:
        return self.inner.holder

    async def load(self, document: str) -> StoredDocument:
        self.loads += 1
        await self._trouble()
        return self.replaced.get(document) or await self.inner.load(document)

    async def append(self, batch: Sequence[Edit]) -> Position:
        self.appends += 1
        await self._trouble()
        return await self.inner.append(batch)

    async def compact(self, snapshot: Snapshot) -> None:
        await self._trouble()
        self.compacted.append(snapshot)
        await self.inner.compact(snapshot)

    async def thin(self, document: str, before: float, *, until: int | None = None) -> int:
        await self._trouble()
        return await self.inner.thin(document, before, until=until)

    async def reclaim(self) -> int:
        await self._trouble()
        return await self.inner.reclaim()

    async def heads(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[Head]:
        return await self.inner.heads(prefix, after=after, limit=limit)

    async def history(self, document: str, after: int = 0, limit: int = 1_000) -> History:
        await self._trouble()
        return await self.inner.history(document, after, limit)

    async def record(self, batch: Sequence[Record]) -> list[int]:
        await self._trouble()
        return await self.inner.record(batch)

    async def events(
        self, session: str, after: int = 0, limit: int = 1_000, kind: str | None = None
    ) -> list[StoredEvent]:
        await self._trouble()
        return await self.inner.events(session, after, limit, kind)

    async def event(self, session: str, event_id: str) -> StoredEvent | None:
        await self._trouble()
        return await self.inner.event(session, event_id)

    async def session(self, session: str) -> StoredSession | None:
        await self._trouble()
        return await self.inner.session(session)

    async def sessions(
        self, state: str | None = None, after: int = 0, limit: int = 100
    ) -> list[StoredSession]:
        return await self.inner.sessions(state, after, limit)

    async def acknowledge(self, batch: Sequence[Acknowledgement]) -> None:
        await self._trouble()
        await self.inner.acknowledge(batch)

    async def truncate(self, session: str, before: float) -> int:
        await self._trouble()
        return await self.inner.truncate(session, before)

    async def enlist(self, consumer: str) -> None:
        await self.inner.enlist(consumer)

    async def advance(
        self, consumer: str, session: str, offset: int, dead: DeadLetter | None = None
    ) -> None:
        await self._trouble()
        await self.inner.advance(consumer, session, offset, dead)

    async def consumers(self) -> list[str]:
        return await self.inner.consumers()

    async def behind(self, consumer: str, limit: int = 100) -> list[tuple[str, int, int]]:
        await self._trouble()
        return await self.inner.behind(consumer, limit)

    async def dead_letters(self, consumer: str | None = None) -> list[DeadLetter]:
        return await self.inner.dead_letters(consumer)

    async def forgive(self, letters: Sequence[DeadLetter]) -> None:
        await self.inner.forgive(letters)

    async def head(self, document: str) -> Head | None:
        return await self.inner.head(document)

    async def past(self, document: str, position: int | None = None) -> Past:
        await self._trouble()
        return await self.inner.past(document, position)

    async def position_at(self, document: str, time: float) -> Position:
        await self._trouble()
        return await self.inner.position_at(document, time)

    async def tail(self, after: int, prefix: str = "", limit: int = 1_000) -> list[Entry]:
        await self._trouble()
        return await self.inner.tail(after, prefix, limit)

    async def last_position(self) -> Position:
        return await self.inner.last_position()

    async def rebase(self, base: Snapshot) -> None:
        await self._trouble()
        await self.inner.rebase(base)

    async def deletions(self) -> list[Deletion]:
        return await self.inner.deletions()

    async def delete(self, deletion: Deletion) -> bool:
        await self._trouble()
        return await self.inner.delete(deletion)

    async def undelete(self, document: str) -> bool:
        await self._trouble()
        return await self.inner.undelete(document)

    async def purge(self, document: str) -> int:
        await self._trouble()
        return await self.inner.purge(document)

    async def revocations(self) -> list[Revocation]:
        if self.begun:
            await self._trouble()
        self.begun = True
        return await self.inner.revocations()

    async def revoke(self, revocation: Revocation) -> None:
        await self._trouble()
        await self.inner.revoke(revocation)

    async def close(self) -> None:
        await self.inner.close()

    async def _trouble(self) -> None:
        await self._open.wait()
        await anyio.lowlevel.checkpoint()  # a disk always takes a moment
        if self.failure is not None:
            raise self.failure


DISK_FULL = StoreUnavailable("the disk is full")


class MemoryChannel:
    """One end of a wire without a network. Sending to an end that has gone goes nowhere."""

    def __init__(
        self, incoming: MemoryObjectReceiveStream[bytes], outgoing: MemoryObjectSendStream[bytes]
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for message in self._incoming:
            yield message

    async def send(self, message: bytes) -> None:
        try:
            await self._outgoing.send(message)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        self._incoming.close()
        self._outgoing.close()


def channel_pair(buffer: int = 1_000) -> tuple[MemoryChannel, MemoryChannel]:
    """The server's end and the client's; ``buffer`` frames fit on the way to the client."""
    up_send, up_receive = anyio.create_memory_object_stream[bytes](1_000)
    down_send, down_receive = anyio.create_memory_object_stream[bytes](buffer)
    return MemoryChannel(up_receive, down_send), MemoryChannel(down_receive, up_send)


class Office:
    """A running hub, and clients that come and go."""

    def __init__(self, hub: Hub, tasks: TaskGroup) -> None:
        self.hub = hub
        self._tasks = tasks
        self._client_ends: list[MemoryChannel] = []
        self._server_ends: list[MemoryChannel] = []
        self.serving = 0

    def enter(
        self,
        who: Identity | None = None,
        document: DocumentName = DRAFT,
        *,
        peer: Peer | None = None,
        reading: bool = True,
        buffer: int = 1_000,
    ) -> Client:
        """Open a document for a new client; returns before the hub has heard of it."""
        server_end, client_end = channel_pair(buffer)
        self._server_ends.append(server_end)
        self._client_ends.append(client_end)
        client = Client(client_end, peer)
        self._tasks.start_soon(self._serve, client, server_end, document, who or identity())
        if reading:
            self._tasks.start_soon(self.read, client)
        return client

    async def join(
        self,
        who: Identity | None = None,
        document: DocumentName = DRAFT,
        *,
        peer: Peer | None = None,
        buffer: int = 1_000,
    ) -> Client:
        """Open a document for a new client, and wait until it is synchronised."""
        client = self.enter(who, document, peer=peer, buffer=buffer)
        await client.synced()
        return client

    async def read(self, client: Client) -> None:
        """Say hello and read: what ``reading=False`` left out."""
        await client.run()

    def leave(self, client: Client) -> None:
        """The client goes without a word."""
        assert isinstance(client.channel, MemoryChannel)
        client.channel.close()

    async def _serve(
        self, client: Client, end: MemoryChannel, document: DocumentName, who: Identity
    ) -> None:
        self.serving += 1
        try:
            client.end(_closed(await serve(self.hub, end, document, who)))
        finally:
            self.serving -= 1
            end.close()

    def hang_up(self) -> None:
        """All clients go."""
        for end in self._client_ends:
            end.close()

    def close(self) -> None:
        for end in self._server_ends:
            end.close()


def feed(hub: Hub, connection: Connection, *frames: bytes) -> Awaitable[None] | None:
    """Give a hub messages of a connection."""
    return hub.feed(connection, deque(frames))


async def opened(hub: Hub, document: DocumentName, who: Identity) -> Connection:
    """Open a document for a client that neither reads nor is there."""
    return await hub.open(document, who, ChannelOutbox(), lambda: None)


def _closed(verdict: Verdict | None) -> Closed:
    return Closed(verdict.code, verdict.close_reason) if verdict else Closed(1005, "")


@asynccontextmanager
async def open_office(
    store: Store | None = None,
    verifier: Verifier | None = None,
    revocations: Revocations | None = None,
    **limits: Any,
) -> AsyncIterator[Office]:
    """Run a hub. ``limits`` are of :class:`HubLimits`; there is no message rate without one,
    and no pause is needed for a snapshot.

    At the end the store is well again, so that a test that fails does not hang.
    """
    bounds = replace(HubLimits(message_rate=0, snapshot_calm=0), **limits)
    async with anyio.create_task_group() as tasks:
        async with open_hub(
            store or MemoryStore(), verifier or Tokens(), bounds, revocations
        ) as hub:
            office = Office(hub, tasks)
            try:
                yield office
            finally:
                if isinstance(store, TroubledStore):
                    store.failure = None
                    store.release()
                office.hang_up()
        await eventually(lambda: not office.serving)
        office.close()


async def stored_content(store: Store, document: str = DRAFT) -> dict[str, Any]:
    """What a document holds on disk."""
    stored = await store.load(document)
    snapshot = stored.snapshot.update if stored.snapshot else None
    replayed = replay(snapshot, [entry.edit.update for entry in stored.entries])
    assert not replayed.left_out
    return content(replayed.document.encode())


async def stored_answers(store: Store, document: str = DRAFT) -> dict[str, Any]:
    """The answers that a document holds on disk."""
    held = (await stored_content(store, document)).get(ROOT, {})
    assert isinstance(held, dict)
    return held


def an_edit(document: str = DRAFT, key: str = "q", value: Any = 1) -> Edit:
    """An edit of a new client's, ready for a store."""
    doc: Doc[Any] = Doc()
    doc.get(ROOT, type=Map)[key] = value
    return Edit(document, doc.get_update(), "somebody", (), 1.0)


async def eventually(condition: Callable[[], bool], within: float = PATIENCE) -> None:
    """Wait for what no frame announces: let the event loop turn until it is true."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - nobody announces it
            await anyio.sleep(0.001)


POISON = "poison-for-the-library"
"""Text on which :func:`fail_on_poison` makes the CRDT library fail."""


def fail_on_poison(replica: Replica, update: bytes) -> None:
    """:meth:`Replica.apply` of a library with a bug: it fails on updates with POISON in them."""
    if POISON.encode() in update:
        raise NativeFailure("PanicException: injected")
    replica._doc.apply_update(update)
