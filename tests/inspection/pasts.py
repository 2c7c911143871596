"""Documents' pasts for tests: what a store would hand over."""

from __future__ import annotations

from collections.abc import Iterable

from persistence.store import NOWHERE, ClientRange, Edit, Entry, Past, Position, Snapshot
from sync.core.guard import inspect
from sync.inspection.state import state

DOCUMENT = "drafts/1"


class Log:
    """The entries of one document, as the service would have written them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.clocks: dict[int, int] = {}

    def add(
        self,
        author: str,
        update: bytes,
        time: float = 0.0,
        *,
        offline: bool = False,
        introduced: Iterable[int] = (),
        connection: int = 1,
    ) -> Position:
        """Append an update; return its position."""
        handed_on = set(introduced)
        news = inspect(update, 2**31).news(self.clocks)
        self.clocks |= {client: end for client, (_, end) in news.items()}
        clients = tuple(
            ClientRange(client, start, end, client in handed_on)
            for client, (start, end) in news.items()
        )
        edit = Edit(DOCUMENT, update, author, clients, time, connection, offline)
        position = Position(self.head + 1)
        self.entries.append(Entry(position, edit))
        return position

    @property
    def head(self) -> Position:
        return self.entries[-1].position if self.entries else NOWHERE

    def past(self, position: int | None = None, base: int = 0) -> Past:
        """The past up to a position, with everything up to ``base`` thinned."""
        last = self.head if position is None else Position(position)
        kept = tuple(entry for entry in self.entries if base < entry.position <= last)
        return Past(DOCUMENT, self._base(base), kept, last, self.head)

    def _base(self, position: int) -> Snapshot | None:
        if not position:
            return None
        then = state(self.past(position))
        return Snapshot(DOCUMENT, Position(position), then.update, then.state_vector, 0.0)
