"""One connection of the event channel, and what it is sent."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from auth.access import Identity
from sync.core.event_channel import EventChannel
from sync.core.session import Actor
from sync.server.connection import Pace, Verdict
from sync.server.event_feed import Told
from sync.server.meters import ChannelStatistics
from sync.server.outbox import Outbox
from sync.server.sessions import LiveSession

MOST_IN_FLIGHT, MOST_IN_FLIGHT_BYTES = 512, 2**20
"""Events of one connection on their way to disk, and bytes of their data, beyond which it is not
read."""

_ids = itertools.count(1)


class Chunk:
    """Events that follow each other."""

    __slots__ = ("__dict__", "events")

    def __init__(self, events: Sequence[Told]) -> None:
        self.events = events

    @cached_property
    def frames(self) -> bytes:
        """All of them as WebSocket frames: made once, for all who get them."""
        return b"".join([each.frame for each in self.events])


class EventOutbox(Outbox, Protocol):
    """An outbox of text messages; ``put`` takes one."""

    def put_events(self, chunk: Chunk, /) -> None:
        """Send events, or queue them; after ``finish``, neither."""

    @property
    def busy(self) -> bool:
        """Something is queued: :meth:`EventHub.drained` will be called."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class EventConnection:
    """One client and one session."""

    live: LiveSession
    identity: Identity
    actor: Actor
    pace: Pace
    outbox: EventOutbox
    stop_reading: Callable[[], None]  # called once, when there is a verdict
    expiry: asyncio.TimerHandle | None = None  # of its token
    id: int = field(default_factory=lambda: next(_ids))
    channel: EventChannel = field(default_factory=EventChannel)
    verdict: Verdict | None = None
    received: int = 0  # messages
    sent: int = 0  # messages
    in_flight: int = 0  # of its events, those that are not on disk
    in_flight_bytes: int = 0  # of their data
    relief: asyncio.Event | None = None  # set when that has become less, for who waits
    reader: asyncio.Task[None] | None = None  # reads the log for it
    opened_at: float = field(default_factory=time.time)  # seconds since the Unix epoch
    heard_at: float = field(default_factory=time.perf_counter)  # a message of its came

    @property
    def crowded(self) -> bool:
        """It is ahead of the disk as far as it may be."""
        return self.in_flight >= MOST_IN_FLIGHT or self.in_flight_bytes >= MOST_IN_FLIGHT_BYTES

    @property
    def lag(self) -> int:
        """Events that it is still to be sent."""
        return 0 if self.channel.offset is None else self.live.top - self.channel.offset

    def say(self, text: bytes) -> None:
        """Send a message."""
        self.sent += 1
        self.outbox.put(text)

    def statistics(self) -> ChannelStatistics:
        """The connection now."""
        return ChannelStatistics(
            id=self.id,
            session=self.live.id,
            subject=self.identity.subject,
            name=self.identity.name,
            opened_at=self.opened_at,
            heard_at=self.heard_at,
            offset=self.channel.offset,
            lag=self.lag,
            round_trip=self.channel.round_trip,
            received=self.received,
            sent=self.sent,
            in_flight=self.in_flight,
            queued_bytes=self.outbox.queued_bytes,
            resumes=self.channel.resumes,
        )
