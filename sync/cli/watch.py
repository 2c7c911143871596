"""``draftsync sessions watch``: what goes on in a session now, as the running service tells it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress
from typing import Annotated, Protocol

import anyio
import typer
from rich.console import Console, ConsoleDimensions
from rich.live import Live

from sync.cli import options, screen
from sync.cli.http import (
    Service,
    ServiceError,
    Unreachable,
    open_service,
    service_url,
    token_source,
)
from sync.cli.watch_screen import event_text, frame, summary
from sync.cli.watched import RECENT, Json, Watched

DRAW_SECONDS = 0.25
RETRY_SECONDS = 1.0

_ANY_HEIGHT = 10_000


class View(Protocol):
    """Where it is shown."""

    def event(self, event: Json) -> None:
        """An event came."""

    def status(self, watched: Watched) -> None:
        """The status was asked for, or cannot be."""


class Lines:
    """For a pipe: a line for each event, and one when the status is another one."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._last = ""

    def event(self, event: Json) -> None:
        self._out.print(event_text(event))

    def status(self, watched: Watched) -> None:
        text = summary(watched.status, watched.trouble).plain
        if text != self._last:
            self._out.print(text)
            self._last = text


class JsonLines:
    """For programs: the same as JSON, one object on each line."""

    def __init__(self) -> None:
        self._last = ""

    def event(self, event: Json) -> None:
        screen.echo_json({"type": "event"} | event, indent=None)

    def status(self, watched: Watched) -> None:
        text = summary(watched.status, watched.trouble).plain
        if text != self._last:
            self._last = text
            told: Json = {"type": "status", "status": watched.status}
            if watched.trouble is not None:
                told = {"type": "trouble", "reason": watched.trouble}
            screen.echo_json(told, indent=None)


class Screen:
    """For a terminal: drawn anew, some times a second at most."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def event(self, event: Json) -> None:
        pass  # it is drawn with the rest

    def status(self, watched: Watched) -> None:
        self._live.update(frame(watched, self._live.console.size), refresh=True)


def watch(
    session: Annotated[str, typer.Argument(metavar="ID", help="The session's id.")],
    url: options.Url = None,
    token: options.Token = None,
    once: Annotated[bool, typer.Option("--once", help="Show what is now, and end.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two questions for the status.")
    ] = 1.0,
    config: options.Config = None,
    json_output: options.Json = False,
) -> None:
    """Watch a session live.

    Who is there, on which draft, how far they are, and what happens, as the running service tells
    it. On a terminal a table is kept up to date; a pipe gets a line for each event and each
    change. It ends when the session is stopped, and with Ctrl-C.

    For example: draftsync sessions watch refunds-7 --url http://127.0.0.1:3001
    """
    settings = options.settings(config, url=url, token=token)
    where, who = service_url(settings), token_source(settings)

    async def run() -> None:
        async with open_service(where, who) as service:
            watched = await _first(service, session)
            if once:
                _show_once(watched, json_output)
            else:
                await _watch(service, watched, interval, json_output)

    failures: list[BaseException] = []
    with suppress(KeyboardInterrupt):
        try:
            anyio.run(run)
        except* ServiceError as group:
            failures.append(_first_of(group))
    if failures:
        options.failed(str(failures[0]))


def _first_of(group: BaseExceptionGroup[ServiceError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _first(service: Service, session: str) -> Watched:
    """What is now. Raises ServiceError."""
    watched = Watched(session)
    status = await service.get("sessions", session, "status")
    after = max(0, status["top"] - RECENT)
    page = await service.get("sessions", session, "events", after=after, limit=RECENT)
    for event in page["events"]:
        watched.take_event(event)
    watched.take_status(status, time.monotonic())
    return watched


def _show_once(watched: Watched, json_output: bool) -> None:
    if json_output:
        screen.echo_json(watched.status or {}, indent=None)
    else:
        out = screen.console()
        size = ConsoleDimensions(out.width, _ANY_HEIGHT)
        out.print(frame(watched, size))


async def _watch(service: Service, watched: Watched, interval: float, json_output: bool) -> None:
    with _view(json_output) as view:
        for event in watched.events:
            view.event(event)
        view.status(watched)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_ask, service, watched, interval)
            tasks.start_soon(_listen, service, watched, view)
            while not watched.stopped:
                await watched.changed.wait()
                await anyio.sleep(DRAW_SECONDS)  # what comes meanwhile is drawn together
                view.status(watched)
            tasks.cancel_scope.cancel()


def _view(json_output: bool) -> AbstractContextManager[View]:
    out = screen.console()
    if json_output:
        return nullcontext(JsonLines())
    if not out.is_terminal:
        return nullcontext(Lines(out))
    return _on_screen(out)


@contextmanager
def _on_screen(out: Console) -> Iterator[Screen]:
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        yield Screen(live)


async def _ask(service: Service, watched: Watched, interval: float) -> None:
    """Ask for the status, now and then."""
    while True:
        await anyio.sleep(interval)
        try:
            status = await service.get("sessions", watched.session, "status")
        except Unreachable as error:
            watched.take_trouble(str(error))
        else:
            watched.take_status(status, time.monotonic())


async def _listen(service: Service, watched: Watched, view: View) -> None:
    """Have the events sent, and come back whenever the stream ends."""
    while True:
        with suppress(Unreachable):
            told = service.stream("sessions", watched.session, "events", after=watched.offset)
            async with aclosing(told):
                async for _, message in told:
                    if message["type"] == "event" and watched.take_event(message):
                        view.event(message)
        await anyio.sleep(RETRY_SECONDS)
