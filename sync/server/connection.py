"""One client's open document."""

from __future__ import annotations

import itertools
import math
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from auth.access import AuthError, Identity
from sync.core.errors import ProtocolError, close_reason
from sync.core.names import DocumentName
from sync.server.outbox import Outbox

if TYPE_CHECKING:
    from sync.server.resident import Resident

EXPIRED = "token-expired"
"""The close reason by which clients know to get a new token."""

SLOW_SECONDS = 0.005
SLOW_FACTOR = 4
"""A message that took longer makes its connection wait, for so many times as long."""

_ids = itertools.count((secrets.randbits(22) << 24) + 1)
"""Never those of an earlier process: the log tells edits of two connections apart by them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a connection ends: a close code of the contract, and a sentence for the client."""

    code: int
    reason: str
    held: bool = True  # the socket of who is to stay away is held a while: it may come anew at once

    @classmethod
    def of(cls, error: ProtocolError | AuthError) -> Verdict:
        return cls(error.close_code, error.reason)

    @classmethod
    def at_once(cls, error: ProtocolError | AuthError) -> Verdict:
        """For who was let in before: the socket is closed at once, and held if it comes again."""
        return cls(error.close_code, error.reason, held=False)

    @property
    def final(self) -> bool:
        """Clients do not come back after it (y-websocket from 3.1 on)."""
        return 4400 <= self.code <= 4499

    @property
    def close_reason(self) -> str:
        """The reason as it fits a close frame; of an expired token, just ``token-expired``."""
        return EXPIRED if self.reason.startswith(EXPIRED) else close_reason(self.reason)


@dataclass(frozen=True, slots=True)
class Wait:
    """An awaitable pause, in seconds; unlike a coroutine it may be dropped."""

    seconds: float

    def __await__(self) -> Generator[object, None, None]:
        pause = anyio.sleep(self.seconds) if self.seconds < math.inf else anyio.sleep_forever()
        return pause.__await__()


class Pace:
    """A message rate: sustained, with a burst (the generic cell rate algorithm)."""

    __slots__ = ("_burst_seconds", "_interval", "_next")

    def __init__(self, rate: float, burst: float) -> None:
        """``rate``: messages a second, 0 for any number; ``burst``: messages ahead of it."""
        self._interval = 1 / rate if rate else 0.0
        self._burst_seconds = burst * self._interval
        self._next = 0.0

    def delay(self, now: float, messages: int = 1) -> float:
        """Count messages; return the seconds to wait before the next is read, or 0."""
        if not self._interval:
            return 0.0
        self._next = max(self._next, now - self._burst_seconds) + self._interval * messages
        return max(0.0, self._next - now)

    def toll(self, now: float, began: float, messages: int) -> Wait | None:
        """Count messages that were taken since ``began``, of ``time.perf_counter``.

        Return what their sender is to wait: for the rate, or because they held everybody up.
        """
        delay = self.delay(now, messages)
        spent = time.perf_counter() - began
        if spent > SLOW_SECONDS * (1 + messages / 100):  # who costs much gets its share, no more
            delay = max(delay, spent * SLOW_FACTOR)
        return Wait(delay) if delay else None


@dataclass(slots=True, eq=False)
class Connection:
    """One client and one document."""

    resident: Resident
    identity: Identity
    pace: Pace
    outbox: Outbox
    stop_reading: Callable[[], None]  # called once, when there is a verdict
    id: int = field(default_factory=lambda: next(_ids))
    verdict: Verdict | None = None
    received: int = 0  # messages
    sent: int = 0  # messages
    fell_behind: int = 0  # times that what it missed was replaced by one diff
    opened_at: float = field(default_factory=time.time)  # seconds since the Unix epoch
    heard_at: float = field(default_factory=time.perf_counter)  # a message of its came
    latency: float | None = None  # seconds of the last ping and its pong; None: not known

    @property
    def document(self) -> DocumentName:
        return self.resident.document

    def note_round_trip(self, seconds: float) -> None:
        """A ping was answered: the client is there."""
        self.latency = seconds
        self.heard_at = time.perf_counter()

    def end(self, verdict: Verdict) -> None:
        """Stop reading; nothing more is queued. The first verdict stands."""
        if self.verdict is None:
            self.verdict = verdict
            self.outbox.finish()
            self.stop_reading()
