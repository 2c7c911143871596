"""What is known of a session that is watched."""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio

RECENT = 8
"""Events that are shown, and read at the beginning."""

RATE_SECONDS = 10.0
"""Over which the rate of events is measured."""

Json = dict[str, Any]


class Watched:
    """What is known of a session, as it comes."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.status: Json | None = None
        self.events: deque[Json] = deque(maxlen=RECENT)
        self.offset = 0  # of the last event that came
        self.trouble: str | None = None
        self.changed = anyio.Event()
        self._tops: deque[tuple[float, int]] = deque()

    @property
    def stopped(self) -> bool:
        """It is stopped, and everything that happened in it has come."""
        status = self.status
        return bool(
            status
            and status["state"] == "stopped"
            and not self.trouble
            and self.offset >= status["top"]
        )

    def take_status(self, status: Json, now: float) -> None:
        """``now``: seconds by any clock."""
        self.status, self.trouble = status, None
        self._tops.append((now, int(status["top"])))
        while now - self._tops[0][0] > RATE_SECONDS:
            self._tops.popleft()
        self._tell()

    def take_event(self, event: Json) -> bool:
        """Whether it is new: after a reconnection some come again."""
        if event["offset"] <= self.offset:
            return False
        self.offset = event["offset"]
        self.events.append(event)
        self._tell()
        return True

    def take_trouble(self, reason: str) -> None:
        """The service does not answer; what is known is of before."""
        self.trouble = reason
        self._tell()

    @property
    def rate(self) -> float | None:
        """Events a second of late; None at first."""
        (began, first), (now, top) = (
            (self._tops[0], self._tops[-1]) if self._tops else ((0, 0), (0, 0))
        )
        return (top - first) / (now - began) if now > began else None

    def _tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()
