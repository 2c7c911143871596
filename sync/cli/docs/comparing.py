"""``draftsync docs diff``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Annotated, Any

import typer

from persistence.store import NOWHERE, Past, Reader
from sync.cli import options, screen
from sync.cli.docs.asked import (
    Name,
    checked_name,
    complete_names,
    form_of,
    parsed,
    past,
    tell_damage,
    words,
)
from sync.cli.reading import look
from sync.core.changes import ABSENT, Change, difference
from sync.core.errors import NativeFailure
from sync.forms.definition import FormDefinition
from sync.inspection.labels import label, labelled
from sync.inspection.state import State, state
from sync.server.deep_stack import run_deep

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 4_000  # of two texts together that are compared word by word

Found = tuple[Past, Past, FormDefinition | None]


def diff(
    name: Name,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="POSITION|TIME", help="What it was then; 0: nothing."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="POSITION|TIME", help="What it was then [default: now]."),
    ] = None,
    other: Annotated[
        str | None,
        typer.Option("--with", help="Another document.", autocompletion=complete_names),
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Compare a document with what it was, or with another one.

    With --with, --from is of the first and --to of the other one.

    For example: draftsync docs diff drafts/refunds-7/42 --from 2026-03-01T12:00

    Or: draftsync docs diff drafts/refunds-7/42 --with drafts/refunds-8/42
    """
    if from_ is None and other is None:
        options.usage_error("compared with what? --from POSITION|TIME (0: nothing), or --with NAME")
    first, second = checked_name(name), checked_name(name if other is None else other)
    began, ended = parsed(from_, "--from"), parsed(to, "--to")

    async def read(reader: Reader) -> Found:
        return (
            await past(reader, first, began, or_nothing=True),
            await past(reader, second, ended, or_nothing=True),
            await form_of(reader, first),
        )

    one, two, form = look(read, config, database)
    try:
        before, after = run_deep(lambda: (_state(one), _state(two)))
    except NativeFailure as failure:
        options.failed(f"they cannot be compared: {failure}")
    changes = difference(before.content, after.content)
    if json_output:
        screen.echo_json(_json(before, after, changes, form))
    else:
        screen.page(*_lines(before, after, changes, form))
    tell_damage(tuple(dict.fromkeys(before.damaged + after.damaged)))


def _state(past: Past) -> State:
    """Of what was not there yet, nothing."""
    if past.position == NOWHERE and past.base is None and not past.entries:
        return State(past.document, NOWHERE, past.head, {}, b"\x00\x00", b"\x00", ())
    return state(past)


def _json(
    before: State, after: State, changes: tuple[Change, ...], form: FormDefinition | None
) -> dict[str, Any]:
    return {
        "from": {"name": before.document, "position": before.position},
        "to": {"name": after.document, "position": after.position},
        "changes": [labelled(change, form) for change in changes],
    }


def _lines(
    before: State, after: State, changes: tuple[Change, ...], form: FormDefinition | None
) -> Iterator[screen.Line]:
    yield screen.line(f"--- {before.document}   position {before.position}")
    yield screen.line(f"+++ {after.document}   position {after.position}")
    if not changes:
        yield screen.line("no difference", "dim")
    for change in changes:
        yield screen.line(label(change.place, form), "bold")
        yield from _sides(change)


def _sides(change: Change) -> Iterator[screen.Line]:
    if isinstance(change.before, str) and isinstance(change.after, str):
        pieces = _word_by_word(change.before, change.after)
        if pieces is not None:
            yield (("  ", ""), *pieces)
            return
    for mark, side, style in (("-", change.before, "red"), ("+", change.after, "green")):
        if side is not ABSENT:
            yield screen.line(f"{mark} {words(side)}", style)


def _word_by_word(before: str, after: str) -> list[tuple[str, str]] | None:
    """What stays, ``[-what goes-]`` and ``{+what comes+}``; None for what has too little in common.

    Rich markup is not read, so brackets are brackets.
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    if len(old) + len(new) > _MOST_WORDS:
        return None
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < 0.3:
        return None
    pieces: list[tuple[str, str]] = []
    for what, i, j, k, m in matcher.get_opcodes():
        gone, come = ("".join(each) for each in (old[i:j], new[k:m]))
        if what == "equal":
            pieces.append((gone, ""))
            continue
        if gone:
            pieces.append((f"[-{gone}-]", "red"))
        if come:
            pieces.append((f"{{+{come}+}}", "green"))
    return pieces
