"""Stock JavaScript clients, as Python objects.

`NodeDriver` runs tests/wire/driver.mjs: one Node process with any number of unmodified
`WebsocketProvider`s in it. Waiting happens there, as conditions with a deadline; what comes back is
a result, or `NodeError` with the reason in words.
"""

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, Self

import anyio
from anyio import AsyncContextManagerMixin
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.edits import Edit
from tests.support.npm import WIRE, node_command

Version = Literal["3.0", "3.1"]
VERSIONS: tuple[Version, Version] = ("3.0", "3.1")

PATIENCE = 10.0
"""Seconds that a wait lasts at most unless it says otherwise."""

LONGEST_LINE = 1 << 28


class NodeError(Exception):
    """A command failed in Node: what was asked, and why it could not be."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a client, unasked.

    `kind` is `status`, `sync`, `connection-close`, `closed`, `denied` (type 2 with its reason),
    `saved` (an echo of type 102), `presence` or `subdocs`; `at` is in seconds of Node's clock.
    """

    kind: str
    at: float
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """A document as npm yjs sees it. `pending`: an update waits for one that never came."""

    roots: Mapping[str, Any]
    vector: bytes
    update: bytes
    pending: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """What passed through a client's sockets: `received` by message type."""

    connections: int
    received: Mapping[int, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay of random histories came to; a failure names its seed and the reason."""

    histories: int
    updates: int
    drops: int
    repeats: int
    failures: Sequence[str]


@dataclass(slots=True)
class _Answer:
    done: anyio.Event = field(default_factory=anyio.Event)
    message: Mapping[str, Any] = field(default_factory=dict)


class NodeDriver(AsyncContextManagerMixin):
    """`async with NodeDriver() as node`: the process, and the clients in it."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._answers: dict[int, _Answer] = {}
        self._clients: dict[str, NodeClient] = {}
        self._ended = False

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncIterator[Self]:
        command = [node_command(), str(WIRE / "driver.mjs")]
        # Its stderr is ours, where pytest shows it beside a failure.
        async with (
            await anyio.open_process(command, stderr=None, stdout=subprocess.PIPE) as process,
            anyio.create_task_group() as tasks,
        ):
            self._process = process
            tasks.start_soon(self._listen, process)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()
                await self._end(process)

    async def _end(self, process: Process) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            assert process.stdin is not None
            await process.stdin.aclose()
            await process.wait()

    async def client(
        self,
        url: str,
        room: str,
        *,
        name: str | None = None,
        token: str | None = None,
        version: Version = "3.1",
        params: Mapping[str, str] | None = None,
        database: str | None = None,
        connect: bool = True,
        client_id: int | None = None,
        roots: Mapping[str, str] | None = None,
    ) -> "NodeClient":
        """Open a page with a stock provider on `room`.

        `database` names an IndexedDB that survives `reload`. `roots` maps the names of the
        document's shared types to their kinds (map, text, array, xml, xmltext, xmlelement);
        without it there is one root of each of the first four, named like its kind.
        """
        name = name or f"client-{next(self._ids)}"
        client = self._clients[name] = NodeClient(self, name)
        options = {"database": database, "clientID": client_id, "roots": roots}
        await client.open(
            url=url,
            room=room,
            version=version,
            connect=connect,
            params=dict(params or {}) | ({"token": token} if token is not None else {}),
            **{key: value for key, value in options.items() if value is not None},
        )
        return client

    async def equal(self, *clients: "NodeClient", within: float = PATIENCE) -> State:
        """Wait until all documents are the same and lack nothing; return what they say."""
        names = [client.name for client in clients]
        return _state(await self.call("waitEqual", clients=names, within=within))

    async def replay(
        self,
        url: str,
        rooms: str,
        seeds: Iterable[int],
        tokens: Sequence[str],
        *,
        within: float = PATIENCE,
    ) -> Replay:
        """Replay a random history per seed on raw sockets that break, and compare with npm yjs.

        `rooms` and the seed make the document's name. Each four of the `tokens` make a lane for
        one history at a time, and belong to different people.
        """
        asked = {"url": url, "rooms": rooms, "seeds": list(seeds), "tokens": tokens}
        return Replay(**await self.call("replay", **asked, within=within))

    async def now(self) -> float:
        """Node's clock, which events are stamped with."""
        at: float = (await self.call("now"))["at"]
        return at

    async def call(self, do: str, **arguments: Any) -> Any:
        """Send one command and wait for its answer."""
        if self._ended:
            raise NodeError(f"{do}: the Node process has ended")
        number = next(self._ids)
        answer = self._answers[number] = _Answer()
        assert self._process.stdin is not None
        await self._process.stdin.send(_line({"id": number, "do": do, **arguments}))
        await answer.done.wait()
        if "error" in answer.message:
            raise NodeError(f"{do}: {answer.message['error']}")
        return answer.message["result"]

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        try:
            while True:
                self._hear(json.loads(await lines.receive_until(b"\n", LONGEST_LINE)))
        except (anyio.EndOfStream, anyio.IncompleteRead):
            self._give_up()

    def _hear(self, message: Mapping[str, Any]) -> None:
        if "event" in message:
            self._clients[message["client"]].hear(message)
        else:
            answer = self._answers.pop(message["id"])
            answer.message = message
            answer.done.set()

    def _give_up(self) -> None:
        self._ended = True
        for answer in self._answers.values():
            answer.message = {"error": "the Node process has ended: its stderr says why"}
            answer.done.set()


class NodeClient:
    """One page with one provider. `name` is the driver's for it, `client_id` Yjs's."""

    def __init__(self, driver: NodeDriver, name: str) -> None:
        self._driver = driver
        self._bell = anyio.Event()
        self._closed = False
        self.name = name
        self.client_id = 0
        self.events: list[Event] = []

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take note of an event."""
        data = {key: message[key] for key in message if key not in ("event", "client", "at")}
        self.events.append(Event(message["event"], message["at"], data))
        bell, self._bell = self._bell, anyio.Event()
        bell.set()

    async def open(self, **options: Any) -> None:
        """Open the page; `NodeDriver.client` does it."""
        self.client_id = (await self._call("open", **options))["clientID"]

    async def close(self) -> None:
        """Close the page, with a goodbye to the others. Once is enough, twice does no harm."""
        if not self._closed:
            self._closed = True
            await self._call("close")

    async def reload(self, *, connect: bool = True) -> None:
        """Load the page again: only what is in its database survives, and the id is a new one."""
        self.client_id = (await self._call("reload", connect=connect))["clientID"]

    async def connect(self) -> None:
        """Connect, and stay connected. Does not wait: `synced` does."""
        await self._call("connect")

    async def disconnect(self) -> None:
        """Go offline with a goodbye: a null awareness state and a close frame."""
        await self._call("disconnect")

    async def drop(self, *, stay: bool = False) -> None:
        """Lose the network without a close frame. With `stay` until `connect`."""
        await self._call("drop", stay=stay)

    async def pause(self) -> None:
        """Stop reading the socket, as a frozen tab does."""
        await self._call("pause", paused=True)

    async def resume(self) -> None:
        """Read the socket again."""
        await self._call("pause", paused=False)

    async def send(self, *frames: bytes) -> None:
        """Send frames as they are, past the provider."""
        await self._call("send", frames=[b64encode(frame).decode() for frame in frames])

    async def adopt(self, *updates: bytes) -> None:
        """Take updates into the document as if they had come from the server: none is sent."""
        await self._call("adopt", updates=[b64encode(update).decode() for update in updates])

    async def set_token(self, token: str) -> None:
        """Use another token from the next connection on."""
        await self._call("params", params={"token": token})

    async def edit(self, *edits: Edit, together: bool = False) -> None:
        """Edit, each edit in its transaction or all `together` in one."""
        await self._call("edit", edits=edits, together=together)

    async def random(self, seed: int, edits: int, *, formats: bool = False) -> None:
        """Edit by chance. With `formats` replicas of npm yjs may come to differ by themselves."""
        await self._call("random", seed=seed, count=edits, formats=formats)

    async def state(self) -> State:
        """The document now."""
        return _state(await self._call("state"))

    async def counts(self) -> Counts:
        """What passed through the sockets so far."""
        found = await self._call("counts")
        received = {int(kind): number for kind, number in found["received"].items()}
        return Counts(found["connections"], received, found["bytes"])

    async def presence(self) -> dict[int, Any]:
        """Everyone's awareness state as this client sees it, its own included."""
        states = await self._call("presence")
        return {int(client_id): state for client_id, state in states.items()}

    async def set_presence(self, state: Any) -> None:
        """Replace the own awareness state."""
        await self._call("setPresence", state=state)

    async def synced(self, *, within: float = PATIENCE) -> None:
        """Wait until the server has sent its step2."""
        await self._call("waitSynced", within=within)

    async def connected(self, connected: bool = True, *, within: float = PATIENCE) -> None:
        """Wait until there is an open socket, or none."""
        await self._call("waitConnected", connected=connected, within=within)

    async def saved(self, *, within: float = PATIENCE) -> float:
        """Send a SAVED barrier and wait for its echo; return the seconds that it took."""
        seconds: float = (await self._call("waitSaved", within=within))["seconds"]
        return seconds

    async def shows(
        self, expected: Mapping[str, Any] | None = None, /, within: float = PATIENCE, **roots: Any
    ) -> State:
        """Wait until the named roots look as given: `shows(map={"name": "x"})`."""
        roots |= expected or {}
        return _state(await self._call("waitState", roots=roots, within=within))

    async def sees(self, *others: "NodeClient", within: float = PATIENCE) -> float:
        """Wait until the others are present; return when, on Node's clock."""
        return await self._presence_of(others, present=True, within=within)

    async def sees_state(
        self, other: "NodeClient", state: Any, *, within: float = PATIENCE
    ) -> float:
        """Wait until the other shows this awareness state; return when, on Node's clock."""
        return await self._presence_of((other,), present=True, within=within, state=state)

    async def misses(self, *others: "NodeClient", within: float = PATIENCE) -> float:
        """Wait until the others are gone; return when, on Node's clock."""
        return await self._presence_of(others, present=False, within=within)

    async def _presence_of(
        self, others: tuple["NodeClient", ...], *, present: bool, within: float, **more: Any
    ) -> float:
        asked = {"ids": [other.client_id for other in others], "present": present, **more}
        at: float = (await self._call("waitPresence", **asked, within=within))["at"]
        return at

    def happened(self, kind: str, since: float = 0) -> list[Event]:
        """The events of one kind so far, from a moment on Node's clock."""
        return [event for event in self.events if event.kind == kind and event.at >= since]

    async def event(self, kind: str, *, within: float = PATIENCE, **data: Any) -> Event:
        """Wait for an event of this kind with this data; one that has happened counts."""
        with anyio.move_on_after(within):
            while True:
                bell = self._bell
                for event in self._matching(kind, data):
                    return event
                await bell.wait()
        raise NodeError(f"{self.name}: no {kind} {data} within {within} s, but {self.events}")

    def _matching(self, kind: str, data: Mapping[str, Any]) -> Iterator[Event]:
        return (event for event in self.happened(kind) if event.data.items() >= data.items())

    async def _call(self, do: str, **arguments: Any) -> Any:
        try:
            return await self._driver.call(do, client=self.name, **arguments)
        except NodeError as error:
            raise NodeError(f"{error}; last of {self.name}: {self._recent()}") from None

    def _recent(self) -> str:
        told = [event for event in self.events if event.kind != "presence"][-8:]
        return ", ".join(f"{event.at:.2f} {event.kind} {event.data}" for event in told)


def _state(found: Mapping[str, Any]) -> State:
    return State(
        roots=found["roots"],
        vector=b64decode(found["vector"]),
        update=b64decode(found["update"]),
        pending=found["pending"],
    )


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
