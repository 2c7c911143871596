"""A room with a fake wire and a fake disk: what it wants done is done at once, and noted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sync.core.actions import Action, Close, Persist, Rebuild, Send
from sync.core.crdt import Replica, merge
from sync.core.document import Document
from sync.core.errors import ProtocolError
from sync.core.replay import replay
from sync.core.room import Room, RoomLimits
from sync.core.wire import Reader
from sync.core.yprotocol import (
    Awareness,
    AwarenessEntry,
    Barrier,
    Message,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode,
)


@dataclass(frozen=True, slots=True)
class Denied:
    """Message 2/0 and its reason."""

    reason: str


Heard = Message | Denied


def heard(frame: bytes) -> Heard:
    """A frame of the server's, as a client reads it."""
    if not frame.startswith(b"\x02\x00"):
        return decode(frame)
    reader = Reader(frame, 2)
    reason = reader.read_string()
    reader.finish()
    return Denied(reason)


class Scene:
    """A room, the members' ears, and the log. Member n is subject ``sn`` unless it is said."""

    def __init__(
        self, limits: RoomLimits | None = None, replica: Replica | None = None, size: int = 0
    ) -> None:
        self.room = Room(Document(replica=replica), size, limits)
        self.now = 1_000.0
        self.log: list[Persist] = []
        self.sends: list[Send] = []
        self.closed: dict[int, ProtocolError] = {}
        self.rebuilds: list[Rebuild] = []
        self._ears: dict[int, list[Heard]] = {}

    # -- what the shell does

    def do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Persist():
                    self.log.append(action)
                case Send(to, frame):
                    self.sends.append(action)
                    for member in to:
                        self._ears[member].append(heard(frame))
                case Close(member, error):
                    self.closed[member] = error
                    self.do(self.room.leave(member, self.now))
                case Rebuild():
                    self.rebuilds.append(action)

    def join(self, member: int, subject: str | None = None, *, writable: bool = True) -> None:
        self._ears[member] = []
        self.do(self.room.join(member, subject or f"s{member}", writable=writable))

    def joined(self, *members: int, writable: bool = True) -> Scene:
        """Members who are in and have sent all they have, which is nothing."""
        for member in members:
            self.join(member, writable=writable)
            self.step2(member, b"\x00\x00")
            self.forget(member)
        return self

    def leave(self, member: int) -> None:
        self.do(self.room.leave(member, self.now))

    def receive(self, member: int, message: Message) -> None:
        self.do(self.room.receive(member, message, self.now))

    def update(self, member: int, *updates: bytes) -> None:
        for update in updates:
            self.receive(member, SyncUpdate(update))

    def take(self, member: int, *updates: bytes) -> None:
        """The same, as the shell does it: small edits together."""
        rest = list(updates)
        while rest and member not in self.closed:
            taken, actions = self.room.receive_strokes(member, rest)
            self.do(actions)
            if not taken:
                self.receive(member, SyncUpdate(rest[0]))
            del rest[: taken or 1]

    def step1(self, member: int, state_vector: bytes = b"\x00") -> None:
        self.receive(member, SyncStep1(state_vector))

    def step2(self, member: int, update: bytes) -> None:
        self.receive(member, SyncStep2(update))

    def barrier(self, member: int, payload: bytes = b"b") -> None:
        self.receive(member, Barrier(payload))

    def show(self, member: int, client: int, clock: int = 1, state: str = "{}") -> None:
        self.receive(member, Awareness((AwarenessEntry(client, clock, state),)))

    def flush(self) -> None:
        self.do(self.room.flush())

    def commit(self, count: int | None = None) -> None:
        """The disk has so many more entries, or all."""
        room = self.room
        self.do(room.committed(room.accepted - room.saved if count is None else count))

    def settle(self) -> None:
        self.flush()
        self.commit()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.room.tick(self.now))

    def renew(self) -> None:
        """What the shell does after a Rebuild."""
        self.settle()
        replayed = replay(None, self.stored)
        assert not replayed.left_out
        self.do(self.room.renew(replayed.document, replayed.size))

    # -- what came of it

    @property
    def state_vector(self) -> bytes:
        return Replica(self.room.encode()).state_vector()

    @property
    def stored(self) -> list[bytes]:
        return [entry.update for entry in self.log]

    def hears(self, member: int) -> list[Heard]:
        """What a member has heard since it was last asked."""
        ears, self._ears[member] = self._ears[member], []
        return ears

    def forget(self, *members: int) -> None:
        for member in members or tuple(self._ears):
            self._ears[member] = []
        self.sends.clear()

    def expect(self, member: int, *messages: Heard) -> None:
        """A member has heard exactly this since it was last asked."""
        assert self.hears(member) == list(messages)

    def expect_nothing(self, *members: int) -> None:
        for member in members:
            self.expect(member)

    def expect_updates(self, member: int, *updates: bytes) -> None:
        """A member has heard exactly one update, which merges these."""
        self.expect(member, SyncUpdate(merge(list(updates))))

    def expect_asked(self, member: int) -> None:
        """A member was asked for what the room lacks, once, and heard nothing else."""
        self.expect(member, SyncStep1(self.state_vector))

    def expect_closed(self, member: int, kind: type[ProtocolError]) -> None:
        assert isinstance(self.closed.get(member), kind), self.closed

    def expect_open(self) -> None:
        assert not self.closed
        assert not self.rebuilds
