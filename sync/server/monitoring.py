"""What the whole service does: figures for those who run it.

Everything is counted where it happens, with an addition; here it is only read, sampled once a
second for rates and quantiles of late, and shown.
"""

from __future__ import annotations

import itertools
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio import to_thread

from persistence.store import Reader
from sync.core.events import iso
from sync.core.session import session_of
from sync.server.admission import Admission
from sync.server.census import Census
from sync.server.connection import Connection
from sync.server.connection_view import last_seen, milliseconds
from sync.server.histogram import Counts, Histogram, Window
from sync.server.hub import Hub, HubStatistics
from sync.server.meters import ChannelStatistics, Meters
from sync.server.retention import Keep
from sync.server.sessions import Sessions
from sync.server.status import Channels, StatusBoard
from sync.server.telemetry import logger
from sync.server.webhook_consumer import ConsumerStatistics

log = logger(__name__)

Json = dict[str, Any]

SAMPLE_SECONDS = 1.0
LAG_SECONDS = 0.25
SHORT, LONG = 10.0, 60.0
"""Of the windows that rates are told over, in seconds; quantiles are of the long one."""

POINT_SAMPLES, POINTS = 5, 60
"""A point of the recent past is kept every so many samples, and so many points: five minutes."""

_POINT = ("time", "connections", "rooms", "edits", "events", "delivery", "memory_bytes")
"""What of the service's status a point is."""

DOCUMENT, EVENTS, STREAM = "document", "events", "stream"
"""Kinds of connections, in the order in which they are listed."""

REASONS: Mapping[str, str] = {
    "TokenMissing": "missing",
    "TokenExpired": "expired",
    "TokenInvalid": "invalid",
    "TokenRevoked": "revoked",
    "KeysUnavailable": "unchecked",
}
"""Why a token was refused, by the name of the error; others count as "other"."""

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Deliveries(Channels, Protocol):
    """The event channel, and what delivery has come to in all of it."""

    @property
    def meters(self) -> Meters:
        """Counters since the start."""


class LoopLag:
    """How late the event loop gets to what is due: what holds it, everybody feels."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._recent: deque[float] = deque(maxlen=round(LONG / LAG_SECONDS))

    def note(self, seconds: float) -> None:
        """Something was so late."""
        self.histogram.observe(seconds)
        self._recent.append(seconds)

    @property
    def longest(self) -> float:
        """Seconds, within the long window."""
        return max(self._recent, default=0.0)

    async def run(self) -> None:
        """Sample it for ever."""
        while True:
            due = time.perf_counter() + LAG_SECONDS
            await anyio.sleep(LAG_SECONDS)
            self.note(max(0.0, time.perf_counter() - due))


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is counted, at one moment; since the start, where it is no state."""

    started_at: float  # seconds since the Unix epoch
    hub: HubStatistics
    meters: Meters
    events: int  # on disk
    event_retries: int  # commits of events that did not succeed
    events_waiting: int  # for the disk
    events_failing: str | None
    channels: int  # connections of the event channel
    streams: int  # of events, over HTTP
    webhooks: Sequence[ConsumerStatistics]
    sessions: Mapping[str, int]  # by state
    members: int  # of sessions that are not stopped
    refused: Mapping[str, int]  # tokens and tickets, by the name of the error
    queued_bytes: int  # for clients who read too slowly
    edit_latency: Counts
    event_latency: Counts
    delivery_latency: Counts
    round_trips: Counts
    loop_lag: Counts

    @property
    def ready(self) -> bool:
        """Connections are taken, and edits and events saved."""
        return self.state == "ready"

    @property
    def tokens_refused(self) -> Mapping[str, int]:
        """Tokens and tickets that were not taken, by the word for why; each word is there."""
        told = dict.fromkeys((*REASONS.values(), "other"), 0)
        for error, count in self.refused.items():
            told[REASONS.get(error, "other")] += count
        return told

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.hub.draining:
            return "draining"
        return "not saving" if self.hub.failing or self.events_failing else "ready"


class Monitor:
    """Watches over one service. Nothing is sampled until :meth:`run`."""

    def __init__(
        self, hub: Hub, sessions: Sessions, deliveries: Deliveries, admission: Admission
    ) -> None:
        self.board = StatusBoard(sessions.store, hub, self)
        self.lag = LoopLag()
        self.streams: Callable[[str | None], Sequence[ChannelStatistics]] = lambda _session: ()
        """The streams of events over HTTP that are open, of one session or all."""
        self.webhooks: Callable[[], Sequence[ConsumerStatistics]] = tuple
        """Each webhook as it is now."""
        self.keep = Keep()
        """How long history and events are kept."""
        self._store: Reader = sessions.store
        self._hub = hub
        self._sessions = sessions
        self._deliveries = deliveries
        self._admission = admission
        self._census = Census(hub)
        self._started_at = time.time()
        self._points: deque[Json] = deque(maxlen=POINTS)
        self._short, self._long = Window(SHORT, SAMPLE_SECONDS), Window(LONG, 5 * SAMPLE_SECONDS)
        sessions.listeners.append(self._census.note)

    async def run(self) -> None:
        """Count what is stored, and sample for ever."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._census.survey, self._store)
                tasks.start_soon(self.lag.run)
                for number in itertools.count():
                    self.sample()
                    if number % POINT_SAMPLES == 0:
                        await self.note_point()
                    await anyio.sleep(SAMPLE_SECONDS)
        except* Exception:  # a bug costs the figures of late, not the server
            log.exception("nothing is sampled any more")

    def sample(self) -> None:
        """Note what is counted now, for rates and quantiles of late."""
        now = anyio.current_time()
        for window in (self._short, self._long):
            window.add(now, self._counters(), self._histograms())

    async def note_point(self) -> None:
        """Keep what goes on now, for :meth:`recent`."""
        told = await self.status()
        self._points.append({name: told[name] for name in _POINT})

    def recent(self) -> list[Json]:
        """The last minutes, the oldest first: parts of what :meth:`status` told then."""
        return list(self._points)

    def _counters(self) -> tuple[int, ...]:
        """Of which rates are told: edits, their bytes, events, deliveries."""
        edits, events = self._hub.journal, self._sessions.journal
        delivered = self._deliveries.meters.delivered
        return edits.committed, edits.committed_bytes, events.committed, delivered

    def _histograms(self) -> tuple[Counts, ...]:
        """Of which quantiles are told: commits of edits and of events, deliveries, pings, lag."""
        meters = self._deliveries.meters
        found = (
            self._hub.journal.latency,
            self._sessions.journal.latency,
            meters.latency,
            meters.round_trips,
            self.lag.histogram,
        )
        return tuple(each.counts() for each in found)

    def figures(self) -> Figures:
        """Everything that is counted; it looks at every connection."""
        events, meters = self._sessions.journal, self._deliveries.meters
        edit_latency, event_latency, delivery_latency, round_trips, lag = self._histograms()
        return Figures(
            started_at=self._started_at,
            hub=self._hub.statistics(),
            meters=meters,
            events=events.committed,
            event_retries=events.retries,
            events_waiting=events.depth,
            events_failing=events.failing,
            channels=meters.opened - meters.closed,
            streams=len(self.streams(None)),
            webhooks=self.webhooks(),
            sessions=self._census.states(),
            members=self._census.members(),
            refused=dict(self._admission.refused),
            queued_bytes=sum([each.outbox.queued_bytes for each in self._hub.connections])
            + sum([each.queued_bytes for each in self._deliveries.statistics()]),
            edit_latency=edit_latency,
            event_latency=event_latency,
            delivery_latency=delivery_latency,
            round_trips=round_trips,
            loop_lag=lag,
        )

    def statistics(self, session: str | None = None) -> list[ChannelStatistics]:
        """Connections to the events, in whatever way, of one session or all."""
        return [*self._deliveries.statistics(session), *self.streams(session)]

    def meters_of(self, session: str) -> Meters | None:
        """The delivery of a session's events over the channel, while anybody is connected."""
        return self._deliveries.meters_of(session)

    # -- shown

    async def status(self) -> Json:
        """The service now, as JSON. Times are ISO 8601, or durations in milliseconds."""
        memory = await to_thread.run_sync(resident_bytes)
        now, figures = time.time(), self.figures()
        hub, meters = figures.hub, figures.meters
        edits, edit_bytes, events, delivered = self._rates()
        recent = self._long.recent(self._histograms())
        edit_ms, event_ms, delivery_ms, round_trip_ms, lag_ms = map(_quantiles, recent)
        return {
            "state": figures.state,
            "failing": {"edits": hub.failing, "events": figures.events_failing},
            "time": iso(now),
            "started_at": iso(figures.started_at),
            "uptime_seconds": round(now - figures.started_at, 3),
            "sessions": dict(figures.sessions),
            "members": figures.members,
            "connections": {
                "documents": hub.connections,
                "events": figures.channels,
                "streams": figures.streams,
            },
            "closed": {"documents": _coded(hub.closed), "events": _coded(meters.endings)},
            "refused": {
                "documents": _coded(hub.refused),
                "events": _coded(meters.refused),
                "tokens": dict(figures.tokens_refused),
            },
            "rooms": hub.rooms,
            "edits": {
                "committed": hub.edits,
                "per_second": edits,
                "bytes_per_second": edit_bytes,
                "commit_ms": edit_ms,
                "retries": hub.retries,
                "unsaved_bytes": hub.unsaved_bytes,
            },
            "events": {
                "committed": figures.events,
                "per_second": events,
                "commit_ms": event_ms,
                "retries": figures.event_retries,
                "queue_depth": figures.events_waiting,
            },
            "delivery": {
                "delivered": meters.delivered,
                "undelivered": meters.undelivered,
                "success": round(meters.success, 6),
                "per_second": delivered,
                "latency_ms": delivery_ms,
                "round_trip_ms": round_trip_ms,
                "resumes": meters.resumed,
                "unrecovered": meters.unrecovered,
                "queued_bytes": figures.queued_bytes,
            },
            "webhooks": [asdict(each) for each in figures.webhooks],
            "retention": {
                "history_seconds": self.keep.history,
                "events_seconds": self.keep.events,
            },
            "memory_bytes": memory,
            "loop_lag_ms": lag_ms | {"max": milliseconds(self.lag.longest)},
        }

    def _rates(self) -> Iterator[Json]:
        """Of each counter, over both windows."""
        now, counters = anyio.current_time(), self._counters()
        of_both = zip(
            self._short.rates(now, counters), self._long.rates(now, counters), strict=True
        )
        return ({"10s": round(short, 2), "60s": round(long, 2)} for short, long in of_both)

    async def dead_letters(self) -> list[Json]:
        """The events that webhooks did not take in any of their attempts, the newest first.

        Raises StoreUnavailable.
        """
        letters = await self._store.dead_letters()
        return [
            {
                "consumer": each.consumer,
                "session": each.session,
                "offset": each.offset,
                "reason": each.reason,
                "time": iso(each.time),
            }
            for each in reversed(letters)
        ]

    def connections(
        self,
        session: str | None = None,
        after: tuple[str, int] = ("", 0),
        limit: int = 1_000,
        document: str | None = None,
    ) -> tuple[list[Json], tuple[str, int] | None]:
        """Connections, of one session, to one document or all, those to documents first; and where
        to go on.

        ``after``: what was returned for the page before.
        """
        found: dict[tuple[str, int], Connection | ChannelStatistics] = {
            (DOCUMENT, each.id): each
            for each in self._hub.connections
            if session in (None, session_of(each.document)) and document in (None, each.document)
        }
        for each in self.statistics(session) if document is None else ():
            found[STREAM if each.streaming else EVENTS, each.id] = each
        page = nsmallest(limit, [place for place in found if place > after])
        told = [_connection(found[place]) for place in page]
        return told, page[-1] if len(page) == limit else None


def _connection(found: Connection | ChannelStatistics) -> Json:
    return _of_document(found) if isinstance(found, Connection) else _of_events(found)


def _of_document(connection: Connection) -> Json:
    return {
        "id": connection.id,
        "kind": DOCUMENT,
        "subject": connection.identity.subject,
        "name": connection.identity.name,
        "session": session_of(connection.document),
        "document": connection.document,
        "since": iso(connection.opened_at),
        "last_seen": last_seen(connection.heard_at),
        "round_trip_ms": milliseconds(connection.latency),
        "messages_in": connection.received,
        "messages_out": connection.sent,
        "retries": connection.fell_behind,
        "unsaved": connection.resident.room.unsaved(connection.id),
        "behind": None,
        "queued_bytes": connection.outbox.queued_bytes,
    }


def _of_events(channel: ChannelStatistics) -> Json:
    return {
        "id": channel.id,
        "kind": STREAM if channel.streaming else EVENTS,
        "subject": channel.subject,
        "name": channel.name,
        "session": channel.session,
        "document": None,
        "since": iso(channel.opened_at),
        "last_seen": last_seen(channel.heard_at),
        "round_trip_ms": milliseconds(channel.round_trip),
        "messages_in": channel.received,
        "messages_out": channel.sent,
        "retries": channel.resumes,
        "unsaved": channel.in_flight,
        "behind": channel.lag,
        "queued_bytes": channel.queued_bytes,
    }


def _coded(counts: Mapping[int, int]) -> Json:
    return {str(code): count for code, count in sorted(counts.items())}


def _quantiles(counts: Counts) -> Json:
    return {name: milliseconds(counts.quantile(share)) for name, share in _SHARES.items()}


def resident_bytes() -> int:
    """Memory of this process. It reads a file where the system has one: for a thread."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1_024
    return pages * os.sysconf("SC_PAGE_SIZE")
