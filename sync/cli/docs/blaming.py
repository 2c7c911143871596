"""``draftsync docs blame``."""

from __future__ import annotations

from collections.abc import Iterator

from persistence.store import Past, Reader
from sync.cli import options, screen
from sync.cli.docs.asked import (
    At,
    Name,
    checked_name,
    form_of,
    parsed,
    past,
    tell_damage,
)
from sync.cli.docs.changes import sides, value
from sync.cli.reading import look
from sync.core.errors import NativeFailure
from sync.forms.definition import FormDefinition
from sync.inspection.blame import Blame, Overruled, blames
from sync.inspection.labels import label
from sync.inspection.story import retell
from sync.server.deep_stack import run_deep

_UNKNOWN = "(unknown)"


def blame(
    name: Name,
    at: At = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Tell for each field who set its value, when, and from what.

    A value that lost against another one of the same time is told below it, and of a text who
    wrote which stretch.

    For example: draftsync docs blame drafts/refunds-7/42
    """
    document, point = checked_name(name), parsed(at)

    async def read(reader: Reader) -> tuple[Past, FormDefinition | None]:
        return await past(reader, document, point), await form_of(reader, document)

    found, form = look(read, config, database)
    try:
        fields, damaged = run_deep(
            lambda: retell(found, lambda story: (blames(story), story.damaged))
        )
    except NativeFailure as failure:
        options.failed(f"the document {name!r} cannot be read: {failure}")
    if json_output:
        told = [each.to_json(form) for each in fields]
        screen.echo_json({"name": document, "position": found.position, "fields": told})
    else:
        where = f"{document}   position {found.position}"
        screen.page(screen.line(where, "bold"), _grid(fields, form))
    tell_damage(damaged)


def _grid(fields: list[Blame], form: FormDefinition | None) -> screen.Grid:
    grid = screen.Grid(
        "field", "value", "was", "author", "received (UTC)", "how", whole=("received (UTC)",)
    )
    for each in fields:
        now = "(removed)" if value(each.value) == screen.NOTHING else value(each.value)
        was = value(sides(each.before, each.value)[0])
        who = each.author or _UNKNOWN
        grid.add(label(each.place, form), now, was, who, screen.second(each.time), _how(each))
        for row in _below(each):
            grid.add(*row)
    return grid


def _below(each: Blame) -> Iterator[tuple[str, ...]]:
    """What belongs to a field: the stretches of a text, and what was overruled."""
    if len(each.spans) > 1:
        for span in each.spans:
            yield "", f"│ {value(span.text)}", "", span.author or _UNKNOWN, "", ""
    for other in each.overruled:
        when = screen.second(other.time)
        yield "", f"│ {value(other.value)}", "", other.author or _UNKNOWN, when, _overruled(other)


def _overruled(other: Overruled) -> str:
    return "overruled, made offline" if other.offline else "overruled"


def _how(each: Blame) -> str:
    if each.position is None:
        return "before the history that is kept"
    told = "online"
    if each.offline:
        away = each.away_seconds
        told = "offline" if away is None else f"offline, away {screen.span(away)}"
    return told if each.introduced_by is None else f"{told}, brought by {each.introduced_by}"
