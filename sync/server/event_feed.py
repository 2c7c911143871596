"""A session's log as its subscribers read it: from memory where it is recent, else from the store.

A subscriber is nothing but an offset. It reads on from there whenever it can take more, so a slow
one costs no queue, and misses nothing.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property
from itertools import islice

import anyio

from persistence.store import Reader, StoredEvent
from sync.core.events import event_text, iso
from sync.server.framing import text_frame

MAX_EVENTS = 2_000
MAX_BYTES = 2**20
"""Of one session's last events that are kept in memory, while somebody subscribes to it."""


class Told:
    """One event as subscribers get it: encoded once, for all of them."""

    def __init__(self, session: str, stored: StoredEvent, committed_at: float = 0.0) -> None:
        """``committed_at``: by the loop's clock; 0 for what was read from the store."""
        self.session = session
        self.offset, self.event = stored
        self.committed_at = committed_at
        self.size = 2 * len(self.event.data) + 500
        """About how many bytes it keeps in memory."""

    @cached_property
    def text(self) -> bytes:
        """As a message of the WebSocket channel."""
        event = self.event
        text = event_text(self.offset, event.id, event.kind, event.actor, event.time, event.data)
        return text.encode()

    @cached_property
    def frame(self) -> bytes:
        """The same as one WebSocket frame."""
        return text_frame(self.text)

    @property
    def time(self) -> str:
        """When it was committed."""
        return iso(self.event.time)


class EventFeed:
    """The events of one session, and the news of the next ones."""

    def __init__(self, store: Reader, session: str, top: int) -> None:
        self._store = store
        self._session = session
        self.top = top
        self.subscribers = 0
        self._recent: deque[Told] = deque()
        self._bytes = 0
        self._news: anyio.Event | None = None  # made for those who wait

    def add(self, told: Told) -> None:
        """The next event was committed."""
        self.top = told.offset
        if self.subscribers:
            self._keep(told)
        if self._news is not None:
            self._news.set()
            self._news = None

    def subscribe(self) -> None:
        """Somebody reads from now on, until :meth:`unsubscribe`."""
        self.subscribers += 1

    def unsubscribe(self) -> None:
        self.subscribers -= 1
        if not self.subscribers:
            self._recent.clear()
            self._bytes = 0

    async def news(self, offset: int) -> None:
        """Wait until there is an event behind an offset."""
        while self.top <= offset:
            self._news = self._news or anyio.Event()
            await self._news.wait()

    async def after(self, offset: int, limit: int = 1_000) -> list[Told]:
        """Events behind an offset, in order; none when there are none yet.

        Raises StoreError where the log cannot be read.
        """
        if (recent := self.recent(offset, limit)) is not None:
            return recent
        stored = await self._store.events(self._session, offset, limit)
        return [Told(self._session, each) for each in stored]

    def recent(self, offset: int, limit: int = 1_000) -> list[Told] | None:
        """The same from memory; None where what is there begins later."""
        if offset >= self.top:
            return []
        if not self._recent or self._recent[0].offset > offset + 1:
            return None
        count = min(self._recent[-1].offset - offset, len(self._recent))
        if count <= limit:  # as it mostly is: then it is a few at the end
            last = list(islice(reversed(self._recent), count))
            last.reverse()
            return last
        start = offset + 1 - self._recent[0].offset
        return list(islice(self._recent, start, start + limit))

    def _keep(self, told: Told) -> None:
        self._recent.append(told)
        self._bytes += told.size
        while len(self._recent) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._bytes -= self._recent.popleft().size
