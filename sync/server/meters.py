"""What the delivery of events has come to: of the whole service, and of every open connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sync.server.histogram import Histogram


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One connection of the event channel at one moment. Times are seconds, sizes bytes."""

    id: int
    session: str
    subject: str
    name: str  # of theirs
    opened_at: float  # since the Unix epoch
    heard_at: float  # of time.perf_counter: a message of its came
    offset: int | None  # of the last event that it was sent; None: it has not subscribed
    lag: int  # events that it is still to be sent
    round_trip: float | None  # of the last ping and its pong; None: not known
    received: int  # messages
    sent: int  # messages
    in_flight: int  # of its events, those that are not on disk
    queued_bytes: int  # that its socket did not take yet
    resumes: int  # how often it went on where it had been
    streaming: bool = False  # it only listens, over HTTP, and says nothing: not even that it lives

    @classmethod
    def of_stream(
        cls, number: int, session: str, subject: str, name: str, opened_at: float, since: float
    ) -> ChannelStatistics:
        """A stream of events over HTTP; ``since``: of time.perf_counter."""
        return cls(
            id=number,
            session=session,
            subject=subject,
            name=name,
            opened_at=opened_at,
            heard_at=since,
            offset=None,
            lag=0,
            round_trip=None,
            received=0,
            sent=0,
            in_flight=0,
            queued_bytes=0,
            resumes=0,
            streaming=True,
        )


@dataclass(slots=True)
class Meters:
    """Counters since the start. Whoever gives events to subscribers counts here."""

    published: int = 0  # events on disk, those of the server's own included
    delivered: int = 0  # events given to a subscriber's socket, once for each subscriber
    undelivered: int = 0  # that subscribers were still to be sent when they went
    resumed: int = 0  # subscriptions that went on at a place in the log
    unrecovered: int = 0  # those of them that could not
    opened: int = 0  # connections
    closed: int = 0
    endings: Counter[int] = field(default_factory=Counter)
    """The same by close code; 0: the client went."""
    refused: Counter[int] = field(default_factory=Counter)
    """Connections that were not opened, by close code."""
    latency: Histogram = field(default_factory=Histogram)
    """From the commit of an event until it was given to a socket; of those read from the log later,
    nothing."""
    round_trips: Histogram = field(default_factory=Histogram)
    """Between our pings and their pongs, of all connections."""

    def deliver(self, events: int, waited: float | None) -> None:
        """Events were given to a subscriber; the first of them has waited so many seconds."""
        self.delivered += events
        if waited is not None:
            self.latency.observe(waited, events)

    @property
    def success(self) -> float:
        """The share of events that subscribers got before they went; 1 where there were none."""
        due = self.delivered + self.undelivered
        return self.delivered / due if due else 1.0


def by_session(connections: Iterable[ChannelStatistics]) -> dict[str, list[ChannelStatistics]]:
    """The connections of each session."""
    found: dict[str, list[ChannelStatistics]] = {}
    for each in connections:
        found.setdefault(each.session, []).append(each)
    return found
