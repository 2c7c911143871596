"""The room: everything one document's edits pass through.

The law, for whoever edits this module. pycrdt (yrs ≥ 0.14) loses valid updates that arrive before
what they stand on: they are dropped when a later one is integrated across the gap, and while they
wait no state vector, export or snapshot shows them.

- **I1** Updates of one connection keep their order: from socket to replica to log to replay.
  Order is by position, never by time.
- **I2** No update of a connection is skipped. One that is refused costs the connection, or the
  client is asked for everything again (our step1) and its updates are ignored until its answer.
- **I3** The replica is never given an update with missing dependencies. The causal gate holds such
  an update, bounded, and asks the client that sent it with our step1.

And the promise: **nothing is echoed to its sender, and no barrier released, before it is on disk.**
The shell says so through :meth:`Room.committed`.

A room does nothing by itself. Its methods return :mod:`actions <sync.core.actions>`; accepted
updates gather until :meth:`Room.flush`, which the shell calls once at the end of each turn of its
event loop. When a :class:`Rebuild` was returned, only :meth:`Room.flush`, :meth:`Room.committed`,
:meth:`Room.leave` and :meth:`Room.renew` may be called until the room is renewed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sync.core.actions import Action, ClientClocks, Close, Persist, Rebuild, Send
from sync.core.crdt import EMPTY_STATE_VECTOR, merge
from sync.core.document import Document
from sync.core.errors import (
    DocumentTooLarge,
    Forbidden,
    InternalError,
    MalformedMessage,
    NativeFailure,
    Overloaded,
    ProtocolError,
    Sealed,
)
from sync.core.footprint import Footprint, missing
from sync.core.guard import MAX_CLIENTS_STEP2, MAX_CLIENTS_UPDATE, inspect
from sync.core.member import Echo, Edit, Member
from sync.core.owners import Owners
from sync.core.presence import Presence
from sync.core.snapshot import TakenSnapshot
from sync.core.stroke import read_stroke
from sync.core.yprotocol import (
    EMPTY_UPDATE,
    MAX_STATE_VECTOR_CLIENTS,
    READ_ONLY,
    Awareness,
    Barrier,
    Message,
    QueryAwareness,
    RenewToken,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_state_vector,
    denied_frame,
    encode_state_vector,
    saved_frame,
    step1_frame,
    step2_frame,
    update_frame,
)


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """Bounds of one room; sizes in bytes, times in seconds."""

    document: int = 16 * 2**20
    held_updates: int = 64  # per connection, waiting for what they stand on
    held_bytes: int = 256 * 2**10
    held_seconds: float = 10.0
    awareness_state: int = 8 * 2**10
    awareness_ids: int = 16  # per connection
    few_writers: int = 3  # in one turn get each other's edits at once; more, with the commit
    awareness_grace: float = 3.0
    awareness_interval: float = 0.1  # between two frames of what everybody shows


class Room:
    """One document and the connections that have it open. Times are of any steady clock."""

    def __init__(self, document: Document, size: int, limits: RoomLimits | None = None) -> None:
        """``size``: bytes of the document, or of the log it was made from."""
        self.limits = limits or RoomLimits()
        self.presence = Presence(
            grace=self.limits.awareness_grace,
            interval=self.limits.awareness_interval,
            max_state=self.limits.awareness_state,
            max_ids=self.limits.awareness_ids,
        )
        self.accepted = 0  # Persist actions given
        self.saved = 0  # of these, on disk
        self.version = 0  # changes with every change of the document
        self._members: dict[int, Member] = {}
        self._turn: list[tuple[int, Persist]] = []  # accepted since the last flush, and by whom
        self._unsaved: dict[int, Member] = {}  # members with echoes or barriers to come
        self._holding: dict[int, Member] = {}  # members with held updates, or adrift
        self._behind: dict[int, Member] = {}  # members that get a diff once they have drained
        self._owners = Owners(self.presence)
        self._whole: tuple[int, bytes] = (-1, b"")  # version and frame of a fresh client's step2
        self._load(document, size)

    def _load(self, document: Document, size: int) -> None:
        self._document = document
        self._clocks = document.clocks
        self._size = size
        self._broken = False

    # -- membership

    def join(self, member: int, subject: str, *, writable: bool) -> list[Action]:
        """Open the document for a connection: our step1, and who is here."""
        joined = self._members[member] = Member(member, subject, writable)
        actions = [self._ask(joined)]
        if (everyone := self.presence.everyone()) is not None:
            actions.append(Send((member,), everyone))
        return actions

    def leave(self, member: int, now: float) -> list[Action]:
        """The connection ended. What it sent stays; what waited for it is forgotten."""
        left = self._members.pop(member, None)
        if left is None:
            return []
        self._unsaved.pop(member, None)
        self._holding.pop(member, None)
        self._behind.pop(member, None)
        self.presence.leave(member, now)
        self._owners.unbind(member)
        return self._release_held() if not self._broken else []

    def allow_writing(self, member: int, writable: bool) -> None:
        """The connection's rights changed."""
        sender = self._members[member]
        sender.writable, sender.sealed = writable, False
        if writable:
            sender.wrote_at = self.accepted + len(self._turn)

    def seal(self, member: int) -> None:
        """The connection may write no more, and is closed when it tries: the session is stopped.

        What the causal gate holds of it is let go, and a barrier behind that is never answered.
        """
        sender = self._members[member]
        sender.writable, sender.sealed = False, True
        if sender.waiting:
            sender.forget_held()
            self._holding.pop(member, None)

    def may_write(self, member: int) -> bool:
        """The connection may write, and the document is not sealed for it."""
        return self._members[member].writable

    @property
    def members(self) -> int:
        """How many connections have the document open."""
        return len(self._members)

    @property
    def dirty(self) -> bool:
        """:meth:`flush` has something to do."""
        return bool(self._turn) or self.presence.due

    @property
    def settled(self) -> bool:
        """Everything accepted is on disk."""
        return not self._turn and self.saved == self.accepted

    @property
    def broken(self) -> bool:
        """The room waits to be renewed."""
        return self._broken

    @property
    def size(self) -> int:
        """Bytes of the document, at most: what it measured last and all updates since."""
        return self._size

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` next has something to do."""
        if not self._holding:
            return self.presence.deadline
        times = [m.held_since + self.limits.held_seconds for m in self._holding.values()]
        if (presence := self.presence.deadline) is not None:
            times.append(presence)
        return min(times, default=None)

    def held(self, member: int) -> int:
        """How many updates of a connection wait for what they stand on."""
        return len(self._members[member].held)

    def lacks(self, member: int) -> bool:
        """What a connection sent stands on what is not here, or is too much to be held."""
        sender = self._members[member]
        if sender.held:
            return bool(missing(sender.held[0].footprint, self._clocks))
        return sender.adrift

    def unsaved(self, member: int) -> int:
        """How many edits of a connection are not on disk: held, gathered, or on their way."""
        sender = self._members[member]
        gathered = [by for by, _ in self._turn].count(member)
        return len(sender.held) + gathered + sum(echo.own for echo in sender.echoes)

    def unsaved_barrier_bytes(self, member: int) -> int:
        """Bytes of a connection's barriers that wait for the disk.

        None while they wait for what the connection itself has still to send.
        """
        sender = self._members[member]
        return 0 if sender.waiting else sender.barrier_bytes

    def encode(self) -> bytes:
        """The whole document as one update."""
        return self._document.encode()

    def state_vector(self) -> bytes:
        """What the document holds, encoded as Yjs does. Raises NativeFailure."""
        return self._document.state_vector()

    def snapshot(self) -> TakenSnapshot:
        """Take a snapshot; right after a flush it holds what was persisted, and no more."""
        return TakenSnapshot.of(self._document)

    # -- messages

    def receive(
        self, member: int, message: Message, now: float, footprint: Footprint | None = None
    ) -> list[Action]:
        """Take one message. ``footprint`` saves reading an update that was inspected elsewhere.

        A ProtocolError costs the connection that caused it and comes back as a Close.
        """
        sender = self._members[member]
        try:
            return self._receive(sender, message, now, footprint)
        except ProtocolError as error:
            return [Close(member, error)]
        except NativeFailure as failure:  # of an answer
            reason = InternalError("the document cannot be read now: connect again")
            return [Close(member, reason), self._break(b"", failure)]

    def receive_strokes(self, member: int, updates: Sequence[bytes]) -> tuple[int, list[Action]]:
        """Take small live edits one after the other, as :meth:`receive` would, in half the time.

        Returns how many were taken: the one after them is unusual, and for :meth:`receive`.
        """
        sender, document = self._members[member], self._document
        if not sender.writable or sender.waiting or self._holding or not document.plain:
            return 0, []
        known: dict[int, bool] = {}  # client ids that may be written with, and for somebody else
        turn, clocks = self._turn, self._clocks
        taken = 0
        for update in updates:
            stroke = read_stroke(update)
            if stroke is None or stroke.start != clocks.get(stroke.client, 0):
                break
            if not all(clocks.get(c, 0) >= end for c, end in stroke.needs.items()):
                break
            if self._size + len(update) > self.limits.document:
                break
            client = stroke.client
            introduced = known.get(client)
            if introduced is None:
                if self._foreign_owner(sender, stroke.footprint) is not None:
                    break
                introduced = known[client] = self._owners.introduced(sender, client, live=True)
            taken += 1
            try:
                document.apply_stroke(update, stroke)
            except NativeFailure as failure:
                sender.wrote_at = self.accepted + len(turn)
                return taken, self._refuse(sender, update, failure)
            self._size += len(update)
            brought = ClientClocks(client, stroke.start, stroke.end, introduced)
            turn.append((member, Persist(update, sender.subject, (brought,), member, False)))
        if taken:
            self.version += 1
            sender.wrote_at = self.accepted + len(turn)
        return taken, []

    def _receive(
        self, sender: Member, message: Message, now: float, footprint: Footprint | None
    ) -> list[Action]:
        match message:
            case SyncUpdate(update):
                footprint = footprint or inspect(update, MAX_CLIENTS_UPDATE)
                return self._receive_update(sender, Edit(update, footprint, live=True), now)
            case SyncStep2(update):
                footprint = footprint or inspect(update, MAX_CLIENTS_STEP2)
                offline, sender.synced = not sender.synced, True
                return self._receive_step2(sender, Edit(update, footprint, offline=offline), now)
            case SyncStep1(state_vector):
                return [self._answer(sender, state_vector)]
            case Awareness():
                return self._receive_awareness(sender, message, now)
            case QueryAwareness():
                everyone = self.presence.everyone()
                return [Send((sender.id,), everyone)] if everyone is not None else []
            case Barrier(payload):
                return self._receive_barrier(sender, payload)
            case RenewToken():
                raise TypeError("tokens are the shell's, not the room's")

    def _receive_update(self, sender: Member, edit: Edit, now: float) -> list[Action]:
        if not sender.writable:
            return self._deny_news(sender, edit)
        if sender.adrift:
            return []  # I2: the step2 that was asked for contains it
        if sender.held:
            return self._hold(sender, edit, now)  # I1: not before those that wait
        return self._admit(sender, edit, now)

    def _receive_step2(self, sender: Member, edit: Edit, now: float) -> list[Action]:
        sender.answered()
        if not sender.writable:
            return self._deny_news(sender, edit) + self._forgers(sender)
        actions = self._admit(sender, edit, now)
        actions += self._forgers(sender)
        sender.settle_barriers()
        return actions + self._barriers_due(sender)

    def _deny_news(self, sender: Member, edit: Edit) -> list[Action]:
        """Refuse what would change the document; y-indexeddb sends readers' copies of it, too."""
        if not self._would_change(edit.footprint):
            return []
        if sender.sealed:
            return [Close(sender.id, Sealed())]
        return [Send((sender.id,), denied_frame(READ_ONLY))]

    def _would_change(self, footprint: Footprint) -> bool:
        """It brings something new; a reader's step2 repeats all deletions that it knows of."""
        if footprint.news(self._clocks):
            return True
        return footprint.deletes and not self._document.has_deleted(footprint)

    def _receive_awareness(self, sender: Member, message: Awareness, now: float) -> list[Action]:
        if not sender.has_presence:
            sender.has_presence = True
            self._owners.unbind(sender.id)  # from now on its own ids are those it shows
        refusals = self.presence.receive(sender.id, sender.subject, message.entries, now)
        return [Send((sender.id,), denied_frame(reason)) for reason in refusals]

    def _receive_barrier(self, sender: Member, payload: bytes) -> list[Action]:
        sender.await_saved(payload)
        self._unsaved[sender.id] = sender
        return self._barriers_due(sender)

    # -- the gate

    def _admit(self, sender: Member, edit: Edit, now: float) -> list[Action]:
        """Apply an update, or hold it where it stands on something that is not here."""
        footprint = edit.footprint
        if not footprint.empty and (
            missing(footprint, self._clocks) or self._foreign_owner(sender, footprint) is not None
        ):
            return self._hold_and_ask(sender, edit, now)
        actions = self._apply(sender, edit)
        return [*actions, *self._release_held()] if self._holding else actions

    def _hold_and_ask(self, sender: Member, edit: Edit, now: float) -> list[Action]:
        ask = not sender.waiting
        actions = self._hold(sender, edit, now)
        if ask and not actions:
            actions.append(self._ask(sender))
        return actions + self._ask_owner(sender) + self._release_held()

    def _hold(self, sender: Member, edit: Edit, now: float) -> list[Action]:
        """Keep an update until what it stands on has come."""
        sender.hold(edit, now)
        self._holding[sender.id] = sender
        limits = self.limits
        if len(sender.held) <= limits.held_updates and sender.held_bytes <= limits.held_bytes:
            return []
        sender.forget_held()  # I2: so the client must send everything again
        return [self._ask(sender)]

    def _ask(self, member: Member) -> Action:
        """Our step1: 'send me what I lack'. What it leaves out because we have it must be saved.

        For a reader, too: it may have written what is not on disk yet, before it was one.
        """
        member.asks += 1
        member.wrote_at = self.accepted + len(self._turn)
        return Send((member.id,), step1_frame(self._document.state_vector()))

    def _ask_owner(self, sender: Member) -> list[Action]:
        """An edit of another's client id: if it is genuine, its owner has it too."""
        if not sender.held or sender.owner_asked is not None:
            return []
        owner = self._foreign_owner(sender, sender.held[0].footprint)
        if owner is None:
            return []
        sender.owner_asked = owner.id
        return [self._ask(owner)]

    def _foreign_owner(self, sender: Member, footprint: Footprint) -> Member | None:
        """The live connection of another subject whose client id an update would extend.

        Not where the owner has sent those clocks too: after a crash everyone brings everyone's
        edits back, and the owners' wait for each other.
        """
        for client, (_, end) in footprint.writes.items():
            if end <= self._clocks.get(client, 0):
                continue
            owner_id = self._owners.owner(client)
            owner = self._members.get(owner_id) if owner_id is not None else None
            if owner is None or owner.subject == sender.subject or owner.vouches(client, end):
                continue
            return owner
        return None

    def _forgers(self, owner: Member) -> list[Action]:
        """The owner has sent all it has: who still extends its client id has made that up."""
        actions: list[Action] = []
        if owner.asks:
            return actions  # this was the answer to an older question
        for member in list(self._holding.values()):
            if member.owner_asked != owner.id:
                continue
            member.owner_asked = None
            if member.held and self._foreign_owner(member, member.held[0].footprint) is owner:
                del self._holding[member.id]
                reason = "an edit under the Yjs client id of another person's open connection"
                actions.append(Close(member.id, Forbidden(reason)))
        return actions

    def _release_held(self) -> list[Action]:
        """Apply what waited for something that has come."""
        actions: list[Action] = []
        progress = bool(self._holding)
        while progress and not self._broken:
            progress = False
            for member in list(self._holding.values()):
                if self._release_one(member, actions):
                    progress = True
        return actions

    def _release_one(self, member: Member, actions: list[Action]) -> bool:
        if self._broken:
            return False
        if not member.held:
            if not member.adrift:
                del self._holding[member.id]
            member.settle_barriers()
            actions += self._barriers_due(member)
            return False
        first = member.held[0].footprint
        if missing(first, self._clocks) or self._foreign_owner(member, first) is not None:
            actions += self._ask_owner(member)
            return False
        edit = member.release()
        try:
            actions += self._apply(member, edit)
        except ProtocolError as error:
            del self._holding[member.id]
            actions.append(Close(member.id, error))
        return True

    # -- applying

    def _apply(self, sender: Member, edit: Edit) -> list[Action]:
        """I3 holds: everything that this update stands on is here."""
        news = edit.footprint.news(self._clocks)
        try:
            if news:
                if self._size + len(edit.update) > self.limits.document:
                    self._check_size(len(edit.update))
                if edit.footprint.types:
                    self._document.check(edit.update, edit.footprint)
            changed = self._document.apply(edit.update, edit.footprint, news)
        except NativeFailure as failure:
            return self._refuse(sender, edit.update, failure)
        if changed:
            self._size += len(edit.update)
            self.version += 1
            brought = self._owners.record(sender, edit, news)
            persist = Persist(edit.update, sender.subject, brought, sender.id, edit.offline)
            self._turn.append((sender.id, persist))
        if not edit.footprint.empty:
            sender.wrote_at = self.accepted + len(self._turn)
        return []

    def _refuse(self, sender: Member, update: bytes, failure: NativeFailure) -> list[Action]:
        refusal = MalformedMessage("this Yjs update was refused: it cannot be applied")
        return [Close(sender.id, refusal), self._break(update, failure)]

    def _break(self, update: bytes, failure: NativeFailure) -> Rebuild:
        self._broken = True
        return Rebuild(update, str(failure))

    def _check_size(self, more: int) -> None:
        """What it measured last, and all updates since, is too much: measure it again."""
        limit = self.limits.document
        self._size = len(self._document.encode())
        if self._size + more > limit:
            raise DocumentTooLarge(
                f"the document is at most {limit} bytes, and this edit of {more} would outgrow it"
            )

    def _answer(self, sender: Member, state_vector: bytes) -> Action:
        """Our step2; encoded once per version for all who come with nothing."""
        if state_vector != EMPTY_STATE_VECTOR:
            most = max(MAX_STATE_VECTOR_CLIENTS, 2 * len(self._clocks))
            decode_state_vector(state_vector, most)
            return Send((sender.id,), step2_frame(self._document.diff(state_vector)))
        if self._whole[0] != self.version:
            self._whole = (self.version, step2_frame(self._document.encode()))
        return Send((sender.id,), self._whole[1])

    # -- the end of a turn

    def flush(self) -> list[Action]:
        """Everything that gathered since the last flush: to the log first, then to the peers."""
        actions: list[Action] = []
        if self._turn:
            turn, self._turn = self._turn, []
            self.accepted += len(turn)
            actions += [persist for _, persist in turn]
            self._broadcast(turn, actions)
        if (frame := self.presence.flush()) is not None:
            actions.append(Send(tuple(self._current()), frame))
        if self._behind:
            actions += self._catch_up_drained()
        return actions

    def _current(self) -> Iterable[int]:
        """The members that get updates as they come."""
        if not self._behind:
            return self._members
        return [member for member in self._members if member not in self._behind]

    def _broadcast(self, turn: list[tuple[int, Persist]], actions: list[Action]) -> None:
        """One frame for all who only listened; who wrote too gets what the others wrote.

        What it wrote itself a member gets when that is on disk. Where many write at once, a frame
        of the others' edits for each would cost the square of their number: they get the whole turn
        then, as one frame.
        """
        first = self.accepted - len(turn) + 1
        tickets = {by: ticket for ticket, (by, _) in enumerate(turn, first)}
        edits = [persist for _, persist in turn]
        merged = _merged(edits)
        own = Counter([by for by, _ in turn]) if len(tickets) > 1 else {}
        late = [m for m in self._unsaved.values() if m.whole_until > self.saved]
        at_once = {*tickets, *[member.id for member in late]}
        if readers := tuple([m for m in self._current() if m not in at_once]):
            actions += [Send(readers, update_frame(update)) for update in merged]
        for member in late:
            if member.id not in tickets:  # behind what it waits for
                self._send_later(member, member.whole_until, edits, merged, 0)
        for writer, ticket in tickets.items():
            if (sender := self._members.get(writer)) is None:
                continue
            if len(tickets) == 1 and sender.whole_until <= self.saved:
                self._send_later(sender, ticket, edits, merged, len(turn))
            elif len(tickets) > self.limits.few_writers or sender.whole_until > self.saved:
                sender.whole_until = ticket
                self._send_later(sender, ticket, edits, merged, own.get(writer, len(turn)))
            else:
                self._send_apart(sender, ticket, turn, actions)

    def _send_apart(
        self, sender: Member, ticket: int, turn: list[tuple[int, Persist]], actions: list[Action]
    ) -> None:
        """Send a writer the others' edits of this turn now, and its own when they are on disk."""
        own = [persist for by, persist in turn if by == sender.id]
        self._send_later(sender, ticket, own, _merged(own), len(own))
        if sender.behind is None:
            others = _merged([persist for by, persist in turn if by != sender.id])
            actions += [Send((sender.id,), update_frame(update)) for update in others]

    def _send_later(
        self, member: Member, ticket: int, edits: list[Persist], merged: list[bytes], own: int
    ) -> None:
        brought = [clocks for persist in edits for clocks in persist.clients]
        member.echoes.append(Echo(ticket, merged, brought, own))
        self._unsaved[member.id] = member

    # -- the disk

    def committed(self, count: int) -> list[Action]:
        """The next ``count`` Persist actions are on disk: echoes and barriers are due."""
        self.saved += count
        actions: list[Action] = []
        for member in list(self._unsaved.values()):
            actions += self._echoes_due(member)
            actions += self._barriers_due(member)
            if member.drained and not self._turn:
                actions += self._catch_up(member)
            if not member.echoes and not member.barriers:
                del self._unsaved[member.id]
        return actions

    def _echoes_due(self, member: Member) -> list[Action]:
        due = member.echoes_due(self.saved)
        if member.behind is not None:
            return []  # the diff that it will get contains them
        to = (member.id,)
        return [Send(to, update_frame(update)) for echo in due for update in echo.updates]

    def _barriers_due(self, member: Member) -> list[Action]:
        due = member.barriers_due(self.saved)
        return [Send((member.id,), saved_frame(payload)) for payload in due]

    # -- time, slow readers, and starting again

    def tick(self, now: float) -> list[Action]:
        """Let time pass: presence that outlived its grace, gaps that stayed open."""
        self.presence.tick(now)
        actions: list[Action] = []
        for member in list(self._holding.values()):
            if now >= member.held_since + self.limits.held_seconds:
                del self._holding[member.id]
                actions.append(Close(member.id, Overloaded(_GAP)))
        return actions

    def fall_behind(self, member: int) -> None:
        """The connection's outbox is full: it gets no more updates until it drains.

        To be called right after a flush, when nothing has gathered.
        """
        slow = self._members.get(member)
        if slow is not None and slow.behind is None and not self._broken:
            slow.behind = self._sent_to(slow)
            slow.drained = False
            self._behind[member] = slow

    def _sent_to(self, member: Member) -> bytes:
        """The state vector of what a member was sent: its own edits may still have to come back."""
        clocks = dict(self._clocks)
        for echo in member.echoes:
            for client, first, _, _ in echo.brought:
                clocks[client] = min(clocks[client], first)
        return encode_state_vector(clocks)

    def catch_up(self, member: int) -> list[Action]:
        """The connection's outbox has drained: one diff takes the place of all it missed."""
        slow = self._members.get(member)
        if slow is None or slow.behind is None:
            return []
        slow.drained = True
        return [] if self._turn else self._catch_up(slow)

    def _catch_up_drained(self) -> list[Action]:
        actions: list[Action] = []
        for member in list(self._behind.values()):
            if member.drained:
                actions += self._catch_up(member)
        return actions

    def _catch_up(self, slow: Member) -> list[Action]:
        if slow.behind is None or self._broken:
            return []
        if slow.wrote_at > self.saved:
            self._unsaved[slow.id] = slow  # its own edits in the diff must be on disk first
            return []
        try:
            diff = self._document.diff(slow.behind)
        except NativeFailure as failure:
            return [self._break(b"", failure)]
        slow.behind, slow.drained = None, False
        del self._behind[slow.id]
        actions: list[Action] = []
        if diff != EMPTY_UPDATE:
            actions.append(Send((slow.id,), update_frame(diff)))
        if (everyone := self.presence.everyone(gone=True)) is not None:
            actions.append(Send((slow.id,), everyone))
        return actions

    def renew(self, document: Document, size: int) -> list[Action]:
        """Go on with a replica that was rebuilt from everything accepted."""
        self._load(document, size)
        self.version += 1
        actions = self._release_held()
        return actions if self._turn else actions + self._catch_up_drained()


_GAP = "an edit stands on others that never came; connect again to send everything"


def _merged(edits: list[Persist]) -> list[bytes]:
    """Updates as one; where the library cannot merge them, as they are."""
    updates = [edit.update for edit in edits]
    if len(updates) > 1:
        with suppress(NativeFailure):
            return [merge(updates)]
    return updates
