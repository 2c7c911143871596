"""Edits from elsewhere, tried out on a document before they are written to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from persistence.store import ClientRange, Edit, StoredDocument
from sync.core.document import Document
from sync.core.errors import MalformedMessage, NativeFailure
from sync.core.footprint import Footprint, missing
from sync.core.guard import inspect
from sync.core.replay import replay
from sync.core.snapshot import TakenSnapshot

MOST_CLIENTS = 2**31  # an update may merge the edits of any number of people


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of edits of one document."""

    edits: tuple[Edit, ...] = ()  # to be written: they bring something, and go well together
    known: int = 0  # so many bring nothing that is not there already
    refused: tuple[str, ...] = ()  # why others were left out


class _Refused(Exception):
    """An edit was left out; the text says why."""


def merge(stored: StoredDocument, edits: Iterable[Edit], limit: int) -> Merged:
    """Try edits out, in order, on what is stored of their document.

    Each passes the guard and the causal gate and is applied; the whole must then be loaded again,
    and take no more than ``limit`` bytes. Who wrote the clocks that an edit brings is kept where it
    is told. Call it on a deep stack. Raises NativeFailure where what is stored cannot be loaded.
    """
    trial = _Trial(stored)
    known, refused = 0, list[str]()
    for number, edit in enumerate(edits, 1):
        try:
            known += not trial.take(edit)
        except _Refused as error:
            refused.append(f"edit {number} by {edit.author!r}: {error}")
    if trial.taken and (reason := trial.objection(limit)):
        return Merged((), known, (*refused, reason))
    return Merged(tuple(trial.taken), known, tuple(refused))


@dataclass(slots=True)
class _Trial:
    """A copy of the document, in memory."""

    stored: StoredDocument
    taken: list[Edit] = field(default_factory=list)
    document: Document = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        snapshot = self.stored.snapshot.update if self.stored.snapshot else None
        updates = [entry.edit.update for entry in self.stored.entries]
        updates += [edit.update for edit in self.taken]
        self.document = replay(snapshot, updates).document

    def take(self, edit: Edit) -> bool:
        """Apply an edit; False where it brings nothing. Raises _Refused."""
        try:
            footprint = inspect(edit.update, MOST_CLIENTS)
            self.document.check(edit.update, footprint)
        except MalformedMessage as error:
            raise _Refused(error.reason) from error
        if lacking := missing(footprint, self.document.clocks):
            raise _Refused(f"it stands on edits that are not there, of clients {[*lacking]}")
        brought = _brought(edit, footprint, self.document)
        try:
            new = self.document.apply(edit.update, footprint)
        except NativeFailure as failure:
            self._begin()
            raise _Refused(f"it cannot be applied: {failure}") from failure
        if new:
            self.taken.append(edit._replace(clients=brought))
        return new

    def objection(self, limit: int) -> str | None:
        """Why the document is not to become what it is now."""
        try:
            taken = TakenSnapshot.of(self.document)
        except NativeFailure as failure:
            return f"nothing of it was taken: it cannot be written ({failure})"
        if len(taken.update) > limit:
            return (
                f"nothing of it was taken: it would be of {len(taken.update):,} bytes, and "
                f"documents are of no more than {limit:,} (--document-limit)"
            )
        return None if taken.verify() else "nothing of it was taken: it cannot be loaded again"


def _brought(edit: Edit, footprint: Footprint, document: Document) -> tuple[ClientRange, ...]:
    """The clocks that are new, each with what the edit itself tells of who wrote them."""
    own = {each.client for each in edit.clients if not each.introduced}
    return tuple(_ranges(own, footprint, document))


def _ranges(own: set[int], footprint: Footprint, document: Document) -> Iterator[ClientRange]:
    for client, (start, end) in footprint.news(document.clocks).items():
        yield ClientRange(client, start, end, introduced=client not in own)
