"""What a room accepted within one turn of the event loop, on its way to the log and the peers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sync.core.actions import ClientClocks, Persist
from sync.core.crdt import merge
from sync.core.errors import NativeFailure
from sync.core.member import Edit, Member


@dataclass(slots=True)
class Run:
    """Consecutive updates of one connection; one Persist."""

    member: int
    author: str
    parts: list[list[bytes]] = field(default_factory=list)  # to be merged, each by itself
    sealed: bool = True  # the last part
    clients: dict[int, ClientClocks] = field(default_factory=dict)

    def add(self, edit: Edit, brought: Iterable[ClientClocks]) -> None:
        """Deletions end a part. Merging puts them last, and there are updates, made to harm, that
        can be applied after a deletion but not before it: the log could not be loaded again."""
        if self.sealed:
            self.parts.append([])
        self.parts[-1].append(edit.update)
        self.sealed = edit.footprint.deletes
        for new in brought:
            known = self.clients.get(new.client)
            start = known.start if known else new.start
            self.clients[new.client] = ClientClocks(new.client, start, new.end, new.introduced)

    def persist(self) -> Persist:
        updates = tuple(update for part in self.parts for update in merge_all(part))
        return Persist(updates, self.author, tuple(self.clients.values()))


class Turn:
    """Runs of updates, in the order in which they were accepted (I1)."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def __len__(self) -> int:
        """How many Persist actions it makes."""
        return len(self._runs)

    def add(self, sender: Member, edit: Edit, brought: Iterable[ClientClocks]) -> None:
        if not self._runs or self._runs[-1].member != sender.id:
            self._runs.append(Run(sender.id, sender.subject))
        self._runs[-1].add(edit, brought)

    def persists(self) -> list[tuple[int, Persist]]:
        """For each run its connection and what it appends to the log."""
        return [(run.member, run.persist()) for run in self._runs]


def merge_all(updates: list[bytes]) -> list[bytes]:
    """Merge updates into one; where the library cannot, they stay as they are."""
    if len(updates) < 2:
        return updates
    try:
        return [merge(updates)]
    except NativeFailure:
        return updates
