"""One document's life by seed: clients, channels, a room, a disk, and everything that goes wrong.

A step is one thing that happens, drawn at random: a frame arrives, somebody edits, a connection is
lost, the disk commits, the process dies. Within a connection frames keep their order; between
connections nothing does. Time is virtual and passes a little at every step.

What must hold after every step: an edit that a client was told is saved is on the disk. At the end,
when everyone is online and quiet: all replicas and the replayed log are equal, and nobody's edit is
missing. :func:`simulate` raises AssertionError otherwise; the seed repeats it.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sync.core.actions import Action, Close, Persist, Rebuild, Send
from sync.core.crdt import Replica
from sync.core.document import Document
from sync.core.errors import MalformedMessage, NativeFailure, ProtocolError
from sync.core.guard import inspect
from sync.core.replay import Replay, replay
from sync.core.room import Room, RoomLimits
from sync.core.yprotocol import (
    Awareness,
    Barrier,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    awareness_frame,
    decode,
    decode_state_vector,
    saved_frame,
    short_update,
    step1_frame,
    step2_frame,
    update_frame,
)
from tests.core.authors import EMPTY, Author
from tests.core.awareness import StockAwareness
from tests.core.scene import Denied, heard

LIMITS = RoomLimits(held_updates=4, held_bytes=2_000, few_writers=1)
OUTBOX = 6
"""Frames that a slow reader may leave unread before it falls behind."""


@dataclass(slots=True)
class Edits:
    """What one client did, and so what must be found."""

    put: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    letters: int = 0
    clock: int = 0


class Person:
    """A client as y-websocket makes it: a document, presence, and what it was promised."""

    def __init__(self, number: int, subject: str, *, shy: bool) -> None:
        self.author = Author(1_000 + number)
        self.subject = subject
        self.awareness = None if shy else StockAwareness(1_000 + number)
        self.edits = Edits()
        self.asked: list[Edits] = []  # what stood before each barrier
        self.saved = -1  # the last barrier that came back
        self.wire: Wire | None = None
        self.synced = False  # the server was sent everything on this connection
        self.old_updates: list[bytes] = []
        self.backlog: list[bytes] = []  # heard from another tab, not handed on yet

    def so_far(self) -> Edits:
        done = self.edits
        return Edits(set(done.put), set(done.dropped), done.letters, done.clock)

    # -- edits

    def edit(self, choose: random.Random) -> None:
        match choose.randrange(5):
            case 0 | 1:
                update = self._put()
            case 2:
                update = self._drop(choose)
            case 3:
                update = self._write(choose)
            case _:
                update = self.author.edit(lambda: (self._put(), self._put()))
        if update == EMPTY:
            return
        self.edits.clock = max(
            self.edits.clock, inspect(update).writes.get(self.author.client, (0, 0))[1]
        )
        self.old_updates.append(update)
        self.send(update_frame(update))

    def _put(self) -> bytes:
        key = f"{self.author.client}-{len(self.edits.put)}"
        self.edits.put.add(key)
        return self.author.put(key, len(key))

    def _drop(self, choose: random.Random) -> bytes:
        keys = sorted(self.author.map.keys())
        if not keys:
            return EMPTY
        key = choose.choice(keys)
        self.edits.dropped.add(key)
        return self.author.drop(key)

    def _write(self, choose: random.Random) -> bytes:
        """Letters that stand on whatever this client has read of anybody's."""
        text = self.author.text
        at = choose.randrange(len(str(text)) + 1)
        self.edits.letters += 1
        return self.author.edit(lambda: text.insert(at, chr(97 + self.author.client % 26)))

    # -- the wire

    def send(self, frame: bytes) -> None:
        if self.wire is not None:
            self.wire.up.append(frame)

    def open(self, wire: Wire) -> None:
        self.wire, self.synced = wire, False
        self.send(step1_frame(self.author.state_vector))
        if self.awareness and (entries := self.awareness.open()):
            self.send(awareness_frame(entries))

    def lose(self) -> None:
        self.wire = None
        self.backlog.clear()  # the next connection's step2 has it
        if self.awareness:
            self.awareness.close()

    def ask_saved(self) -> None:
        if self.wire is not None and self.synced:
            self.send(saved_frame(b"%d" % len(self.asked)))
            self.asked.append(self.so_far())

    def overhear(self, other: Person) -> None:
        """Another provider brings what another tab has; this one hands it on, in time.

        Not who shows no presence: the room takes the first id that such a client extends for its
        own, and would refuse the true owner.
        """
        if self.wire is not None and self.awareness is None:
            return
        update = other.author.lacking(self.author.state_vector)
        self.author.hear(update)
        if self.wire is not None:
            self.backlog.append(update_frame(update))

    def hand_on(self) -> None:
        for frame in self.backlog:
            self.send(frame)
        self.backlog.clear()

    def repeat(self, choose: random.Random) -> None:
        """Send again what was sent before, as y-indexeddb does."""
        if self.old_updates:
            self.send(update_frame(choose.choice(self.old_updates)))

    def renew_presence(self, choose: random.Random) -> None:
        if self.awareness:
            self.send(awareness_frame(self.awareness.show({"cursor": choose.randrange(99)})))

    def hear(self, frame: bytes) -> None:
        match heard(frame):
            case SyncStep1(state_vector):
                self.send(step2_frame(self.author.lacking(state_vector)))
                self.synced = True
            case SyncStep2(update) | SyncUpdate(update):
                self.author.hear(update)
            case Awareness(entries) if self.awareness:
                if echoes := self.awareness.hear(entries):
                    self.send(awareness_frame(echoes))
            case Barrier(payload):
                self.saved = max(self.saved, int(payload))
            case Denied(reason):
                raise AssertionError(f"refused: {reason}")


class Wire:
    """One connection: frames on their way up and down, each way in order."""

    def __init__(self, number: int, person: Person) -> None:
        self.number = number
        self.person = person
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.lost = False  # for the client; the server finds out later


class Disk:
    """What survives, and what would not."""

    def __init__(self) -> None:
        self.snapshot: bytes | None = None
        self.entries: list[bytes] = []
        self.pending: deque[Persist] = deque()
        self.failing = False
        self.clocks: dict[int, int] = {}
        self.reader = Author(2**30)  # a document made of what is stored

    def commit(self, count: int) -> None:
        for _ in range(count):
            for update in (self.pending.popleft().update,):
                self.entries.append(update)
                self.reader.hear(update)
                for client, (_, end) in inspect(update, 2**31).news(self.clocks).items():
                    self.clocks[client] = end

    def crash(self) -> None:
        self.pending.clear()
        self.failing = False

    def load(self) -> Replay:
        loaded = replay(self.snapshot, self.entries)
        assert not loaded.left_out, f"the log does not load: {loaded.left_out}"
        return loaded

    def check_holds(self, saved: Edits, client: int) -> None:
        assert self.clocks.get(client, 0) >= saved.clock, f"{client}: told saved, not stored"
        there = saved.dropped & set(self.reader.map.keys())
        assert not there, f"{client}: deletions of {there} told saved, not stored"


class Flaky(Replica):
    """A replica whose native code panics once in a while, when told."""

    __slots__ = ("panic",)

    def __init__(self) -> None:
        super().__init__()
        self.panic = False

    def apply(self, update: bytes) -> None:
        if self.panic:
            raise NativeFailure("PanicException: injected")
        super().apply(update)


class World:
    """Everything there is, and the things that can happen to it."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.now = 0.0
        self.disk = Disk()
        self.room: Room | None = None
        self.replica = Flaky()
        self.wires: dict[int, Wire] = {}
        self.slow: set[int] = set()
        self.unannounced = 0  # commits that the room was not told of
        self.unloading: tuple[Room, bytes, int] | None = None
        self.numbers = 0
        self.happened: Counter[str] = Counter()
        people = self.choose.randint(2, 5)
        self.people = [
            Person(n, f"s{self.choose.randrange(4)}", shy=self.choose.random() < 0.3)
            for n in range(people)
        ]
        self.gone: list[Person] = []  # their documents are lost with them

    # -- the shell

    def do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Persist():
                    self.disk.pending.append(action)
                case Send(to, frame):
                    self._send(to, frame)
                case Close(member, error):
                    self._close(member, error)
                case Rebuild():
                    self.replica.panic = False
                    self.happened["broken"] += 1

    def _send(self, to: Iterable[int], frame: bytes) -> None:
        for number in to:
            wire = self.wires[number]
            self._check_promise(wire.person, frame)
            if not wire.lost:
                wire.down.append(frame)
                if len(wire.down) > OUTBOX:
                    self.slow.add(number)

    def _check_promise(self, person: Person, frame: bytes) -> None:
        if frame[0] == 102 and isinstance(barrier := decode(frame), Barrier):
            self.disk.check_holds(person.asked[int(barrier.payload)], person.author.client)

    def _close(self, number: int, error: ProtocolError) -> None:
        injected = isinstance(error, MalformedMessage) and "cannot be applied" in error.reason
        final = 4400 <= error.close_code < 4500
        assert injected or not final, f"an honest client was turned away: {error!r}"
        self._leave(number)

    def _leave(self, number: int) -> None:
        wire = self.wires.pop(number, None)
        if wire is None or self.room is None:
            return
        self.slow.discard(number)
        if not wire.lost:
            wire.lost = True
            wire.person.lose()
        self.do(self.room.leave(number, self.now))

    def load(self) -> Room:
        loaded = self.disk.load()
        self.replica = Flaky()
        self.replica.apply(loaded.document.encode())
        return Room(Document(replica=self.replica), loaded.size, LIMITS)

    # -- what can happen

    def connect(self) -> None:
        offline = [person for person in self.people if person.wire is None]
        if offline and not (self.room and self.room.broken):
            self._connect(self.choose.choice(offline))

    def _connect(self, person: Person) -> None:
        self.room = self.room or self.load()
        self.numbers += 1
        wire = self.wires[self.numbers] = Wire(self.numbers, person)
        person.open(wire)
        self.do(self.room.join(wire.number, person.subject, writable=True))

    def arrive(self) -> None:
        """A frame reaches the server."""
        wires = [wire for wire in self.wires.values() if wire.up]
        if wires and self.room and not self.room.broken:
            wire = self.choose.choice(wires)
            self._take(self.room, wire)
            if wire.number in self.wires:
                self.happened["held"] += bool(self.room.held(wire.number))

    def _take(self, room: Room, wire: Wire) -> None:
        """Give the room the edits that come first, or one message, as the shell may."""
        together = self.choose.randrange(5)
        updates = [short_update(frame) for frame in list(wire.up)[:together]]
        edits = list(itertools.takewhile(lambda update: update is not None, updates))
        taken, actions = room.receive_strokes(wire.number, [e for e in edits if e is not None])
        if taken:
            self.happened["taken together"] += taken > 1
            for _ in range(taken):
                wire.up.popleft()
        else:
            actions = room.receive(wire.number, decode(wire.up.popleft()), self.now)
        self.do(actions)

    def deliver(self) -> None:
        """A frame reaches a client."""
        wires = [wire for wire in self.wires.values() if wire.down]
        if wires:
            wire = self.choose.choice(wires)
            wire.person.hear(wire.down.popleft())
            if not wire.down and self.room:
                self.do(self.room.catch_up(wire.number))

    def edit(self) -> None:
        """Somebody edits, and sometimes goes on before anything of it arrives."""
        person = self.choose.choice(self.people)
        for _ in range(self.choose.choice((1, 1, 1, 4))):
            person.edit(self.choose)

    def ask_saved(self) -> None:
        self.choose.choice(self.people).ask_saved()

    def repeat(self) -> None:
        self.choose.choice(self.people).repeat(self.choose)

    def renew_presence(self) -> None:
        self.choose.choice(self.people).renew_presence(self.choose)

    def gossip(self) -> None:
        """Two tabs of one browser exchange what they have, past the server."""
        one, other = self.choose.sample(self.people, 2)
        one.overhear(other)

    def hand_on(self) -> None:
        self.choose.choice(self.people).hand_on()

    def flush(self) -> None:
        """The end of a turn."""
        if self.room and self.room.dirty:
            self.do(self.room.flush())
            while self.slow:
                self.room.fall_behind(self.slow.pop())
                self.happened["fell behind"] += 1

    def lose(self) -> None:
        """A connection breaks: some of what was on its way up still arrives, nothing goes down."""
        wires = [wire for wire in self.wires.values() if not wire.lost]
        if wires:
            wire = self.choose.choice(wires)
            wire.lost = True
            wire.down.clear()
            for _ in range(self.choose.randint(0, len(wire.up))):
                wire.up.pop()
            wire.person.lose()

    def go_home(self) -> None:
        """Everybody closes the document, and the server hears of it at once."""
        if self.room and not self.room.broken:
            for number in list(self.wires):
                self._leave(number)
            self.flush()
            self.commit()
            self.announce()
            self.begin_unload()

    def notice(self) -> None:
        """The server finds out that a connection is gone."""
        wires = [wire for wire in self.wires.values() if wire.lost and not wire.up]
        if wires:
            self._leave(self.choose.choice(wires).number)

    def commit(self) -> None:
        if self.disk.pending and not self.disk.failing:
            count = self.choose.randint(1, len(self.disk.pending))
            self.disk.commit(count)
            self.unannounced += count

    def announce(self) -> None:
        if self.room and self.unannounced:
            count, self.unannounced = self.unannounced, 0
            self.do(self.room.committed(count))

    def fail_or_mend(self) -> None:
        self.disk.failing = not self.disk.failing

    def crash(self) -> None:
        """The process dies: what was not committed is gone, and so is every connection."""
        self.happened["crash"] += 1
        self.disk.crash()
        self.room, self.unloading, self.unannounced = None, None, 0
        for number in list(self.wires):
            wire = self.wires.pop(number)
            if not wire.lost:
                wire.person.lose()
        self.slow.clear()
        self.disk.load()
        self.check_saved()

    def begin_unload(self) -> None:
        room = self.room
        if room and not room.members and room.settled and not room.dirty and not room.broken:
            taken = room.snapshot()
            assert taken.verify()
            self.unloading = room, taken.update, len(self.disk.entries)

    def end_unload(self) -> None:
        """The snapshot replaces its entries; the room goes, unless somebody came meanwhile."""
        if self.unloading is None:
            return
        (room, snapshot, count), self.unloading = self.unloading, None
        self.disk.snapshot = snapshot
        del self.disk.entries[:count]
        if not room.members and room.settled and not room.dirty:
            self.room = None
            self.happened["unloaded"] += 1

    def snapshot(self) -> None:
        """A snapshot of a room that goes on."""
        room = self.room
        if room and room.settled and not room.broken and not self.unloading:
            taken = room.snapshot()
            self.unloading = room, taken.update, len(self.disk.entries)

    def vanish(self) -> None:
        """A tab without storage is closed for good: only what was saved must outlive it."""
        person = self.choose.choice(self.people)
        if person.wire is None:
            self.people.remove(person)
            self.gone.append(person)
            self.numbers += 1
            self.people.append(Person(self.numbers * 26, person.subject, shy=False))

    def panic(self) -> None:
        if self.room and not self.room.broken:
            self.replica.panic = True

    def renew(self) -> None:
        """A broken room begins again, once everything it accepted is on disk."""
        room = self.room
        if room and room.broken:
            self.flush()
            if not self.disk.pending:
                self.announce()
                loaded = self.disk.load()
                self.replica = Flaky()
                self.replica.apply(loaded.document.encode())
                self.do(room.renew(Document(replica=self.replica), loaded.size))

    def tick(self) -> None:
        room = self.room
        if room and not room.broken and (due := room.deadline) is not None and due <= self.now:
            self.do(room.tick(self.now))

    # -- what must hold

    def check_saved(self) -> None:
        for person in (*self.people, *self.gone):
            if person.saved >= 0:
                self.disk.check_holds(person.asked[person.saved], person.author.client)

    def check_end(self) -> None:
        stored = Author(2**29, self.disk.load().document.encode())
        everyone = [stored.content, *(person.author.content for person in self.people)]
        assert all(one == everyone[0] for one in everyone), "the replicas differ"
        clocks = [decode_state_vector(person.author.state_vector) for person in self.people]
        assert all(one == self.disk.clocks for one in clocks), "their clocks differ"
        self._check_edits(stored)
        for person in self.people:
            assert person.saved == len(person.asked) - 1, f"{person.author.client} was not told"

    def _check_edits(self, stored: Author) -> None:
        dropped = set[str]().union(*(person.edits.dropped for person in self.people))
        there = set(stored.map.keys())
        for person in self.people:
            lost = person.edits.put - dropped - there
            lost = {key for key in lost if not any(key in g.edits.dropped for g in self.gone)}
            assert not lost, f"{lost} were lost"
            assert not there & person.edits.dropped, "deleted, and there again"
        for person in self.gone:
            if person.saved >= 0:
                self.disk.check_holds(person.asked[person.saved], person.author.client)

    # -- running

    def step(self) -> None:
        self.now += self.choose.random() * 0.2
        (happening,) = self.choose.choices(_HAPPENINGS, _WEIGHTS)
        happening(self)
        self.tick()

    def come_to_rest(self) -> None:
        """Everything works again, and nobody edits; presence is renewed as clients do."""
        self.disk.failing = False
        for person in self.people:
            person.hand_on()
        self._settle()
        for person in self.people:
            person.ask_saved()
        self._settle()
        while not self.all_see_all():
            self.now += 15
            assert self.now < 600, "presence differs"
            for person in self.people:
                person.renew_presence(self.choose)
            self._settle()

    def all_see_all(self) -> bool:
        present = {person.author.client for person in self.people if person.awareness}
        seen = [set(person.awareness.states) for person in self.people if person.awareness]
        return all(states == present for states in seen)

    def _settle(self) -> None:
        for _ in range(3_000):
            self.reconnect()
            if not self._busy():
                return
            for quiet in (self.arrive, self.notice, self.flush, self.commit, self.announce):
                quiet()
            self.renew()
            self.deliver()
            self.now += 0.05
            self.tick()
        raise AssertionError("it does not come to rest")

    def reconnect(self) -> None:
        """Whoever was closed for a passing reason comes back."""
        for person in self.people:
            if person.wire is None and not (self.room and self.room.broken):
                self._connect(person)

    def _busy(self) -> bool:
        room = self.room
        return (
            any(wire.up or wire.down or wire.lost for wire in self.wires.values())
            or bool(self.disk.pending or self.unannounced)
            or (room is not None and (room.dirty or room.broken or room.deadline is not None))
        )


_CHANCES: dict[Callable[[World], None], int] = {
    World.arrive: 60,
    World.deliver: 50,
    World.edit: 30,
    World.flush: 25,
    World.connect: 12,
    World.commit: 15,
    World.announce: 12,
    World.ask_saved: 8,
    World.renew_presence: 3,
    World.gossip: 5,
    World.hand_on: 3,
    World.repeat: 4,
    World.lose: 5,
    World.notice: 6,
    World.go_home: 2,
    World.fail_or_mend: 1,
    World.crash: 1,
    World.begin_unload: 3,
    World.end_unload: 8,
    World.snapshot: 1,
    World.vanish: 1,
    World.panic: 1,
    World.renew: 4,
}
_HAPPENINGS = list(_CHANCES)
_WEIGHTS = list(_CHANCES.values())


def simulate(seed: int, steps: int = 250) -> World:
    """Live one life. Raises AssertionError, with the seed in it, when the promise is broken."""
    world = World(seed)
    try:
        for _ in range(steps):
            world.step()
            world.check_saved()
        world.come_to_rest()
        world.check_end()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    return world
