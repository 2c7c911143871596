"""The figures for Prometheus: series ``draftsync_*`` in the text format of its client library.

Nothing is counted here. A scrape reads what the service counts anyway. Labels have few values, and
never name a document, a session or a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from anyio import to_thread
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from sync.server.histogram import BOUNDS, Counts
from sync.server.monitoring import Figures, Monitor, resident_bytes
from sync.server.webhook_consumer import ConsumerStatistics

CONTENT_TYPE = CONTENT_TYPE_LATEST

_Labels = tuple[str, ...]


class Metrics:
    """All series of one service, in a registry of its own."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Series(self._figures))
        self._memory = 0

    def _figures(self) -> tuple[Figures, int]:
        return self._monitor.figures(), self._memory

    async def text(self) -> bytes:
        """What a scrape gets."""
        self._memory = await to_thread.run_sync(resident_bytes)
        return generate_latest(self._registry)

    async def answer(self) -> Response:
        """The same as an answer."""
        return Response(await self.text(), headers={"Content-Type": CONTENT_TYPE})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application that serves nothing else, for an address of their own."""
        if scope["type"] != "http":
            return
        found = scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}
        answer = await self.answer() if found else PlainTextResponse("see /metrics\n", 404)
        await answer(scope, receive, send)


class _Series(Collector):
    """Makes the series of what is counted."""

    def __init__(self, figures: Callable[[], tuple[Figures, int]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures, memory = self._figures()
        yield from _of_service(figures, memory)
        yield from _of_edits(figures)
        yield from _of_events(figures)
        yield from _of_connections(figures)
        yield from _of_webhooks(figures.webhooks)

    def describe(self) -> Iterable[Metric]:
        return ()


def _of_service(figures: Figures, memory: int) -> Iterator[Metric]:
    yield _gauge(
        "start_time_seconds", "When the process began, since the epoch", figures.started_at
    )
    yield _gauge("resident_memory_bytes", "Memory of the process", memory)
    yield _gauge("ready", "1 while connections are taken and edits and events saved", figures.ready)
    yield _gauges("sessions", "Sessions by state", "state", figures.sessions)
    yield _gauge("members", "People in sessions that are not stopped", figures.members)
    yield _gauge("rooms", "Documents in memory", figures.hub.rooms)
    yield _histogram("loop_lag_seconds", "How late the event loop is", figures.loop_lag)


def _of_edits(figures: Figures) -> Iterator[Metric]:
    hub = figures.hub
    yield _counter("edits_committed", "Edits on disk", hub.edits)
    yield _counter("edit_bytes_committed", "Bytes of edits on disk", hub.edit_bytes)
    yield _counter("edit_commit_failures", "Commits of edits that were tried again", hub.retries)
    yield _gauge("unsaved_bytes", "Bytes of edits on their way to disk", hub.unsaved_bytes)
    yield _histogram(
        "edit_commit_seconds", "From taking edits until they are on disk", figures.edit_latency
    )


def _of_events(figures: Figures) -> Iterator[Metric]:
    meters = figures.meters
    yield _counter("events_published", "Events on disk", figures.events)
    yield _counter("events_delivered", "Events given to subscribers", meters.delivered)
    yield _counter(
        "events_undelivered", "Events that subscribers lacked when they went", meters.undelivered
    )
    yield _counter(
        "event_commit_failures", "Commits of events that were tried again", figures.event_retries
    )
    yield _counter("event_resumes", "Subscriptions that went on in the log", meters.resumed)
    yield _counter("event_gaps", "Those that could not: the log began later", meters.unrecovered)
    yield _gauge("event_queue_depth", "Events on their way to disk", figures.events_waiting)
    yield _histogram(
        "event_commit_seconds", "From taking an event until it is on disk", figures.event_latency
    )
    yield _histogram(
        "event_delivery_seconds",
        "From the commit of an event until a subscriber's socket has it",
        figures.delivery_latency,
    )
    yield _histogram(
        "event_round_trip_seconds", "Between pings and pongs of subscribers", figures.round_trips
    )


def _of_connections(figures: Figures) -> Iterator[Metric]:
    hub, meters = figures.hub, figures.meters
    now = {"document": hub.connections, "events": figures.channels, "stream": figures.streams}
    yield _gauges("connections", "Open connections by kind", "kind", now)
    opened: dict[_Labels, int] = {("document",): hub.opened, ("events",): meters.opened}
    yield _counters("connections_opened", "Connections opened", ("kind",), opened)
    yield _counters(
        "connections_closed",
        "Connections closed, by close code of the service; 0: the client went",
        ("kind", "code"),
        _by_code(hub.closed, meters.endings),
    )
    yield _counters(
        "connections_refused",
        "Connections not opened though their token is good, by close code",
        ("kind", "code"),
        _by_code(hub.refused, meters.refused),
    )
    refused: dict[_Labels, int] = {
        (reason,): count for reason, count in figures.tokens_refused.items()
    }
    yield _counters("tokens_refused", "Tokens and tickets refused", ("reason",), refused)
    messages: dict[_Labels, int] = {("in",): hub.received, ("out",): hub.sent}
    yield _counters("document_messages", "Messages of documents", ("direction",), messages)
    yield _gauge("outbox_bytes", "Bytes waiting for slow clients", figures.queued_bytes)


def _of_webhooks(webhooks: Sequence[ConsumerStatistics]) -> Iterator[Metric]:
    """All together: their names are addresses."""
    delivered = sum(each.delivered for each in webhooks)
    failed = sum(each.failed for each in webhooks)
    dead = sum(each.dead for each in webhooks)
    waiting = sum(each.waiting for each in webhooks)
    lag = max((each.oldest_lag_seconds for each in webhooks), default=0.0)
    yield _counter("webhook_events_delivered", "Events that webhooks took", delivered)
    yield _counter("webhook_attempts_failed", "Attempts that failed", failed)
    yield _counter("webhook_dead_letters", "Events that became dead letters", dead)
    yield _gauge("webhook_sessions_waiting", "Sessions with events to be sent", waiting)
    yield _gauge("webhook_lag_seconds", "Age of the oldest event to be sent", lag)


def _by_code(documents: Mapping[int, int], events: Mapping[int, int]) -> dict[_Labels, int]:
    return {
        (kind, str(code)): count
        for kind, codes in (("document", documents), ("events", events))
        for code, count in sorted(codes.items())
    }


def _counter(name: str, about: str, value: int) -> Metric:
    return CounterMetricFamily(f"draftsync_{name}", about, value)


def _counters(
    name: str, about: str, labels: Sequence[str], values: Mapping[_Labels, int]
) -> Metric:
    family = CounterMetricFamily(f"draftsync_{name}", about, labels=labels)
    for labelled, value in values.items():
        family.add_metric(labelled, value)
    return family


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"draftsync_{name}", about, value)


def _gauges(name: str, about: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"draftsync_{name}", about, labels=[label])
    for labelled, value in values.items():
        family.add_metric([labelled], value)
    return family


def _histogram(name: str, about: str, counts: Counts) -> Metric:
    buckets, passed = [], 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts.buckets, strict=True):
        passed += count
        buckets.append((bound, passed))
    return HistogramMetricFamily(f"draftsync_{name}", about, buckets, counts.total)
