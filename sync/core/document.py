"""One document: the replica, its clocks, and the care that its library needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sync.core.crdt import Replica, RootKind
from sync.core.deletions import Ranges, contains, joined
from sync.core.errors import NativeFailure
from sync.core.footprint import Footprint
from sync.core.guard import inspect
from sync.core.nesting import BYTES_OF_A_TYPE, MAX_NESTING, Nesting
from sync.core.stroke import Stroke
from sync.core.surrogates import may_hold_pairs, mend, surrogates
from sync.core.yprotocol import decode_state_vector

News = Mapping[int, tuple[int, int]]
"""Of client ids, the clocks (first, end) that a document does not have yet."""


class Document:
    """A Yjs document that updates are applied to, in the order of the log.

    What it is given must have passed the guard and the causal gate. After NativeFailure it is not
    to be used again.
    """

    __slots__ = ("_clocks", "_halves", "_nesting", "_replica", "_types")

    def __init__(self, snapshot: bytes | None = None, replica: Replica | None = None) -> None:
        """Start with a snapshot, or empty. Raises NativeFailure."""
        self._halves: set[tuple[int, int]] = set()  # see sync.core.surrogates
        self._nesting: Nesting | None = None  # read when there are types enough to nest too deep
        self._types = 0  # at most
        self._clocks: dict[int, int] = {}
        self._replica = replica or Replica()
        if snapshot is not None:
            self.load(snapshot)
        else:
            self._clocks = decode_state_vector(self._replica.state_vector())

    def load(self, snapshot: bytes) -> None:
        """Take a snapshot, or the next part of one (:func:`sync.core.split.split`).

        Raises NativeFailure.
        """
        self._types += len(snapshot) // BYTES_OF_A_TYPE  # at most
        if may_hold_pairs(snapshot):
            snapshot = self._without_parted(snapshot, {})
        self._replica.apply(snapshot)
        self._clocks = decode_state_vector(self._replica.state_vector())

    @property
    def clocks(self) -> Mapping[int, int]:
        """The state vector: the next clock of every client id. Not to be changed."""
        return self._clocks

    def check(self, update: bytes, footprint: Footprint) -> None:
        """See that an update nests no types too deep. Raises MalformedMessage, NativeFailure."""
        if footprint.types and self._types + footprint.types > MAX_NESTING:
            if self._nesting is None:
                self._nesting = Nesting(self._replica.encode())
            self._nesting.check(update, self._clocks)

    def apply(self, update: bytes, footprint: Footprint, news: News | None = None) -> bool:
        """Merge an update in; tell whether anything of it was new. Raises NativeFailure.

        ``news``: of the footprint, where the caller has it already.
        """
        if news is None:
            news = footprint.news(self._clocks)
        if not news and not footprint.deleted:
            return False
        if news:
            self._merge(update, footprint, news)
            return True
        before = self._replica.deletions()
        self._merge(update, footprint, news)
        return self._replica.deletions() != before

    def merge(self, update: bytes, footprint: Footprint) -> None:
        """:meth:`apply`, for who need not know whether anything was new: deletions cost less so."""
        self._merge(update, footprint, footprint.news(self._clocks))

    def _merge(self, update: bytes, footprint: Footprint, news: News) -> None:
        self._types += footprint.types
        if self._nesting is not None and news:
            self._nesting.add(update, self._clocks)
        if self._halves or footprint.astral:
            update = self._without_parted(update, news)
        self._replica.apply(update)
        for client, (_, end) in news.items():
            self._clocks[client] = end
        if news and len(footprint.writes) > 1:
            self._check_integrated(news)

    @property
    def plain(self) -> bool:
        """Strokes can be applied by :meth:`apply_stroke`: nothing in it asks for more care."""
        return not self._halves and self._nesting is None

    def apply_stroke(self, update: bytes, stroke: Stroke) -> None:
        """Merge a stroke in that is wholly new. Raises NativeFailure."""
        self._replica.apply(update)
        self._clocks[stroke.client] = stroke.end

    def root(self, name: str, kind: RootKind) -> object:
        """See :meth:`Replica.root`."""
        return self._replica.root(name, kind)

    def value(self, root: str, key: str) -> tuple[bool, object]:
        """See :meth:`Replica.value`."""
        return self._replica.value(root, key)

    def state_vector(self) -> bytes:
        """The encoded state vector."""
        return self._replica.state_vector()

    def encode(self) -> bytes:
        """The whole document as one update."""
        return self._replica.encode()

    def diff(self, state_vector: bytes) -> bytes:
        """Everything that a document at this encoded state vector lacks, and all deletions."""
        return self._replica.diff(state_vector)

    def deletions(self) -> Ranges:
        """All that is deleted."""
        return joined(inspect(self._replica.deletions(), max_clients=2**31).deleted)

    def has_deleted(self, footprint: Footprint) -> bool:
        """Everything that an update deletes is deleted already."""
        return contains(self.deletions(), joined(footprint.deleted))

    def _check_integrated(self, news: Iterable[int]) -> None:
        """Edits of two clients that stand on each other pass the gate and are never integrated."""
        clocks = decode_state_vector(self._replica.state_vector())
        if any(clocks.get(client) != self._clocks[client] for client in news):
            raise NativeFailure("structs that stand on each other in a circle")

    def _without_parted(self, update: bytes, news: News) -> bytes:
        """Replace the characters that an update parts, in the document and in the update."""
        read = surrogates(update)
        cuts = read.cuts | {(client, first) for client, (first, _) in news.items()}
        if parted := cuts & self._halves:
            self._replica = Replica(mend(self._replica.encode(), parted))
            self._halves -= parted
        new = {(client, clock) for client, clock in read.halves if self._is_new(client, clock)}
        self._halves |= new - cuts
        return mend(update, new & cuts) if new & cuts else update

    def _is_new(self, client: int, clock: int) -> bool:
        return clock >= self._clocks.get(client, 0)
