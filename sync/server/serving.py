"""The running service: a store, a hub, a listener, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from types import FrameType
from typing import Any

import anyio

from auth.access import Tickets, Verifier
from auth.revocation import Revocations, UnrevokedTickets, UnrevokedVerifier
from persistence.store import Store
from sync.server.address import bind
from sync.server.admission import Admission
from sync.server.api.application import Layer
from sync.server.deep_stack import start_deep
from sync.server.hub import open_hub
from sync.server.listener import listen, listen_for_scrapes
from sync.server.retention import Retention
from sync.server.sessions import open_sessions
from sync.server.settings import Settings
from sync.server.telemetry import logger
from sync.server.webhook_consumer import Limits
from sync.server.webhooks import open_webhooks

log = logger(__name__)

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


async def serve(
    settings: Settings,
    open_store: OpenStore,
    verifier: Verifier,
    tickets: Tickets,
    stop: asyncio.Event,
    ready: Callable[[str], Awaitable[None]],
    layers: Sequence[Layer] = (),
) -> None:
    """Serve until ``stop`` is set, then drain.

    ``ready`` is called with the service's address once it takes connections; ``layers`` are served
    beside the API. Raises what opening
    the store or binding the address raises.
    """
    bound = bind(settings.host, settings.port)
    try:
        async with open_store() as store:
            await _serve_on(bound, settings, store, verifier, tickets, stop, ready, layers)
    finally:
        bound.close()


async def _serve_on(
    bound: socket.socket,
    settings: Settings,
    store: Store,
    verifier: Verifier,
    tickets: Tickets,
    stop: asyncio.Event,
    ready: Callable[[str], Awaitable[None]],
    layers: Sequence[Layer],
) -> None:
    revocations = Revocations()
    verifier = UnrevokedVerifier(verifier, revocations)
    tickets = UnrevokedTickets(tickets, revocations)
    admission = Admission(verifier, tickets, settings.allow_origin)
    async with (
        open_hub(store, verifier, settings.hub_limits, revocations) as hub,
        open_sessions(store, hub) as sessions,
        open_webhooks(
            store, sessions.listeners, settings.all_webhooks, Limits(settings.webhook_attempts)
        ) as webhooks,
        listen(hub, sessions, webhooks, admission, bound, settings, layers) as listener,
        listen_for_scrapes(listener.metrics, settings.metrics_address),
    ):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.monitor.run)
            tasks.start_soon(Retention(store, settings.keep, sessions.truncated).run)
            log.info("serving", database=settings.database, durability=settings.durability)
            await ready(_address(bound, tls=settings.tls_cert is not None))
            await stop.wait()
            listener.stop_accepting()
            hub.take_no_more()
            tasks.cancel_scope.cancel()
        log.info("draining")
        await sessions.drain()
        await hub.drain()
    log.info("stopped")


def _address(bound: socket.socket, *, tls: bool) -> str:
    host, port = bound.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{host}:{port}"


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]], settings: Settings) -> int:
    """Run a service in a thread with a deep stack until SIGTERM or SIGINT; return its exit code.

    ``main`` gets an event that is set at the first signal. When it has not ended within
    ``drain_seconds``, or at a second signal, the process is to be ended all the same: what was
    acknowledged is on disk.
    """
    _limit_memory(settings.memory_limit)
    gc.freeze()  # what was imported stays: looking at it again would hold the loop for 50 ms
    gc.enable()
    sys.setswitchinterval(SWITCH_SECONDS)
    code: list[int] = []
    finished = threading.Event()
    stop_requested = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def body() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        if stop_requested.is_set():
            stop.set()
        code.append(await main(stop))

    def thread() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(body())
        finally:
            finished.set()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop_requested.is_set():
            finished.set()
        stop_requested.set()
        for loop, stop in loops:
            loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    start_deep(thread, "draftsync")
    while not finished.wait(0.2) and not stop_requested.is_set():
        pass
    finished.wait(settings.drain_seconds)
    return code[0] if code else 1


SWITCH_SECONDS = 0.000_1
"""After so long the event loop lets the thread that writes to disk have the interpreter.

Measured with a saturated loop: at the usual 5 ms the writer gets no turn for seconds, since the
loop's turns are shorter and each begins its wait anew; at 0.1 ms and below it never starves.
"""


def _limit_memory(limit: int) -> None:
    """Bound the address space, so that a runaway allocation fails instead of the machine."""
    if limit:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
