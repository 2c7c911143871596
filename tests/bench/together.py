"""What scenarios do with many connections at once, and say of the conditions they met."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Sequence

import anyio

from tests.bench.client import HANDSHAKES, Client, Pulse, Room
from tests.bench.counting import Failed
from tests.bench.dialects import saved
from tests.bench.edits import Stream
from tests.bench.frames import frame
from tests.bench.process import Usage
from tests.bench.servers import Server
from tests.bench.updates import Span


async def gather(calls: Iterable[Coroutine[None, None, None]]) -> None:
    """Run all calls, :data:`HANDSHAKES` at a time, in their order; the first failure ends it."""
    waiting = iter(tuple(calls))

    async def work() -> None:
        for call in waiting:
            await call

    try:
        async with anyio.create_task_group() as group:
            for _ in range(HANDSHAKES):
                group.start_soon(work)
    except* Failed as failures:
        raise _first(failures) from None
    finally:
        for call in waiting:
            call.close()


async def enter(server: Server, clients: Sequence[Client], pulse: Pulse) -> None:
    """Connect all clients; return when each has had the answer to its step1."""
    await gather(client.connect(server.port, server.token("evaluator")) for client in clients)
    await pulse.until(
        lambda: all(client.synced for client in clients),
        lambda: f"{sum(not client.synced for client in clients)} clients had no answer to step1",
    )


def _first(failures: BaseExceptionGroup[Failed]) -> Failed:
    leaf: BaseException = failures
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    assert isinstance(leaf, Failed)
    return leaf


class Joiner(Client):
    """A client that says, once, when it is synced: step1 answered and all of ``wanted`` here."""

    def __init__(
        self,
        room: Room,
        greeting: Iterable[bytes],
        wanted: dict[int, int],
        arrived: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(room, greeting)
        self.began = 0.0
        self.took: float | None = None
        """Seconds from the first packet to synced."""
        self._wanted = wanted
        self._arrived = arrived

    async def connect(self, port: int, token: str | None = None) -> None:
        self.began = time.perf_counter()
        await super().connect(port, token)

    def receive(self, brought: tuple[Span, ...]) -> None:
        super().receive(brought)
        if self.took is None and self.synced and self.progress.covers(self._wanted):
            self.took = time.perf_counter() - self.began
            self._arrived()


async def write_documents(server: Server, names: Sequence[str], stream: Stream) -> None:
    """Make each document of ``names`` by sending it ``stream``; return when all are on disk.

    As many clients at a time as may shake hands at a time.
    """
    for first in range(0, len(names), HANDSHAKES):
        pulse = Pulse()
        rooms = [Room(name, server.peer.dialect, pulse) for name in names[first:][:HANDSHAKES]]
        clients = [Client(room, room.dialect.greeting(room.name, b"\0")) for room in rooms]
        await enter(server, clients, pulse)
        for client in clients:
            _send_all(client, stream, server.peer.saves)
        if server.peer.saves:
            await pulse.until(
                lambda clients=clients: all(client.saved for client in clients),  # type: ignore[misc]
                lambda: "documents were not saved",
            )
        if server.peer.forgets:
            await server.settle()
        await gather(client.leave() for client in clients)
    await server.settle(wait=0)


def _send_all(client: Client, stream: Stream, saves: bool) -> None:
    room = client.room
    block = [frame(room.dialect.update(room.name, update)) for update in stream.updates]
    client.write(b"".join([*block, frame(saved(len(stream)))] if saves else block))


def usage_figures(usage: Usage) -> dict[str, float]:
    """How busy the load was, and how much of either core others took."""
    return {"load_share": usage.load_share, "foreign": usage.foreign}


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
