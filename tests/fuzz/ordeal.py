"""A room and what stands around it, driven by fuzzed messages, checked by what was promised.

`Ordeal` plays the shell: it stores what the room wants stored, rebuilds the room from that when the
library failed, and keeps one honest editor in the room throughout. Whatever the others send, the
room raises nothing, refuses the honest editor nothing, and can be loaded again from its own
encoding and from its log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pycrdt

from sync.core.actions import Action, Close, Persist, Rebuild, Send
from sync.core.crdt import Replica
from sync.core.document import Document
from sync.core.errors import MalformedMessage, ProtocolError
from sync.core.replay import replay
from sync.core.room import Room
from sync.core.yprotocol import (
    Awareness,
    AwarenessEntry,
    Barrier,
    Message,
    RenewToken,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode,
    decode_state_vector,
)
from tests.fuzz.mutation import mutant
from tests.support import hostile

HONEST, FIRST_STRANGER = 1, 2
HONEST_CLIENT = 4_242_424_242
DOCUMENTED = (4400, 4403, 4413, 1013)
"""What a room may say to a connection that sends it anything at all."""

Note = Callable[[bytes], None]


class Broken(AssertionError):
    """The room broke a promise."""


class Ordeal:
    """One room, from empty to its end. `note` is told each message before the room is."""

    def __init__(self, random: Random, counts: Counter[str], note: Note) -> None:
        self.room = Room(Document(), 0)
        self.log: list[bytes] = []
        self._random = random
        self._counts = counts
        self._note = note
        self._now = 0.0
        self._uncommitted = 0
        self._next = FIRST_STRANGER
        self._strangers: list[int] = []
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=HONEST_CLIENT)
        self._form: pycrdt.Map[Any] = self._doc.get("honest form", type=pycrdt.Map)
        self._written: dict[str, float] = {}
        self._saved = 0
        self._barriers = 0
        self._join(HONEST, "honest")
        self._say(HONEST, Awareness((AwarenessEntry(HONEST_CLIENT, 1, "{}"),)))
        for _ in range(2):
            self._stranger()

    # ------------------------------------------------------------------------------ what happens

    def run(self, history: list[bytes], others: list[bytes], rate: float) -> None:
        """Live through a history of which a share is mutated, doubled, dropped or displaced."""
        for each in history:
            self.hear(self._frame(each, others, rate))
            if self._random.random() < 0.15:
                self.edit()
            if self._random.random() < 0.3:
                self.settle()
        self.edit()
        self.settle()
        self.check()

    def hear(self, frame: bytes) -> None:
        """A stranger sends a frame; what the protocol refuses costs him the connection."""
        self._note(frame)
        stranger = self._random.choice(self._strangers)
        try:
            message = decode(frame)
        except MalformedMessage:
            self._counts["frames refused"] += 1
            return
        if not isinstance(message, RenewToken):  # the shell's, not the room's
            self._say(stranger, message)

    def edit(self) -> None:
        """The honest editor sets a field and wants to know when it is saved."""
        before = self._doc.get_state()
        key, entry = str(self._random.randrange(5)), self._random.random()
        self._form[key] = self._written[key] = entry
        self._say(HONEST, SyncUpdate(self._doc.get_update(before)))
        self._barriers += 1
        self._say(HONEST, Barrier(b"%d" % self._barriers))

    def settle(self) -> None:
        """Time passes, turns of the event loop end, and the disk is done."""
        self._now += self._random.choice((0.0, 0.1, 4.0))
        self._perform(self.room.tick(self._now))
        while self.room.dirty or self._uncommitted:
            self._perform(self.room.flush())
            count, self._uncommitted = self._uncommitted, 0
            self._perform(self.room.committed(count))

    # -------------------------------------------------------------------------- what was promised

    def check(self) -> None:
        """The room exports, loads again, and lost nothing of the honest editor's."""
        whole = self.room.encode()
        clocks = _clocks(Replica(whole))
        again = replay(None, self.log)
        if again.left_out:
            raise Broken(f"the log does not load: {again.left_out}")
        if clocks != _clocks(again.document):
            raise Broken(f"clocks differ: room {clocks}, log {_clocks(again.document)}")
        if clocks.get(HONEST_CLIENT, 0) != decode_state_vector(self._doc.get_state()).get(
            HONEST_CLIENT, 0
        ):
            raise Broken("an edit of the honest editor is not in the room")
        if not self.room.snapshot().verify():
            self._counts["snapshots unverified"] += 1  # none is written then, and nothing lost
        if self._saved != self._barriers:
            raise Broken(f"{self._barriers - self._saved} barriers were not answered")

    # ---------------------------------------------------------------------------------- the shell

    def _stranger(self) -> None:
        self._strangers.append(self._next)
        self._join(self._next, f"stranger {self._next % 3}")
        self._next += 1

    def _join(self, member: int, subject: str) -> None:
        self._perform(
            self.room.join(
                member, subject, writable=self._random.random() < 0.95 or member == HONEST
            )
        )

    def _say(self, member: int, message: Message) -> None:
        self._counts[type(message).__name__] += 1
        self._perform(self.room.receive(member, message, self._now))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Persist(update):
                    self.log.append(update)
                    self._uncommitted += 1
                case Close(connection, error):
                    self._close(connection, error)
                case Rebuild():
                    self._rebuild()
                case Send(to, frame) if HONEST in to:
                    self._hear_honestly(frame)

    def _close(self, member: int, error: ProtocolError) -> None:
        if error.close_code not in DOCUMENTED:
            raise Broken(f"closed with {error.close_code}: {error.reason}")
        if member == HONEST:
            raise Broken(f"the honest editor was refused: {error.reason}")
        self._counts[f"closed {error.close_code}"] += 1
        if member in self._strangers:
            self._strangers.remove(member)
            self._perform(self.room.leave(member, self._now))
            if not self.room.broken:
                self._stranger()

    def _rebuild(self) -> None:
        self._counts["rebuilt"] += 1
        self._perform(self.room.flush())
        again = replay(None, self.log)
        if again.left_out:
            raise Broken(f"rebuilding left out {again.left_out}")
        self._perform(self.room.renew(again.document, again.size))
        while len(self._strangers) < 2:
            self._stranger()

    def _hear_honestly(self, frame: bytes) -> None:
        """What a Yjs client does: answers step1 with step2, and counts its barriers."""
        if frame[:2] == b"\x00\x00":
            asked = decode(frame)
            assert isinstance(asked, SyncStep1)
            known = _capped(asked.state_vector)
            self._say(HONEST, SyncStep2(self._doc.get_update(known)))
        elif frame[:1] == b"\x66":
            self._saved += 1
        elif frame[:1] == b"\x02":
            raise Broken(f"the honest editor was told {frame[2:]!r}")

    # --------------------------------------------------------------------------------- what is sent

    def _frame(self, each: bytes, others: list[bytes], rate: float) -> bytes:
        random = self._random
        body = mutant(random, each, others) if random.random() < rate else each
        kind = random.random()
        if kind < 0.70:
            frame = hostile.sync_update(body)
        elif kind < 0.88:
            frame = hostile.step2(body)
        elif kind < 0.92:
            frame = hostile.step1(mutant(random, self._doc.get_state(), others))
        elif kind < 0.96:
            entry = (random.choice((HONEST_CLIENT, 1, 2, 3)), random.randrange(5), '{"a": 1}')
            frame = mutant(random, hostile.awareness(entry), others)
        else:
            frame = random.choice((hostile.barrier(b"x"), b"\x03", b"\x02\x01\x00"))
        return mutant(random, frame, others) if random.random() < rate / 8 else frame


def _clocks(replica: Replica | Document) -> dict[int, int]:
    return decode_state_vector(replica.state_vector())


def _capped(state_vector: bytes) -> bytes:
    """Of the room's state vector what concerns the honest editor."""
    known = decode_state_vector(state_vector).get(HONEST_CLIENT, 0)
    return hostile.uint(1) + hostile.uint(HONEST_CLIENT) + hostile.uint(known)
