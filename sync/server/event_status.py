"""What goes on in sessions, over the event channel: told to who asked for it, as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from persistence.store import StoreError
from sync.core.event_channel import status_text
from sync.server.event_connection import EventConnection
from sync.server.sessions import LiveSession
from sync.server.telemetry import logger

log = logger(__name__)

STATUS_SECONDS = 1.0
"""Between two looks at what goes on in a session, while somebody wants to know."""

StatusOf = Callable[[LiveSession], Awaitable[Mapping[str, Any]]]
"""What goes on in a session, as JSON."""


class _Watch:
    """What goes on in one session, as those know it who want to."""

    def __init__(self) -> None:
        self.text: bytes | None = None
        self.task: asyncio.Task[None] | None = None
        self._told: WeakKeyDictionary[EventConnection, bytes] = WeakKeyDictionary()

    def tell_anew(self, watcher: EventConnection) -> None:
        """Somebody has just asked for it."""
        self._told.pop(watcher, None)
        self.tell([watcher])

    def tell(self, watchers: Iterable[EventConnection]) -> None:
        """Send it to those who do not know it yet; who does not read is told later."""
        for each in watchers:
            if self.text is not None and self._told.get(each) != self.text and not each.outbox.full:
                self._told[each] = self.text
                each.say(self.text)


class Watches:
    """Looks at sessions for those who want to know what goes on there; one look for all of one."""

    def __init__(self, watchers: Callable[[str], list[EventConnection]]) -> None:
        """``watchers``: those who want to know it of a session now."""
        self.status_of: StatusOf | None = None
        """What they get; None: nothing."""
        self._watchers = watchers
        self._loop = asyncio.get_running_loop()
        self._watches: dict[str, _Watch] = {}  # by session

    def __len__(self) -> int:
        """How many sessions are looked at."""
        return len(self._watches)

    def begin(self, watcher: EventConnection) -> None:
        """Somebody wants to know what goes on in their session."""
        live = watcher.live
        watch = self._watches.get(live.id)
        if watch is not None:
            watch.tell_anew(watcher)
        elif self.status_of is not None:
            watch = self._watches[live.id] = _Watch()
            watch.task = self._loop.create_task(self._run(live, watch, self.status_of))

    def end(self) -> None:
        """Nobody is told anything any more."""
        for watch in self._watches.values():
            if watch.task is not None:
                watch.task.cancel()

    async def _run(self, live: LiveSession, watch: _Watch, status_of: StatusOf) -> None:
        """Tell those who want to know what goes on in a session, until there are none."""
        known: object = None
        try:
            while watchers := self._watchers(live.id):
                with suppress(StoreError):  # it is told when the disk can be read again
                    status = await status_of(live)
                    if status is not known:
                        watch.text, known = status_text(status), status
                watch.tell(watchers)
                await asyncio.sleep(STATUS_SECONDS)
        except Exception:  # a bug costs the status, not the server
            log.exception("what goes on in a session cannot be told", session=live.id)
        finally:
            del self._watches[live.id]
