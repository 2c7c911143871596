"""Faults 1 and 3: the service is killed, or told to stop, while people edit.

Writers are real clients on real sockets. Each sends edits with a SAVED barrier behind every one,
and remembers which barriers came back: those edits must be in the file whatever happens. What was
not acknowledged the client still has, and sends again when it comes back, as a Yjs provider does.
"""

from __future__ import annotations

import itertools
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest
from pycrdt import Array, Doc
from websockets.exceptions import ConnectionClosed

from persistence.sqlite import open_sqlite_readonly
from sync.core.content import content
from sync.core.replay import replay
from sync.core.yprotocol import saved_frame, update_frame
from tests.support.client import ROOT, Client, Peer, connect
from tests.support.hasty import HASTY
from tests.support.service import AUDIENCE, SECRET, ServiceProcess

DRAFT = "drafts/killed"
ROUNDS = 50
WRITERS = 4
AHEAD = 20
FAR = 4_000_000_000  # an expiry
TOKEN = jwt.encode(
    {"sub": "writer", "aud": AUDIENCE, "exp": FAR, "docs": {"*": "write"}}, SECRET, "HS256"
)
LONG_TTL = ("--max-token-ttl", str(FAR))


@dataclass
class Writer:
    """Somebody with a browser tab that outlives every server."""

    name: str
    doc: Doc[Any]
    made: int = 0
    acknowledged: set[str] = field(default_factory=set)

    def edit(self) -> tuple[str, bytes]:
        """The next edit, an item of a list: doubled or lost, it would show."""
        item = f"{self.name}-{self.made}"
        self.made += 1
        before = self.doc.get_state()
        self.doc.get(ROOT, type=Array).append(item)
        return item, self.doc.get_update(before)


class Crowd:
    """All writers, over all rounds."""

    def __init__(self) -> None:
        self.writers = [Writer(f"w{n}", Doc()) for n in range(WRITERS)]
        self.echoes = 0  # in this round
        self.resent = 0
        self._progress = anyio.Event()

    @property
    def acknowledged(self) -> set[str]:
        return set[str]().union(*(writer.acknowledged for writer in self.writers))

    def heard(self) -> None:
        self.echoes += 1
        self._progress.set()
        self._progress = anyio.Event()

    async def echoed(self, count: int) -> None:
        """Wait for so many echoes of barriers in this round."""
        with anyio.fail_after(30):
            while self.echoes < count:
                await self._progress.wait()

    @asynccontextmanager
    async def writing(self, url: str) -> AsyncIterator[None]:
        """Everybody connects and writes until the block is left."""
        self.echoes = 0
        async with anyio.create_task_group() as tasks:
            for writer in self.writers:
                tasks.start_soon(self._write, writer, url)
            yield
            tasks.cancel_scope.cancel()

    async def _write(self, writer: Writer, url: str) -> None:
        peer = _Listening(self, writer)
        try:
            async with connect(url, DRAFT, TOKEN, peer=peer) as client:
                await client.synced()
                for sent in itertools.count(1):
                    item, update = writer.edit()
                    await client.send(update_frame(update))
                    await client.send(saved_frame(item.encode()))
                    await client.until(partial(_may_go_on, client, sent))
        except (ConnectionClosed, OSError, EOFError):
            pass  # the server was killed; there will be another one


def _may_go_on(client: Client, sent: int) -> bool:
    """A few edits ahead of their echoes, so that a kill always meets some on their way."""
    return client.closed is not None or sent - len(client.peer.saved) < AHEAD


class _Listening(Peer):
    """Notes which barriers came back."""

    def __init__(self, crowd: Crowd, writer: Writer) -> None:
        super().__init__(doc=writer.doc)
        self._crowd = crowd
        self._writer = writer

    def take(self, frame: bytes) -> list[bytes]:
        known = len(self.saved)
        answers = super().take(frame)
        for payload in self.saved[known:]:
            self._writer.acknowledged.add(payload.decode())
            self._crowd.heard()
        return answers


async def on_disk(database: Path) -> list[str]:
    """The items that a draft holds, read beside or without a server."""
    async with open_sqlite_readonly(database) as reader:
        stored = await reader.load(DRAFT)
    assert not stored.damaged
    snapshot = stored.snapshot.update if stored.snapshot else None
    replayed = replay(snapshot, [entry.edit.update for entry in stored.entries])
    assert not replayed.left_out
    items = content(replayed.document.encode()).get(ROOT, [])
    assert isinstance(items, list)
    return items


async def kill_while_writing(
    service: ServiceProcess, database: Path, crowd: Crowd, chance: random.Random
) -> set[str]:
    """One round. Returns the acknowledged edits that are not on disk: none, if all is well."""
    async with crowd.writing(service.sync_url):
        await crowd.echoed(chance.randrange(1, 120))
        await service.kill()
    items = await on_disk(database)
    assert len(items) == len(set(items)), "an edit is there twice"
    return crowd.acknowledged - set(items)


@pytest.mark.parametrize("seed", [1])
@pytest.mark.long
async def test_nothing_acknowledged_is_lost_to_sigkill(tmp_path: Path, seed: int) -> None:
    database, crowd, chance = tmp_path / "drafts.db", Crowd(), random.Random(seed)
    async with ServiceProcess(database, *LONG_TTL) as service:
        for number in range(ROUNDS):
            if number:
                await service.start()
            lost = await kill_while_writing(service, database, crowd, chance)
            assert not lost, f"seed {seed}, round {number}: {len(lost)} lost"
        made = {f"{w.name}-{n}" for w in crowd.writers for n in range(w.made)}
        in_flight = made - set(await on_disk(database))
        await service.start()
        async with AsyncExitStack() as stack:
            for writer in crowd.writers:  # the clients resend by themselves
                peer = Peer(doc=writer.doc)
                url = service.sync_url
                client = await stack.enter_async_context(connect(url, DRAFT, TOKEN, peer=peer))
                await client.until(lambda peer=peer: peer.asked > 0)  # type: ignore[misc]
                await client.synced()
                await client.saved()
        assert await service.terminate() == 0
    items = await on_disk(database)
    assert (len(items), set(items)) == (len(made), made), "lost, or doubled"
    assert len(crowd.acknowledged) > ROUNDS * 10
    print(f"{ROUNDS} kills, {len(crowd.acknowledged)} acknowledged, {len(in_flight)} resent")


async def test_the_harness_catches_a_server_that_acknowledges_too_early(tmp_path: Path) -> None:
    """The test of the test: a journal that announces before it appends must lose something."""
    database, crowd, chance = tmp_path / "drafts.db", Crowd(), random.Random(1)
    async with ServiceProcess(database, *LONG_TTL, program=HASTY) as service:
        for _ in range(10):
            if await kill_while_writing(service, database, crowd, chance):
                return
            await service.start()
    pytest.fail("ten kills of a server that lies were not enough to catch it")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping_under_load_beside_a_client_that_never_reads(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Fault 3: exit 0 within 10 s, everything acknowledged on disk."""
    database, crowd = tmp_path / "drafts.db", Crowd()
    async with (
        ServiceProcess(database, *LONG_TTL) as service,
        stuck_reader(service.sync_url),
        crowd.writing(service.sync_url),
    ):
        await crowd.echoed(200)
        began = anyio.current_time()
        assert await service.terminate(within=10, number=number) == 0
        took = anyio.current_time() - began
    items = await on_disk(database)
    assert not crowd.acknowledged - set(items)
    assert len(items) == len(set(items))
    print(f"{number.name}: exit 0 after {took:.2f} s, {len(crowd.acknowledged)} acknowledged")


@asynccontextmanager
async def stuck_reader(url: str) -> AsyncIterator[None]:
    """A client that asks for the whole document again and again, and never reads an answer."""
    async with connect(url, DRAFT, TOKEN, reading=False) as client:
        with anyio.move_on_after(0.5):  # until the socket takes no more, or this was enough
            await client.edit(lambda doc: _fill(doc))
            for _ in range(200):
                await client.send(client.peer.hello()[:2] + b"\x01\x00")
        yield


def _fill(doc: Doc[Any]) -> None:
    doc.get("large", type=Array).append("x" * 60_000)


async def test_a_real_process_comes_back_after_sigkill(tmp_path: Path) -> None:
    """Once with no fork in the way: the command itself, as an operator starts it."""
    async with ServiceProcess(tmp_path / "drafts.db", fresh=True) as service:
        token = service.token()
        async with connect(service.sync_url, "drafts/1", token) as client:
            await client.synced()
            await client.put("q", 1)
            await client.saved()
            await service.kill()
        await service.start()
        async with connect(service.sync_url, "drafts/1", token) as client:
            await client.synced()
            assert client.peer.answers == {"q": 1}
        assert await service.terminate(within=10) == 0
