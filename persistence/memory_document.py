"""One document of the store without a disk."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import takewhile

from persistence.past import check_kept, earliest, position_before
from persistence.store import (
    NOWHERE,
    Deletion,
    Edit,
    Entry,
    Head,
    Past,
    Position,
    Snapshot,
    StoredDocument,
)


def by_position(entry: Entry) -> Position:
    return entry.position


@dataclass(slots=True)
class Document:
    """Its entries, as far as they were not removed, and what stands for the others."""

    name: str
    first: Edit
    last: Edit = field(init=False)
    head: Position = NOWHERE
    entries: list[Entry] = field(default_factory=list)  # in the order of their positions
    snapshot: Snapshot | None = None
    base: Snapshot | None = None
    thinned: Position = NOWHERE

    def __post_init__(self) -> None:
        self.last = self.first

    def take(self, entry: Entry) -> None:
        """Add an entry behind the head."""
        self.entries.append(entry)
        self.last, self.head = entry.edit, entry.position

    # Reading

    def is_entry(self, position: Position) -> bool:
        """Whether there is, or was, an entry of the document at a position, as far as is known."""
        return 0 < position <= self.thinned or any(e.position == position for e in self.entries)

    def behind(self, position: int) -> list[Entry]:
        return self.entries[bisect_right(self.entries, position, key=by_position) :]

    def load(self, deleted: Deletion | None) -> StoredDocument:
        behind = self.behind(self.snapshot.position if self.snapshot else NOWHERE)
        return StoredDocument(
            self.name, self.snapshot, tuple(behind), self.head,
            thinned=self.thinned, deleted=deleted,
        )  # fmt: skip

    def summed_up(self, deleted: Deletion | None) -> Head:
        return Head(
            document=self.name,
            head=self.head,
            edits=len(self.entries),
            size=sum(len(entry.edit.update) for entry in self.entries),
            last_author=self.last.author,
            created_at=self.first.received_at,
            updated_at=self.last.received_at,
            snapshot=self.snapshot.position if self.snapshot else NOWHERE,
            thinned=self.thinned,
            deleted=deleted,
        )

    def past(self, position: int | None, deleted: Deletion | None) -> Past:
        """Read it as it was; see :meth:`persistence.store.Reader.past`."""
        asked = self.head if position is None else position
        begin = self._begin()
        check_kept(self.name, asked, self.thinned, begin)
        if asked <= 0:
            return Past(self.name, None, (), NOWHERE, self.head, deleted=deleted)
        behind = self.behind(begin.position if begin else NOWHERE)
        entries = tuple(takewhile(lambda entry: entry.position <= asked, behind))
        last = entries[-1].position if entries else begin.position if begin else NOWHERE
        return Past(self.name, begin, entries, last, self.head, deleted=deleted)

    def position_at(self, moment: float) -> Position:
        """Tell where it was at a time; see :meth:`persistence.store.Reader.position_at`."""
        for entry in reversed(self.entries):
            if entry.edit.received_at <= moment:
                return entry.position
        begin = self._begin()
        known = [self.first.received_at]
        if begin and begin.position == self.head:
            known.append(self.last.received_at)
        return position_before(self.name, moment, self.thinned, begin, known)

    def _begin(self) -> Snapshot | None:
        return earliest(self.thinned, self.base, self.snapshot)

    # Removing

    def compact(self, snapshot: Snapshot) -> None:
        """Put a newer snapshot in the place of the one there, which may be what history needs."""
        self.base = self._begin() or self.base
        self.snapshot = snapshot

    def thin(self, horizon: float, until: int | None) -> int:
        """Remove old history; see :meth:`persistence.store.Store.thin`."""
        covered = self.snapshot.position if self.snapshot else NOWHERE
        begins = {one.position for one in (self.snapshot, self.base) if one}
        if until is not None and until not in begins:
            return 0
        last = covered if until is None else min(covered, until)
        old = takewhile(
            lambda entry: entry.position <= last and entry.edit.received_at < horizon,
            self.entries,
        )
        removed = self.remove_first(len(list(old)))
        if self.base and not self.thinned <= self.base.position < covered:
            self.base = None
        return removed

    def remove_first(self, count: int) -> int:
        """Remove the first entries; return how many there were."""
        old = self.entries[:count]
        if old:
            self.thinned = old[-1].position
            del self.entries[:count]
        return len(old)
