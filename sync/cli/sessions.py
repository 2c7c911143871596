"""``draftsync sessions``: what sessions there are, what happened in them, and what came of them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import anyio
import typer
from rich.text import Text

from persistence.store import (
    Event,
    Head,
    Reader,
    Record,
    SessionState,
    Store,
    StoredEvent,
    StoredSession,
    StoreError,
)
from sync.cli import options, screen, watch
from sync.cli.changing import change
from sync.cli.http import Service
from sync.cli.reading import look
from sync.cli.session_tables import (
    EVENTS_HEADER,
    WIDE,
    drafts_of,
    event_line,
    list_table,
    report_view,
    session_view,
)
from sync.core.errors import UnknownSession
from sync.core.events import event_text, iso
from sync.core.report import IDLE_SECONDS, Chronicle, Filled, Report, report
from sync.core.report_formats import to_csv, to_json
from sync.core.session import Actor, Role, Session, State, Step, body, draft_prefix
from sync.server.draft_answers import DraftAnswers
from sync.server.event_feed import EventFeed
from sync.server.reports import read_chronicle, read_filled
from sync.server.session_view import session_json
from sync.server.sessions import LiveSession, revived

app = typer.Typer(
    help="Look into the sessions, follow one, report on it, and stop it.", no_args_is_help=True
)

PAGE = 1_000

FOLLOW_SECONDS = 0.25
"""Between two looks at the database for what is new."""

RECENT = 10
"""Events that are shown before those that are followed."""

SessionId = Annotated[str, typer.Argument(metavar="ID", help="The session's id.")]
Found = tuple[StoredSession, Session]


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


# -- list


@app.command("list")
def list_sessions(
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    after: Annotated[
        int, typer.Option(min=0, help="Only those behind this number (--json tells them).")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """List the sessions, in the order of their creation.

    For example: draftsync sessions list --state running --database draftsync.db
    """

    async def read(reader: Reader) -> tuple[list[Found], list[dict[str, Any]], int | None]:
        stored = await _some_sessions(reader, state, after, limit)
        found = _readable(stored)
        more = stored[-1].number if len(stored) == limit else None
        return found, [_listed(reader, *each) for each in found], more

    found, told, more = look(read, config, database)
    if json_output:
        screen.echo_json(told)
    else:
        screen.show(list_table(found, time.time()))
    if more is not None:
        screen.warn(f"these are {limit}; more, if there are: --after {more}")


async def _some_sessions(
    reader: Reader, state: State | None, after: int, limit: int
) -> list[StoredSession]:
    found: list[StoredSession] = []
    while len(found) < limit:
        page = await reader.sessions(state, after, min(PAGE, limit - len(found)))
        if not page:
            break
        found += page
        after = page[-1].number
    return found


def _readable(found: list[StoredSession]) -> list[Found]:
    """Those that can be read; the others are told to stderr."""
    readable = []
    for stored in found:
        try:
            readable.append((stored, revived(stored)))
        except StoreError as error:
            screen.warn(f"left out: {error}")
    return readable


def _listed(reader: Reader, stored: StoredSession, session: Session) -> dict[str, Any]:
    told = {"number": stored.number} | _as_told(reader, stored, session)
    del told["form"]
    return told


def _as_told(reader: Reader, stored: StoredSession, session: Session) -> dict[str, Any]:
    """A session as the HTTP API tells it."""
    feed = EventFeed(reader, stored.session, stored.top)
    acknowledged = dict(stored.acknowledged)
    live = LiveSession(
        stored.number, session, session, feed, stored.truncated, stored.updated_at, acknowledged
    )
    return session_json(live)


async def _find(reader: Reader, session: str) -> Found:
    """Raises UnknownSession, StoreError."""
    stored = await reader.session(session)
    if stored is None:
        raise UnknownSession(f"there is no session {session!r} in this database")
    return stored, revived(stored)


# -- show


@app.command()
def show(
    session: SessionId,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Show one session.

    Its state, its members, and its test cases with edits and completion.

    For example: draftsync sessions show refunds-7
    """

    async def read(reader: Reader) -> tuple[Found, list[Head], Chronicle, dict[str, Any]]:
        stored, found = await _find(reader, session)
        listed = await reader.heads(draft_prefix(session))
        heads = [head for head in listed if head.deleted is None]
        chronicle = Chronicle(found)
        await read_filled(chronicle, heads, DraftAnswers(reader))
        return (stored, found), heads, chronicle, _as_told(reader, stored, found)

    found, heads, chronicle, told = look(read, config, database)
    filled = _filled_by_case(chronicle)
    if json_output:
        told["cases"] = _cases_json(found[1], heads, filled)
        screen.echo_json(told)
    else:
        screen.show(session_view(*found, heads, filled, time.time()))
    for reason in chronicle.lacking:
        screen.warn(f"incomplete: {reason}")


def _filled_by_case(chronicle: Chronicle) -> dict[str, Filled]:
    """How far all evaluators together are with each test case."""
    parts: dict[str, list[Filled]] = {}
    for row in report(chronicle, time.time()).rows:
        if row.filled is not None:
            parts.setdefault(row.case, []).append(row.filled)
    summed = {case: Filled.sum(filled) for case, filled in parts.items()}
    return {case: filled for case, filled in summed.items() if filled is not None}


def _cases_json(
    session: Session, heads: Sequence[Head], filled: dict[str, Filled]
) -> list[dict[str, Any]]:
    return [
        {
            "id": case,
            "drafts": [head.document for head in drafts],
            "edits": sum(head.edits for head in drafts),
            "bytes": sum(head.size for head in drafts),
            "completion": round(filled[case].share, 4) if case in filled else None,
            "completed": [each.subject for each in session.completed if each.case == case],
        }
        for case, drafts in drafts_of(session, heads).items()
    ]


# -- events


@app.command()
def events(
    session: SessionId,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Only those behind this offset [default: 0; with --follow ten]."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, without --follow.")] = 100,
    kind: Annotated[
        str | None, typer.Option(help="Only this kind, or with a * at its end all that begin so.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until it is stopped.")
    ] = False,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Print a session's events.

    They are in the order of their offsets; with --json each is one line. --follow ends when the
    session is stopped, and with Ctrl-C.

    For example: draftsync sessions events refunds-7 --kind 'session.*' --follow
    """
    show_event = _event_printer(json_output)

    async def read(reader: Reader) -> int | None:
        stored, _ = await _find(reader, session)
        if follow:
            start = after if after is not None else max(0, stored.top - RECENT)
            await _follow(reader, session, start, kind, show_event)
            return None
        return await _print_some(reader, session, after or 0, limit, kind, show_event)

    with suppress(KeyboardInterrupt):
        more = look(read, config, database)
        if more is not None:
            screen.warn(f"these are {limit}; more, if there are: --after {more}")


def _event_printer(json_output: bool) -> Callable[[StoredEvent], None]:
    if json_output:
        return lambda stored: screen.echo_json(_event_json(stored), indent=None)
    out = screen.console()
    out.print(EVENTS_HEADER, no_wrap=True, overflow="ellipsis")
    return lambda stored: out.print(_event_line(stored), no_wrap=True, overflow="ellipsis")


def _event_line(stored: StoredEvent) -> Text:
    offset, (_, kind, actor, seconds, data) = stored
    return event_line(offset, iso(seconds), kind, actor, json.loads(data))


def _event_json(stored: StoredEvent) -> dict[str, Any]:
    """As the HTTP API tells it."""
    offset, (event_id, kind, actor, seconds, data) = stored
    told: dict[str, Any] = json.loads(event_text(offset, event_id, kind, actor, seconds, data))
    del told["type"]
    return told


async def _print_some(
    reader: Reader,
    session: str,
    after: int,
    limit: int,
    kind: str | None,
    show_event: Callable[[StoredEvent], None],
) -> int | None:
    """Print up to ``limit`` events; return the offset of the last one where there may be more."""
    left = limit
    while left and (page := await reader.events(session, after, min(PAGE, left), kind)):
        for each in page:
            show_event(each)
        left -= len(page)
        after = page[-1].offset
    return None if left else after


async def _follow(
    reader: Reader,
    session: str,
    after: int,
    kind: str | None,
    show_event: Callable[[StoredEvent], None],
) -> None:
    """Print events as they come to be on disk, whether their service is restarted or not."""
    while True:
        stored, found = await _find(reader, session)
        while page := await reader.events(session, after, PAGE, kind):
            for each in page:
                show_event(each)
            after = page[-1].offset
        after = max(after, stored.top)  # the others are of other kinds
        if found.state is State.STOPPED:
            return
        await anyio.sleep(FOLLOW_SECONDS)


# -- report


@app.command("report")
def report_on(
    session: SessionId,
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.TABLE,
    idle_seconds: Annotated[
        float,
        typer.Option(min=0, help="The longest pause between two edits that counts as work."),
    ] = IDLE_SECONDS,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Report on a session.

    How long it took, and who did what for which test case: edits, active time, completion.

    For example: draftsync sessions report refunds-7 --format csv > refunds-7.csv
    """

    async def read(reader: Reader) -> Report:
        chronicle = await read_chronicle(reader, session, DraftAnswers(reader))
        return report(chronicle, time.time(), idle_seconds)

    told = look(read, config, database)
    if json_output or form is Format.JSON:
        screen.echo_json(to_json(told))
    elif form is Format.CSV:
        typer.echo(screen.file_text(to_csv(told)), nl=False)  # whose lines end as they should
    else:
        out = screen.console()
        out.print(report_view(told, out.width if out.is_terminal else WIDE))


# -- watch

app.command()(watch.watch)

# -- stop


@app.command()
def stop(
    session: SessionId,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Stop a session, for good.

    Its drafts are read-only from then on. It is done by the running service, so that whoever works
    in the session is told. Where no service runs on the database, and without --url, it is written
    directly, under the writer's lock.

    For example: draftsync sessions stop refunds-7
    """
    settings = options.settings(config, database=database, url=url, token=token)

    async def through(service: Service) -> dict[str, Any]:
        told: dict[str, Any] = await service.post("sessions", session, "stop")
        return told

    told = change(settings, partial(_stop, session), through)
    if json_output:
        screen.echo_json(told)
    else:
        screen.say(f"{session} is stopped; it was active {screen.span(told['active_seconds'])}")


async def _stop(session: str, store: Store) -> dict[str, Any]:
    """The session as it is then. Raises UnknownSession, StoreError."""
    _, found = await _find(store, session)
    operator = Actor(options.OPERATOR, "Operator", Role.LEAD)
    now = time.time()
    taken = found.take(Step.STOP, operator, now)
    assert taken is not None  # noqa: S101 - only a join can be nothing
    changed, happening = taken
    data = json.dumps(dict(happening.data), separators=(",", ":"))
    event = Event(str(uuid.uuid4()), happening.kind, options.OPERATOR, now, data)
    told = SessionState(changed.epoch, str(changed.state), body(changed))
    await store.record([Record(session, event, told)])
    return _as_told(store, *await _find(store, session))
