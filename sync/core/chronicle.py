"""What each entry of a document's log did, place by place.

The log holds updates, and an update names no place: an item says which other items it stands
beside. A :class:`Chronicle` is fed the entries in order and keeps of every item where it stands,
who wrote it and whether it is deleted, and of every map's key the row of values that were set. So
it tells which values an entry changed, whose item it is that stands now, and which values lost
against one that was set at the same time.

It reads, and applies nothing: it is fed what :func:`sync.core.replay.replay` applied. What the
values were is told by :func:`sync.core.readings.readings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sync.core.changes import ABSENT, Place
from sync.core.content import joined_kind
from sync.core.crdt import ARRAY, MAP, TEXT, RootKind
from sync.core.deletions import Deletions
from sync.core.guard import DELETED, FORMAT, GC, TYPE
from sync.core.items import Clock, Item, Items, is_xml, read_items, value_of
from sync.core.runs import Runs
from sync.core.sequence import Sequence

BASE = -1
"""In the place of an entry's index: what was there before the first of them."""


class Touch(NamedTuple):
    """What an entry did in one place.

    ``clients`` are the Yjs client ids that wrote there; none: something was only deleted.
    ``whole`` tells that the place got another value or lost it; else something inside changed.
    """

    clients: tuple[int, ...]
    whole: bool


_UNTOUCHED = Touch((), whole=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A value that was set at the same time as another one, and lost against it."""

    entry: int  # the index of the entry that brought it
    client: int  # who set it
    value: object  # a JSON value; ABSENT where nothing is left of it


class Chronicle:
    """A document's places, and what its log did to them."""

    def __init__(self, base: bytes | None = None) -> None:
        """``base``: the document before the first entry, as one update. Raises MalformedMessage."""
        self.entries = 0  # taken so far
        self._clocks: dict[int, int] = {}
        self._writers = Runs[int]()  # of each item: the index of its entry
        self._spots = Runs["_Spot | None"]()  # of each item: where it stands
        self._named: dict[tuple[str | Clock, str | None], _Spot] = {}  # by parent and key
        self._deleted = Deletions()
        self._kinds: dict[str, RootKind | None] = {}
        self._xml: set[Clock] = set()  # the items that hold XML
        if base is not None:
            self.entries = BASE
            self.take(read_items(base))

    @property
    def kinds(self) -> dict[str, RootKind]:
        """The roots that there ever were, and what kind their items made each one."""
        return {root: kind or ARRAY for root, kind in self._kinds.items()}

    @property
    def clocks(self) -> Mapping[int, int]:
        """The state vector: the next clock of every client id. Not to be changed."""
        return self._clocks

    def take(self, items: Items) -> dict[Place, Touch]:
        """Take the next entry, and tell what it did. It stands on nothing that did not come."""
        turn = _Turn(self.entries, items)
        for item in turn.items.in_order(self._clocks):
            self._add(turn, item)
        self._delete(turn)
        self._settle(turn)
        self._clocks |= {client: self._writers.end(client) for client in turn.items.clients}
        self.entries += 1
        return turn.touches

    def skip(self) -> None:
        """Leave the next entry out; it keeps its index."""
        self.entries += 1

    def writers(self, client: int, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The entries that brought a range of clocks: start, end and index of each part."""
        return self._writers.between(client, start, end)

    def attempts(self, place: Place) -> list[Attempt]:
        """The values that lost against the one that stands in a place, in the order they came."""
        spot = self._named.get((place.root, place.key))
        return [] if spot is None else [each.told() for each in spot.attempts.values()]

    # -- what an entry writes

    def _add(self, turn: _Turn, item: Item) -> None:
        spot = self._spot(turn.items, item)
        self._spots.add(item.client, item.end, spot)
        self._writers.add(item.client, item.end, turn.entry)
        if item.ref in (DELETED, GC):
            self._deleted.add(item.client, item.clock, item.end)
        if spot is None:
            return
        if spot.row is not None:
            self._compete(turn, spot, spot.row, item)
        elif item.ref not in (DELETED, GC) and spot.counts:
            turn.inserted.append((item, spot))

    def _spot(self, items: Items, item: Item) -> _Spot | None:
        """Where an item stands: where its neighbours do, or in what it names."""
        spot = self._beside(item.origin) or self._beside(item.right)
        if spot is None and item.parent is not None:
            spot = self._inside(item.parent, item.key)
        if spot is None:
            return None
        xml = item.ref == TYPE and is_xml(items.update, item)
        if xml:
            self._xml.add((item.client, item.clock))
        if spot.owner is None:
            self._learn_kind(item, spot, xml=xml)
        # How a text is formatted is seen in XML alone.
        formats = item.ref == FORMAT and spot.owner not in self._xml
        return spot.unseen() if formats and spot.row is None else spot

    def _learn_kind(self, item: Item, spot: _Spot, *, xml: bool) -> None:
        root, keyed = spot.place.root, spot.row is not None
        known = self._kinds.get(root)
        if known is not MAP and (keyed or known is not TEXT):  # nothing else makes it another one
            self._kinds[root] = joined_kind(known, item.ref, keyed=keyed, xml=xml)

    def _beside(self, neighbour: Clock | None) -> _Spot | None:
        spot = None if neighbour is None else self._spots.find(neighbour)
        return spot if spot is None else spot.seen or spot

    def _inside(self, parent: str | Clock, key: str | None) -> _Spot | None:
        known = self._named.get((parent, key))
        if known is not None:
            return known
        row = None if key is None else Sequence()
        if isinstance(parent, str):
            spot = _Spot(Place(parent, key), None, None, row)
        else:
            around = self._spots.find(parent)
            if around is None:
                return None
            spot = _Spot(around.place, parent, around, row)
        self._named[parent, key] = spot
        return spot

    def _compete(self, turn: _Turn, spot: _Spot, row: Sequence, item: Item) -> None:
        """Put a map's value among those that were set under its key: one of them stands."""
        old = row.last
        stood = None if old is None else old.last
        present = stood is not None and stood not in self._deleted
        turn.keyed.setdefault(spot, (stood, present))
        unit = row.integrate(item)
        attempt = _Attempt(turn.entry, turn.items.update, item)
        if row.last is unit:
            if stood is not None and item.origin != stood:
                if present and spot.stands is not None:
                    spot.attempts[stood] = spot.stands
            elif spot.stands is None or spot.stands.entry != turn.entry:
                spot.attempts.clear()  # whoever set this saw what was there
            if old is not None:
                self._deleted.add(old.item.client, old.clock, old.end)
            spot.stands = attempt
        else:
            self._deleted.add(item.client, item.clock, item.end)
            if item.origin is not None:
                spot.attempts.pop(item.origin, None)  # the same attempt, carried on
            if item.ref not in (DELETED, GC):
                spot.attempts[unit.last] = attempt

    # -- what it deletes

    def _delete(self, turn: _Turn) -> None:
        clocks = self._clocks
        for client, start, end in turn.items.footprint.deleted:
            for first, last in self._deleted.add(client, start, end):
                for low, _, spot in self._spots.between(client, first, last):
                    if spot is None:
                        continue
                    if spot.row is not None:
                        self._take_away(turn, spot, spot.row, (client, first, last))
                    elif low < clocks.get(client, 0) and spot.counts and self._alive(spot):
                        turn.note(spot.place, None)

    def _take_away(
        self, turn: _Turn, spot: _Spot, row: Sequence, deleted: tuple[int, int, int]
    ) -> None:
        client, start, end = deleted
        unit = row.last
        if unit is not None and unit.last[0] == client and start <= unit.last[1] < end:
            turn.keyed.setdefault(spot, (unit.last, True))

    def _alive(self, spot: _Spot) -> bool:
        """Nothing that the spot is inside of is deleted."""
        around: _Spot | None = spot
        while around is not None and around.owner is not None:
            if around.owner in self._deleted:
                return False
            around = around.around
        return True

    # -- what came of it

    def _settle(self, turn: _Turn) -> None:
        for item, spot in turn.inserted:
            whole = self._deleted.holds(item.client, item.clock, item.end)
            if not whole and self._alive(spot):
                turn.note(spot.place, item.client)
        for spot, (stood, was_present) in turn.keyed.items():
            self._settle_key(turn, spot, stood, was_present=was_present)

    def _settle_key(
        self, turn: _Turn, spot: _Spot, stood: Clock | None, *, was_present: bool
    ) -> None:
        unit = spot.row.last if spot.row else None
        present = unit is not None and unit.last not in self._deleted
        self._forget_withdrawn(turn, spot, present=present)
        if not (present or was_present) or not self._alive(spot):
            return
        if present and unit is not None and unit.last == stood:
            return
        client = unit.item.client if unit is not None and present else None
        turn.note(spot.place, client, whole=spot.owner is None)

    def _forget_withdrawn(self, turn: _Turn, spot: _Spot, *, present: bool) -> None:
        """No attempts are those against nothing, and those that their own update takes back."""
        if not present:
            spot.attempts.clear()
        mine = [clock for clock, each in spot.attempts.items() if each.entry == turn.entry]
        for client, clock in mine:
            if any(
                client == who and start <= clock < end
                for who, start, end in turn.items.footprint.deleted
            ):
                del spot.attempts[client, clock]


@dataclass(slots=True)
class _Attempt:
    entry: int
    update: bytes
    item: Item

    def told(self) -> Attempt:
        try:
            value = value_of(self.update, self.item)
        except ValueError:
            value = ABSENT
        return Attempt(self.entry, self.item.client, value)


@dataclass(slots=True, eq=False)
class _Spot:
    """Where items stand: in a root or in a type inside of one, and of a map under one key."""

    place: Place
    owner: Clock | None  # the item that holds the type; None: the root
    around: _Spot | None  # where the owner stands
    row: Sequence | None  # the values that were set, under a key
    seen: _Spot | None = None  # this is for what changes no value: formats of a plain text
    twin: _Spot | None = None
    stands: _Attempt | None = None  # who set the value that won
    attempts: dict[Clock, _Attempt] = field(default_factory=dict)

    @property
    def counts(self) -> bool:
        return self.seen is None

    def unseen(self) -> _Spot:
        if self.twin is None:
            self.twin = _Spot(self.place, self.owner, self.around, None, seen=self)
        return self.twin


@dataclass(slots=True)
class _Turn:
    """One entry, while it is read."""

    entry: int
    items: Items
    inserted: list[tuple[Item, _Spot]] = field(default_factory=list)
    # of keys: the value that stood before, and whether it was there
    keyed: dict[_Spot, tuple[Clock | None, bool]] = field(default_factory=dict)
    touches: dict[Place, Touch] = field(default_factory=dict)

    def note(self, place: Place, client: int | None, *, whole: bool = False) -> None:
        """A place, or something inside, was written by a client, or deleted."""
        known = self.touches.get(place, _UNTOUCHED)
        clients = known.clients
        if client is not None and client not in clients:
            clients = (*clients, client)
        self.touches[place] = Touch(clients, known.whole or whole)
