"""Webhooks: what happens in sessions is sent to other services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from persistence.store import Store
from sync.core.webhook import Answer, Webhook
from sync.server.event_feed import Told
from sync.server.sessions import Listener, LiveSession
from sync.server.webhook_consumer import (
    REAL,
    USUAL,
    Consumer,
    ConsumerStatistics,
    Limits,
    Post,
    Timing,
)
from sync.server.webhook_replay import Replay


class Webhooks:
    """The consumers of a service. Made by :func:`open_webhooks`."""

    def __init__(self, consumers: Sequence[Consumer], replay: Replay) -> None:
        self.consumers = consumers
        self.replay = replay

    def take(self, _live: LiveSession, told: Told) -> None:
        """A listener of :class:`~sync.server.sessions.Sessions`."""
        for consumer in self.consumers:
            consumer.take(told)

    def statistics(self) -> list[ConsumerStatistics]:
        """Describe each consumer as it is now."""
        return [each.statistics() for each in self.consumers]


@asynccontextmanager
async def open_webhooks(
    store: Store,
    listeners: list[Listener],
    webhooks: Sequence[Webhook],
    limits: Limits = USUAL,
) -> AsyncIterator[Webhooks]:
    """Send what happens in sessions from now on, and what was not sent yet, over HTTP.

    It is one of the sessions' ``listeners`` until the block is left, which takes a second at most.
    Raises StoreUnavailable.
    """
    if not webhooks:
        yield Webhooks((), Replay(store, (), _nowhere))
        return
    from sync.server.webhook_post import open_http_post  # only who sends pays for a client

    async with (
        open_http_post() as post,
        deliver(store, listeners, webhooks, post, limits=limits) as opened,
    ):
        yield opened


async def _nowhere(_url: str, _headers: Mapping[str, str], _body: bytes) -> Answer:
    return Answer(None, "no webhook is configured")


@asynccontextmanager
async def deliver(
    store: Store,
    listeners: list[Listener],
    webhooks: Sequence[Webhook],
    post: Post,
    *,
    timing: Timing = REAL,
    limits: Limits = USUAL,
) -> AsyncIterator[Webhooks]:
    """The same by any means of sending."""
    consumers = [Consumer(store, each, post, timing, limits) for each in webhooks]
    opened = Webhooks(consumers, Replay(store, webhooks, post, timing))
    for consumer in consumers:
        await consumer.enlist()  # before anything can happen
    listeners.append(opened.take)
    try:
        async with anyio.create_task_group() as tasks:
            for consumer in consumers:
                tasks.start_soon(consumer.run)
            try:
                yield opened
            finally:
                with anyio.CancelScope(shield=True):
                    await _stop_all(consumers)
                tasks.cancel_scope.cancel()
    finally:
        listeners.remove(opened.take)


async def _stop_all(consumers: Sequence[Consumer]) -> None:
    async with anyio.create_task_group() as tasks:
        for consumer in consumers:
            tasks.start_soon(consumer.stop)
