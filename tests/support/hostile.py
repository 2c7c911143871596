"""The library of attacks: every reproducer of what harms a CRDT server, by name.

Most were found against pycrdt 0.14.13 (yrs 0.28) on 2026-11-22 and keep the bytes that they were
found with. `attacks` are updates, each with what our server is to make of them; `presence_attacks`
are awareness messages. The small functions above them write Yjs updates (format v1) byte by byte,
so that a test can say what no Yjs client would. Whoever sends them is in `tests.support.hostile`
too: `dial` for the attacker, and `Editor` for the honest people in the room.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pycrdt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sync.core.guard import inspect
from sync.core.wire import Reader
from sync.server.deep_stack import run_deep
from tests.support.service import ServiceProcess

Id = tuple[int, int]  # client, clock

# ------------------------------------------------------------------------------ a writer of lib0


def uint(value: int) -> bytes:
    """lib0's `varUint`, of any size: also those that JavaScript cannot write."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def blob(data: bytes) -> bytes:
    """lib0's `varUint8Array`; a `varString` is one of UTF-8."""
    return uint(len(data)) + data


def string(value: str) -> bytes:
    return blob(value.encode())


# ------------------------------------------------------------------------------- a writer of Yjs

GC, DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC, SKIP = range(11)
Y_ARRAY, Y_MAP, Y_TEXT = range(3)


def item(
    ref: int,
    content: bytes,
    *,
    origin: Id | None = None,
    right: Id | None = None,
    parent: str | Id = "m",
    key: str | None = None,
) -> bytes:
    """One item. A parent, the name of a root or an id, is only written without neighbours."""
    info = ref | (0x80 if origin else 0) | (0x40 if right else 0) | (0x20 if key is not None else 0)
    out = bytes([info])
    for neighbour in (origin, right):
        if neighbour:
            out += uint(neighbour[0]) + uint(neighbour[1])
    if not origin and not right:
        named = isinstance(parent, str)
        out += b"\x01" + string(parent) if isinstance(parent, str) else b""
        out += b"" if named else b"\x00" + uint(int(parent[0])) + uint(int(parent[1]))
        out += string(key) if key is not None else b""
    return out + content


def value(any_value: bytes = b"\x7f") -> bytes:
    """The content of an item with one value in lib0's `any` encoding."""
    return b"\x01" + any_value


@dataclass(frozen=True, slots=True)
class Run:
    """The structs of one client from a clock on; `count` lies where it is given."""

    client: int
    clock: int
    structs: Sequence[bytes]
    count: int | None = None

    def encode(self) -> bytes:
        count = len(self.structs) if self.count is None else self.count
        return uint(count) + uint(self.client) + uint(self.clock) + b"".join(self.structs)


def update(*runs: Run, deletes: Mapping[int, Sequence[tuple[int, int]]] | None = None) -> bytes:
    """A Yjs update; `deletes` maps clients to ranges of start and length."""
    body = uint(len(runs)) + b"".join(run.encode() for run in runs)
    ranges = [
        uint(client) + uint(len(each)) + b"".join(uint(s) + uint(n) for s, n in each)
        for client, each in (deletes or {}).items()
    ]
    return body + uint(len(ranges)) + b"".join(ranges)


# ---------------------------------------------------------------------------------------- frames


def step1(state_vector: bytes = b"\x00") -> bytes:
    return b"\x00\x00" + blob(state_vector)


def step2(yjs_update: bytes) -> bytes:
    return b"\x00\x01" + blob(yjs_update)


def sync_update(yjs_update: bytes) -> bytes:
    return b"\x00\x02" + blob(yjs_update)


def barrier(payload: bytes) -> bytes:
    return b"\x66" + blob(payload)


def awareness(*entries: tuple[int, int, str], count: int | None = None) -> bytes:
    """Entries of client id, clock and state; `count` lies where it is given."""
    body = b"".join(uint(client) + uint(clock) + string(state) for client, clock, state in entries)
    return b"\x01" + blob(uint(len(entries) if count is None else count) + body)


# --------------------------------------------------------------------------------------- attacks


class Fate(Enum):
    """What our server makes of an attack."""

    REFUSED = "refused"  # 4400 and a reason
    TAKEN = "taken"  # in truth harmless: an edit like any other
    HELD = "held"  # it stands on what never comes: asked for, then 1013
    FORBIDDEN = "forbidden"  # 4403: it is another's client id


@dataclass(frozen=True, slots=True)
class Attack:
    """Updates to send in order; each of them, on its own connection, as update and as step2."""

    name: str
    updates: tuple[bytes, ...]
    fate: Fate = Fate.REFUSED
    as_step2: Fate | None = None  # where it differs

    def fate_as(self, kind: str) -> Fate:
        return self.as_step2 if kind == "step2" and self.as_step2 else self.fate


MALLORY = 1001  # the client id that the found reproducers write under

PANIC = bytes.fromhex("0100050700")
POISONS = (
    bytes.fromhex("0102e907000701017200000000"),
    bytes.fromhex("0102e907002701016d0361727200000000"),
)
FORGED_CLOCK = bytes.fromhex("0101b1bc2fffffffff0f04010570726f62650550524f424500")
PARTIAL_APPLY = bytes.fromhex("0103e907002301016d03617272000100e9070001000501e907010106")
UNLOADABLE_SNAPSHOT = bytes.fromhex("010181d1acf30e0002010174010174017800")
MEMORY_COUNT = bytes.fromhex("84dfc74b")
SHORT_SEGFAULT = (
    bytes.fromhex("0103e907002701016d03615272000100e9070001000501e907010106"),
    bytes.fromhex("0101e907092801016d0161017d0100"),
    bytes.fromhex(
        "0103e907000601017404626f6c64047472756584e907000b68656c6c6f20776f726c64"
        "86e9070b04627b6c64046e756c6c00"
    ),
)
TWO_STEP_POISON = (
    bytes.fromhex("0101e907ffffffff0f040101740568656c6c6f00"),
    bytes.fromhex("0101e907412801016d0162017601017875037d017d02760101797e00"),
)


def nested_counts() -> bytes:
    """Maps in a map, each claiming two million entries: 2 GB from 122 bytes."""
    claims = b"".join(b"\x76" + uint(2_000_000) + b"\x01k" for _ in range(16))
    return update(Run(MALLORY, 0, [item(ANY, value(claims + b"\x7f"), key="k")]))


def nested_any(depth: int = 27_000, *, keyed: bool = False) -> bytes:
    """A value nested too deep for the stack of a thread."""
    level = b"\x76\x01\x01k" if keyed else b"\x75\x01"
    return update(Run(MALLORY, 0, [item(ANY, value(level * depth + b"\x7f"), key="k")]))


def nested_json(depth: int = 27_000) -> bytes:
    """An embed nested too deep."""
    return update(Run(MALLORY, 0, [item(EMBED, string("[" * depth + "]" * depth), parent="t")]))


def nested_types(
    levels: int, clock: int = 0, client: int = MALLORY, deletes: Sequence[int] = ()
) -> bytes:
    """Maps within maps: the item at each clock holds the next; `deletes` lists clocks."""
    structs = [
        item(TYPE, uint(Y_MAP), parent=(client, at - 1) if at else "nest", key="k")
        for at in range(clock, clock + levels)
    ]
    runs = [Run(client, clock, structs)] if structs else []
    return update(*runs, deletes={client: [(at, 1) for at in deletes]} if deletes else None)


def nested_types_deleted(levels: int = 30_000) -> bytes:
    """Types nested deep, and their root deleted in the same update."""
    return nested_types(levels, deletes=[0])


def nested_types_slowly(levels: int = 30_000, step: int = 1_000) -> tuple[bytes, ...]:
    """The same by many valid updates, none of them deep by itself."""
    grow = [nested_types(step, clock) for clock in range(0, levels, step)]
    return (*grow, nested_types(0, deletes=[0]))


def crowd(clients: int, first: int = 10_000, key: str = "k") -> bytes:
    """As many clients, each of which sets one and the same key of a map."""
    return update(*(Run(first + n, 0, [item(ANY, value(), key=key)]) for n in range(clients)))


def crowds(clients: int, each: int) -> tuple[bytes, ...]:
    """A crowd in updates that each stay below the cap."""
    return tuple(crowd(min(each, clients - n), 10_000 + n) for n in range(0, clients, each))


def long_varint(length: int = 200_000) -> bytes:
    """An integer of 200 KB, where the client's clock is due."""
    return b"\x01\x01\xe9\x07" + b"\x80" * length + b"\x01"


def long_signed(length: int = 200_000) -> bytes:
    """An integer of 200 KB as a value."""
    number = b"\x7d\xbf" + b"\xff" * length + b"\x01"
    return update(Run(MALLORY, 0, [item(ANY, value(number), key="k")]))


def many_roots(count: int = 50_000) -> bytes:
    """Every item in a root of its own."""
    structs = [item(ANY, value(), parent=f"r{n}") for n in range(count)]
    return update(Run(MALLORY, 0, structs))


def rival_origins(count: int, clock: int = 0, client: int = MALLORY) -> bytes:
    """List items that all follow the first and precede a different one: each scans all others."""
    structs: list[bytes] = []
    for at in range(clock, clock + count):
        if at == 0:
            structs.append(item(ANY, value(), parent="list"))
        elif at == 1:
            structs.append(item(ANY, value(), origin=(client, 0)))
        else:
            structs.append(item(ANY, value(), origin=(client, 0), right=(client, at - 1)))
    return update(Run(client, clock, structs))


def shattered_text(length: int, client: int = MALLORY) -> tuple[bytes, ...]:
    """A long text, then a deletion of every other character: a range and two splits for each."""
    write = update(Run(client, 0, [item(STRING, string("x" * length), parent="t")]))
    holes = [(at, 1) for at in range(0, length, 2)]
    return write, update(deletes={client: holes})


def unstandable(client: int = MALLORY) -> bytes:
    """Two clients whose items stand on each other: the gate sees no gap, none is ever applied."""
    return update(
        Run(client, 0, [item(ANY, value(), origin=(client + 1, 0))]),
        Run(client + 1, 0, [item(ANY, value(), origin=(client, 0))]),
    )


def bad_embed(text: str) -> bytes:
    """An embed with JSON that Python takes and others do not."""
    return update(Run(MALLORY, 0, [item(EMBED, string(text), parent="t")]))


def gap(client: int = MALLORY, clock: int = 5) -> bytes:
    """An edit that stands on others which never come."""
    return update(Run(client, clock, [item(ANY, value(), key="gap")]))


@cache
def attacks() -> tuple[Attack, ...]:
    """Everything that a client may send as an edit to do harm, with what becomes of it."""
    refused, taken, held = Fate.REFUSED, Fate.TAKEN, Fate.HELD
    return (
        Attack("short segfault", SHORT_SEGFAULT, held, as_step2=taken),  # held: ended after 10 s,
        Attack("gap", (gap(),), held),  # so these come first
        Attack("gap just below 2^31", (gap(clock=2**31 - 2),), held),
        Attack("panic", (PANIC,)),
        Attack("poison: zero-length text", (POISONS[0],)),
        Attack("poison: zero-length in a map", (POISONS[1],)),
        Attack("forged clock", (FORGED_CLOCK,)),
        Attack("partial apply", (PARTIAL_APPLY,)),
        Attack("unloadable snapshot", (UNLOADABLE_SNAPSHOT,)),
        Attack("memory: a count of clients", (MEMORY_COUNT,)),
        Attack("memory: nested counts", (nested_counts(),)),
        Attack("depth: any in lists", (nested_any(),)),
        Attack("depth: any in maps", (nested_any(keyed=True),)),
        Attack("depth: JSON", (nested_json(),)),
        Attack("depth: types, root deleted", (nested_types_deleted(),)),
        Attack("depth: types by small updates", nested_types_slowly()),
        Attack("two-step poison", TWO_STEP_POISON),
        Attack("cpu: 30,000 clients, one key", (crowd(30_000),)),
        Attack("cpu: 4,096 clients, one key", (crowd(4_096),), refused, as_step2=taken),
        Attack("cpu: 200 KB varint", (long_varint(),)),
        Attack("cpu: 200 KB signed", (long_signed(),)),
        Attack("cpu: 50,000 roots", (many_roots(),), taken),
        Attack("circle of two clients", (unstandable(),)),
        Attack("embed: NaN", (bad_embed("NaN"),)),
        Attack("embed: infinite", (bad_embed("1e999"),)),
        Attack("embed: lone surrogate", (bad_embed(r'"\ud800"'),)),
    )


# -------------------------------------------------------------------------------------- presence


def fake_people(count: int, first: int = 50_000, state: str = "{}") -> bytes:
    """Awareness of as many clients that do not exist."""
    return awareness(*((first + n, 1, state) for n in range(count)))


@dataclass(frozen=True, slots=True)
class Presence:
    """An awareness message. `closes`: with a final 4400; otherwise a type-2 reason, or silence."""

    name: str
    frame: bytes
    closes: bool
    reason: str = ""  # a word of it


def presence_attacks(victim: int) -> tuple[Presence, ...]:
    """Everything that a client may send as awareness to do harm to a peer's, or to the room."""
    big = json.dumps({"x": "y" * 9_000})
    return (
        Presence("100,000 ids", fake_people(100_000), True, "entries"),
        Presence("1,000 ids", fake_people(1_000), False, "16"),
        Presence("removal of a live peer", awareness((victim, 1_000, "null")), False),
        Presence("forged state of a live peer", awareness((victim, 1_000, "{}")), False),
        Presence("clock 2^53 + null", awareness((victim, 2**53, "null")), True, "2^53"),
        Presence("clock 2^53 - 1 + null", awareness((victim, 2**53 - 1, "null")), False, "clock"),
        Presence("clock 2^40 of its own", awareness((7, 2**40, "{}")), False, "clock"),
        Presence("9 KB state", awareness((8, 1, big)), False, "8192"),
        Presence("not JSON", awareness((9, 1, "{")), True, "JSON"),
        Presence("NaN", awareness((9, 1, '{"a": NaN}')), True, "JSON"),
        Presence("deep JSON", awareness((9, 1, "[" * 4_000 + "]" * 4_000)), True, "JSON"),
        Presence("count beyond the message", awareness((9, 1, "{}"), count=900), True, "entries"),
        Presence("state is not UTF-8", b"\x01" + blob(b"\x01\x09\x01" + blob(b"\xff")), True),
    )


# ------------------------------------------------------------------------------- over the network

PATIENCE = 20.0
"""Seconds that anything may take before a test gives up."""


@asynccontextmanager
async def dial(
    service: ServiceProcess,
    document: str,
    subject: str = "mallory",
    *,
    token: str | None = None,
    origin: str | None = None,
) -> AsyncIterator[ClientConnection]:
    """A bare socket on a document, whose name goes into the address as it is."""
    token = service.token(subject) if token is None else token
    query = f"?token={token}" if token else ""
    async with connect(
        f"{service.sync_url}/{document}{query}",
        compression=None,
        max_size=None,
        ping_interval=None,
        proxy=None,
        close_timeout=0.2,
        additional_headers={"Origin": origin} if origin else None,
    ) as socket:
        yield socket


@dataclass(frozen=True, slots=True)
class Ending:
    """How the server ended a connection."""

    code: int  # 0: it did not end
    close_reason: str
    reasons: tuple[str, ...]  # of messages 2/0
    first: bytes  # the first frame that came
    seconds: float  # from the first reason, or from asking, to the end

    @property
    def reason(self) -> str:
        return self.reasons[-1] if self.reasons else ""


async def ending(
    socket: ClientConnection, within: float = PATIENCE, unless: bytes | None = None
) -> Ending:
    """Read until the server closes, or the frame `unless` comes."""
    first, since = b"", time.monotonic()
    reasons: list[str] = []
    with anyio.fail_after(within):
        try:
            while True:
                frame = await _binary(socket)
                first = first or frame
                if frame == unless:
                    break
                if frame[:2] == b"\x02\x00":
                    since = time.monotonic() if not reasons else since
                    reasons.append(denial(frame))
        except ConnectionClosed:
            pass
    seconds = time.monotonic() - since
    code = socket.close_code or 0
    return Ending(code, socket.close_reason or "", tuple(reasons), first, seconds)


def denial(frame: bytes) -> str:
    """The reason in a message 2/0."""
    return Reader(frame, 2).read_string()


async def _binary(socket: ClientConnection) -> bytes:
    frame = await socket.recv()
    assert isinstance(frame, bytes), f"the server sent text: {frame!r}"
    return frame


async def reaches_disk(socket: ClientConnection, within: float = PATIENCE) -> None:
    """Wait until all that was sent on this socket is saved."""
    await socket.send(barrier(b"reached"))
    with anyio.fail_after(within):
        while await _binary(socket) != barrier(b"reached"):
            pass


async def whole(service: ServiceProcess, document: str, subject: str = "newcomer") -> bytes:
    """The document as a client sees it that comes with nothing."""
    async with dial(service, document, subject) as socket:
        await socket.send(step1())
        with anyio.fail_after(PATIENCE):
            while (frame := await _binary(socket))[:2] != b"\x00\x01":
                pass
    return Reader(frame, 2).read_bytes()


def read_map(update: bytes, root: str = "form") -> dict[str, Any]:
    """A map of a document, which may be too deep for the stack that we are on."""

    def read() -> dict[str, Any]:
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        doc.apply_update(update)
        found: dict[str, Any] = doc.get(root, type=pycrdt.Map).to_py() or {}
        return found

    return run_deep(read)


@dataclass(slots=True, eq=False)
class Editor:
    """An honest editor of a map: every edit is followed by a SAVED barrier, and timed.

    It never applies what others send; what of theirs was delivered is read from the frames
    afterwards (:meth:`delivered`), so that measuring costs the measured nothing.
    """

    socket: ClientConnection
    name: str
    client: int
    waits: list[float] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    _frames: list[bytes] = field(default_factory=list)
    _saved: dict[bytes, anyio.Event] = field(default_factory=dict)
    _doc: pycrdt.Doc[Any] = field(init=False)
    _form: pycrdt.Map[Any] = field(init=False)

    def __post_init__(self) -> None:
        self._doc = pycrdt.Doc(client_id=self.client)
        self._form = self._doc.get("form", type=pycrdt.Map)

    async def listen(self) -> None:
        """Take what comes, until cancelled. Being closed, or told a reason, is a failure."""
        while True:
            frame = await _binary(self.socket)
            if frame[:2] == b"\x00\x00":
                await self.socket.send(step2(self._doc.get_update()))
            elif frame[:1] == b"\x66":
                self._saved[Reader(frame, 1).read_bytes()].set()
            elif frame[:1] == b"\x00":
                self._frames.append(frame)
            elif frame[:1] == b"\x02":
                raise AssertionError(f"{self.name} was told: {denial(frame)}")

    async def edit(self) -> None:
        """Set a field, and wait until it is saved."""
        number, before = len(self.waits), self._doc.get_state()
        self._form[f"{self.name}-{number}"] = self.written[f"{self.name}-{number}"] = number
        payload = b"%d" % number
        self._saved[payload] = anyio.Event()
        began = time.perf_counter()
        await self.socket.send(sync_update(self._doc.get_update(before)))
        await self.socket.send(barrier(payload))
        with anyio.fail_after(PATIENCE):
            await self._saved[payload].wait()
        self.waits.append(time.perf_counter() - began)

    async def keep_editing(self, enough: anyio.Event) -> None:
        while not enough.is_set():
            await self.edit()

    def delivered(self, client: int) -> int:
        """Up to which clock another's edits have come."""
        updates = [Reader(frame, 2).read_bytes() for frame in self._frames]
        return max((inspect(u, 2**31).writes.get(client, (0, 0))[1] for u in updates), default=0)

    async def hears_all_of(self, other: Editor) -> None:
        """Wait until every edit of the other was delivered."""
        with anyio.fail_after(PATIENCE):
            while self.delivered(other.client) < len(other.written):
                await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def two_editors(service: ServiceProcess, document: str) -> AsyncIterator[tuple[Editor, ...]]:
    """Two honest people in a room, listening."""
    async with (
        dial(service, document, f"ann of {document}") as ann,
        dial(service, document, f"bob of {document}") as bob,
        anyio.create_task_group() as tasks,
    ):
        editors = Editor(ann, "ann", 3_000_000_001), Editor(bob, "bob", 3_000_000_002)
        for editor in editors:
            tasks.start_soon(editor.listen)
            await editor.socket.send(awareness((editor.client, 1, "{}")))
            await editor.edit()
        yield editors
        tasks.cancel_scope.cancel()


def resident_memory(pid: int) -> int:
    """The memory that a process occupies, in bytes."""
    return _memory(pid, "VmRSS")


def peak_memory(pid: int) -> int:
    """The most that a process ever occupied, in bytes."""
    return _memory(pid, "VmHWM")


def _memory(pid: int, field_name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith(field_name))
