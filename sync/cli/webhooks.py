"""``draftsync webhooks``: who is sent what happens in sessions, and what could not be delivered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from persistence.store import DeadLetter, Reader, Store
from sync.cli import options, screen
from sync.cli.changing import change
from sync.cli.http import Service
from sync.cli.reading import look
from sync.core.events import iso
from sync.core.webhook import DEFAULT_KINDS
from sync.server.webhook_replay import Replay, Selection, letter_json, replayed_json

app = typer.Typer(
    help="Who is sent what happens in sessions; what could not be delivered.", no_args_is_help=True
)

PAGE = 1_000
MOST_SESSIONS = 1_000_000

Consumer = Annotated[str | None, typer.Option(help="Only of the webhook of this name.")]
Session = Annotated[str | None, typer.Option(help="Only of this session.")]
Offset = Annotated[int | None, typer.Option(min=1, help="Only this event.")]

Json = dict[str, Any]


# -- list


@dataclass(frozen=True, slots=True)
class _Backlog:
    """What one consumer is still to be given."""

    consumer: str
    configured: bool
    enlisted: bool
    sessions: int = 0
    events: int = 0
    oldest: float | None = None  # when the first of them happened
    dead_letters: int = 0

    def as_json(self) -> Json:
        return {
            "consumer": self.consumer,
            "configured": self.configured,
            "enlisted": self.enlisted,
            "sessions_behind": self.sessions,
            "events_behind": self.events,
            "oldest": None if self.oldest is None else iso(self.oldest),
            "dead_letters": self.dead_letters,
        }


@app.command("list")
def list_webhooks(
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """List the webhooks, and how far each is behind.

    Those that are configured here, and those that the database knows from before.

    For example: draftsync webhooks list --database draftsync.db
    """
    settings = options.settings(config, database=database)
    configured = {each.name: each.kinds for each in settings.all_webhooks}

    async def read(reader: Reader) -> list[_Backlog]:
        enlisted = set(await reader.consumers())
        return [
            await _backlog(reader, name, configured.get(name), enlisted=name in enlisted)
            for name in sorted(enlisted | configured.keys())
        ]

    found = look(read, config, database)
    if json_output:
        screen.echo_json([each.as_json() for each in found])
    else:
        screen.show(_list_table(found))


async def _backlog(
    reader: Reader, name: str, kinds: Sequence[str] | None, *, enlisted: bool
) -> _Backlog:
    dead = len(await reader.dead_letters(name))
    if not enlisted:
        return _Backlog(name, kinds is not None, enlisted, dead_letters=dead)
    sessions, events, oldest = 0, 0, list[float]()
    for session, cursor, _ in await reader.behind(name, MOST_SESSIONS):
        waiting = await _waiting(reader, session, cursor, kinds or DEFAULT_KINDS)
        sessions += bool(waiting)
        events += len(waiting)
        oldest += [min(waiting.values())] if waiting else []
    first = min(oldest, default=None)
    return _Backlog(name, kinds is not None, enlisted, sessions, events, first, dead)


async def _waiting(
    reader: Reader, session: str, cursor: int, kinds: Iterable[str]
) -> dict[int, float]:
    """The events of a session that are to be given: by offset, when they happened."""
    found: dict[int, float] = {}
    for kind in kinds:
        after = cursor
        while page := await reader.events(session, after, PAGE, kind):
            found |= {each.offset: each.event.time for each in page}
            after = page[-1].offset
    return found


def _list_table(found: Iterable[_Backlog]) -> object:
    numbers = ("sessions behind", "events behind", "dead letters")
    table = screen.table("webhook", "configured", *numbers, "oldest", right=numbers)
    for each in found:
        table.add_row(
            screen.safe(each.consumer),
            "yes" if each.configured else "no",
            str(each.sessions),
            str(each.events),
            str(each.dead_letters),
            _age(each),
        )
    return table


def _age(backlog: _Backlog) -> str:
    if not backlog.enlisted:
        return "not begun"
    if backlog.oldest is None:
        return screen.NOTHING
    return screen.span(max(0.0, time.time() - backlog.oldest))


# -- dead


@app.command()
def dead(
    consumer: Consumer = None,
    session: Session = None,
    offset: Offset = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """List the dead letters: events that a webhook did not take in any of its attempts.

    For example: draftsync webhooks dead --session refunds-7
    """
    selection = Selection(consumer, session, offset)

    async def read(reader: Reader) -> list[DeadLetter]:
        return await _selected(reader, selection)

    letters = look(read, config, database)
    if json_output:
        screen.echo_json([letter_json(each) for each in letters])
    else:
        screen.show(_letters_table([letter_json(each) for each in letters]))


async def _selected(reader: Reader, selection: Selection) -> list[DeadLetter]:
    letters = await reader.dead_letters(selection.consumer)
    return [each for each in letters if selection.has(each)]


def _letters_table(letters: Iterable[Json]) -> object:
    table = screen.table(
        "webhook", "session", "offset", "time", "reason", right=["offset"], whole=["time"]
    )
    for each in letters:
        who, where, why = (screen.safe(each[name]) for name in ("consumer", "session", "reason"))
        table.add_row(who, where, str(each["offset"]), each["time"], why)
    return table


# -- replay


@app.command()
def replay(
    consumer: Consumer = None,
    session: Session = None,
    offset: Offset = None,
    webhook: Annotated[
        list[str] | None, typer.Option(help="As for serve; where no service runs.")
    ] = None,
    webhook_secret: Annotated[
        str | None, typer.Option(help="As for serve (better: environment).")
    ] = None,
    url: options.Url = None,
    token: options.Token = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Send dead letters again, each once.

    Those that are taken are dead letters no more. It is done by the running service; where none
    runs on the database, and without --url, by this command, under the writer's lock.

    For example: draftsync webhooks replay --session refunds-7
    """
    given: Json = {"webhook_secret": webhook_secret} | ({"webhook": webhook} if webhook else {})
    settings = options.settings(config, database=database, url=url, token=token, **given)
    selection = Selection(consumer, session, offset)

    async def directly(store: Store) -> Json:
        from sync.server.webhook_post import open_http_post  # only who sends pays for a client

        async with open_http_post() as post:
            again = Replay(store, settings.all_webhooks, post)

            async def step() -> Json:
                return replayed_json(await again(selection))

            return await _to_the_end(step)

    async def through(service: Service) -> Json:
        wanted = asdict(selection)
        return await _to_the_end(lambda: service.post("webhooks", "replay", body=wanted))

    told = change(settings, directly, through)
    if json_output:
        screen.echo_json(told)
    else:
        _show_replayed(told)
    if told["failed"]:
        raise typer.Exit(options.FAILED)


def _show_replayed(told: Json) -> None:
    failed, left = told["failed"], told["left"]
    if failed:
        screen.show(_letters_table(failed))
    more = f", {len(failed)} failed" if failed else ""
    more += f", {left} not tried" if left else ""
    screen.say(f"{told['delivered']} delivered{more}")


async def _to_the_end(step: Callable[[], Awaitable[Json]]) -> Json:
    """Go on while all is taken: one step sends a part."""
    delivered = 0
    while True:
        told = await step()
        delivered += told["delivered"]
        if told["failed"] or not told["left"] or not told["delivered"]:
            return told | {"delivered": delivered}
