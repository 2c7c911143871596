"""``draftsync docs show``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from persistence.store import Past, Reader
from sync.cli import options, screen
from sync.cli.docs.asked import (
    At,
    Name,
    checked_name,
    form_of,
    newest,
    parsed,
    past,
    tell_damage,
    words,
)
from sync.cli.reading import look
from sync.core.content import root_kinds
from sync.core.errors import NativeFailure
from sync.forms.definition import FormDefinition
from sync.forms.draft import DraftView, view
from sync.inspection.state import State, state
from sync.server.deep_stack import run_deep

Found = tuple[str, Past, FormDefinition | None]


def show(
    name: Name,
    at: At = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The types of the roots, and their values as JSON.")
    ] = False,
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Show what a document holds, or held.

    A draft of a session is shown by the questions of its form.

    For example: draftsync docs show drafts/refunds-7/42 --at 2026-03-01T12:00
    """
    document, point = checked_name(name), parsed(at)

    async def read(reader: Reader) -> Found:
        found = await (newest(reader, document) if point is None else past(reader, document, point))
        return reader.epoch, found, await form_of(reader, document)

    epoch, found, form = look(read, config, database)
    try:
        held = run_deep(lambda: state(found))
    except NativeFailure as failure:
        options.failed(f"the document {name!r} cannot be read: {failure}")
    kinds = run_deep(lambda: _kinds(held)) if raw else {}
    draft = view(form, held.content) if form is not None and not raw else None
    if json_output:
        screen.echo_json(_json(held, epoch, found, draft, kinds))
    else:
        screen.page(*_heading(held, found), *(_raw(held, kinds) if raw else _view(held, draft)))
    tell_damage(held.damaged)


def _kinds(held: State) -> dict[str, str]:
    """The types of the roots: array, map, text, xmlfragment."""
    return {name: kind.__name__.lower() for name, kind in root_kinds(held.update).items()}


def _json(
    held: State, epoch: str, found: Past, draft: DraftView | None, kinds: dict[str, str]
) -> dict[str, Any]:
    told = held.to_json() | {"epoch": epoch}
    if kinds:
        told["types"] = kinds
    if draft is not None:
        told["form"] = draft.to_json()
    if found.deleted is not None:
        told["deleted"] = True
    return told


def _heading(held: State, found: Past) -> Iterator[screen.Line]:
    where = f"position {held.position}"
    where += f" of {held.head}" if held.position != held.head else ""
    told = f"{held.document}   {where}, {len(held.update):,} bytes"
    yield screen.line(told, "bold")
    if found.deleted is not None:
        by, when = found.deleted.by, screen.second(found.deleted.at)
        told = f"deleted by {by}, {when}: `draftsync docs restore` brings it back"
        yield screen.line(told, "bold red")


def _raw(held: State, kinds: dict[str, str]) -> Iterator[screen.Grid]:
    grid = screen.Grid("root", "type", "value", whole=("type",))
    for root, value in held.content.items():
        grid.add(root, kinds.get(root, ""), words([value])[1:-1])
    yield grid


def _view(held: State, draft: DraftView | None) -> Iterator[screen.Grid | screen.Line]:
    if draft is None:
        yield _values(held)
        return
    yield screen.line(draft.definition.title, "bold")
    yield _answers(draft)
    yield _progress(draft)
    if draft.issues:
        yield _issues(draft)
    if draft.more_issues:
        yield screen.line("… and more that does not fit", "dim")


def _values(held: State) -> screen.Grid:
    grid = screen.Grid("field", "value")
    for root, value in held.content.items():
        if isinstance(value, dict) and value:
            for key, item in value.items():
                grid.add(f"{root}.{key}", words(item))
        else:
            grid.add(root, words(value))
    return grid


def _answers(draft: DraftView) -> screen.Grid:
    """Question by question: everybody's answer, each one's own, and what is noted."""
    grid = screen.Grid("question", "whose", "answer")
    for question in draft.definition.questions:
        if question.id in draft.shared:
            grid.add(question.label, "all", words(draft.shared[question.id]))
        for each in draft.evaluators:
            if question.id in each.answers:
                grid.add(question.label, each.subject, words(each.answers[question.id]))
        if question.id in draft.comments:
            whose = "all" if question.word == "text" else "note"
            grid.add(question.label, whose, draft.comments[question.id])
    return grid


def _progress(draft: DraftView) -> screen.Grid:
    grid = screen.Grid("evaluator", "filled", "required", "optional", right=("filled",))
    for each in draft.evaluators:
        made = each.progress
        grid.add(
            each.subject,
            screen.percent(made.share),
            f"{made.answered} of {made.required}",
            str(made.optional_answered),
        )
    return grid


def _issues(draft: DraftView) -> screen.Grid:
    grid = screen.Grid("does not fit", "whose", "what was expected")
    for issue in draft.issues:
        grid.add(issue.question, issue.subject or "all", issue.message)
    return grid
