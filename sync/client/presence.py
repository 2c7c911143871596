"""Who else has the document open: awareness states, as a client keeps them.

Source: github.com/yjs/y-protocols, ``awareness.js``. Every client id has a clock and a state; only
a higher clock is news, or the same clock with ``null``. A state that was not renewed for 30 s is
outdated, so ours is renewed every 15 s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sync.core.errors import MalformedMessage
from sync.core.yprotocol import AwarenessEntry, awareness_frame

RENEW_SECONDS = 15.0
OUTDATED_SECONDS = 30.0
NULL = "null"


class Presence:
    """Our own state, which we may :meth:`set`, and those of the :attr:`others`.

    Times are seconds of any steady clock.
    """

    def __init__(self, client: int, wake: Callable[[], None]) -> None:
        self.client = client
        self._wake = wake
        self._state = NULL  # JSON
        self._clock = 0
        self._due = False  # our state is to be sent
        self._sent_at = 0.0
        self._shown: dict[int, tuple[int, float, Any]] = {}  # client id -> clock, heard at, state

    def set(self, state: Mapping[str, Any] | None) -> None:
        """Show this to everyone who has the document open; None shows nothing any more.

        Raises TypeError or ValueError when it is not JSON.
        """
        self._state = json.dumps(state, ensure_ascii=False, allow_nan=False)
        self._renew()
        self._wake()

    @property
    def others(self) -> dict[int, Any]:
        """What the others show, by Yjs client id."""
        return {client: state for client, (_, _, state) in self._shown.items()}

    # -- for the machine

    def opened(self, now: float) -> None:
        self._due = self._state != NULL
        self._sent_at = now

    def closed(self) -> None:
        self._due = False
        self._shown.clear()

    def receive(self, entries: Iterable[AwarenessEntry], now: float) -> None:
        """Take what the server announces. Raises MalformedMessage."""
        for entry in entries:
            if entry.client == self.client:
                self._receive_own(entry)
            else:
                self._receive(entry, now)

    def tick(self, now: float) -> None:
        """Let time pass: renew our state, drop what is outdated."""
        if self._state != NULL and now >= self._sent_at + RENEW_SECONDS:
            self._sent_at = now
            self._renew()
            self._wake()
        for client, (_, heard_at, _) in list(self._shown.items()):
            if now >= heard_at + OUTDATED_SECONDS:
                del self._shown[client]

    def flush(self) -> bytes | None:
        """The frame that shows our state, where it is due."""
        if not self._due:
            return None
        self._due = False
        return awareness_frame([AwarenessEntry(self.client, self._clock, self._state)])

    def farewell(self) -> bytes | None:
        """The frame that says that we go."""
        if self._state == NULL:
            return None
        self._clock += 1
        return awareness_frame([AwarenessEntry(self.client, self._clock, NULL)])

    # -- inside

    def _renew(self) -> None:
        self._clock += 1
        self._due = True

    def _receive_own(self, entry: AwarenessEntry) -> None:
        """The server may raise our clock; nobody but ourselves takes our state away."""
        self._clock = max(self._clock, entry.clock)
        if entry.state == NULL and self._state != NULL and entry.clock >= self._clock:
            self._renew()
            self._wake()

    def _receive(self, entry: AwarenessEntry, now: float) -> None:
        clock = self._shown[entry.client][0] if entry.client in self._shown else -1
        if entry.state == NULL:
            if entry.clock >= clock:
                self._shown.pop(entry.client, None)
        elif entry.clock > clock:
            self._shown[entry.client] = (entry.clock, now, _parse(entry.state))


def _parse(state: str) -> Any:
    try:
        return json.loads(state)
    except ValueError:
        raise MalformedMessage("an awareness state is JSON; this one is not") from None
