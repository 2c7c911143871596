"""How ``draftsync demo`` looks: two evaluators' screens side by side, and the checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sync.cli.demo_sample import EVALUATORS, QUESTIONS, SUMMARY, TAGS
from sync.client import State, Status

COLOURS = {"alice": "cyan", "bob": "magenta"}
MAX_WIDTH = 110
MISSING = "·"

Content = Mapping[str, Any]


def console() -> Console:
    """The terminal as it is, up to a width that reads well; plain at 80 columns when piped."""
    found = Console(highlight=False, markup=False)
    width = min(found.width, MAX_WIDTH) if found.is_terminal else 80
    return Console(highlight=False, markup=False, width=width)


class Screens:
    """Draws the draft as each of two evaluators sees it. A line that differs has a mark."""

    def __init__(self, out: Console) -> None:
        self._box = box.ROUNDED if out.is_terminal else box.ASCII
        self._width = (out.width - 1) // 2

    def render(self, seen: Mapping[str, tuple[Content, Status]]) -> RenderableType:
        """``seen``: for each evaluator, what their document holds and how their client is."""
        shown = {evaluator: _lines(content) for evaluator, (content, _) in seen.items()}
        differs = [len(set(line)) > 1 for line in zip(*shown.values(), strict=True)]
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(
            *(
                self._panel(evaluator, lines, differs, seen[evaluator][1])
                for evaluator, lines in shown.items()
            )
        )
        return grid

    def _panel(
        self, evaluator: str, lines: list[_Line], differs: list[bool], status: Status
    ) -> RenderableType:
        colour = COLOURS[evaluator]
        form = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0))
        form.add_column("", ratio=1, no_wrap=True)
        for each in EVALUATORS:
            form.add_column(
                Text(each.title(), COLOURS[each]), justify="right", width=5, style=COLOURS[each]
            )
        for (label, *answers), differ in zip(lines[:-2], differs[:-2], strict=True):
            form.add_row(_label(label, differ), *answers)
        words = [
            Text.assemble(_label(f"{label}: ", differ), (text, "bold"))
            for (label, text), differ in zip(lines[-2:], differs[-2:], strict=True)
        ]
        return Panel(
            Group(form, "", *words),
            title=Text(f" {evaluator.title()}'s screen ", f"bold {colour}"),
            title_align="left",
            subtitle=_lamp(status),
            subtitle_align="left",
            box=self._box,
            width=self._width,
            height=14,
            border_style=colour,
        )


_Line = tuple[str, ...]


def _lines(content: Content) -> list[_Line]:
    """A line for each question, with both evaluators' answers; then the tags, then the comment."""
    ratings = content.get("ratings", {})
    lines: list[_Line] = [
        (question.label, *(_answer(ratings.get(f"{each}/{question.id}")) for each in EVALUATORS))
        for question in QUESTIONS
    ]
    tags = ", ".join(sorted(content.get(TAGS, {})))
    comment = content.get(SUMMARY)
    return [*lines, ("Tags", tags or MISSING), ("Comment", comment or MISSING)]


def _answer(value: object) -> str:
    match value:
        case None:
            return MISSING
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


def _label(label: str, differs: bool) -> Text:
    return Text.assemble(("≠ ", "bold red") if differs else "  ", label)


def _lamp(status: Status) -> Text:
    edits = f"{status.unsaved} edit{'s' * (status.unsaved != 1)}"
    match status.state:
        case State.ONLINE if status.unsaved:
            return Text(f" ● online, saving {edits} ", "green")
        case State.ONLINE:
            return Text(" ● online, all saved ", "green")
        case State.CONNECTING:
            return Text(f" ◌ connecting, {edits} unsaved ", "red")
        case _:
            return Text(f" ○ offline, {edits} unsaved ", "red")
