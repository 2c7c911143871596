"""How commands print: to a terminal as it is wide, to a pipe without colours or cuts."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:  # it takes a tenth of a second to import, and a pipe needs none of it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_ANY_WIDTH = 1_000_000

NOTHING = "–"

_ACTS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal does instead of showing it: controls, turns of the writing direction, halves."""


def say(text: str) -> None:
    """Print lines for people; of what is from outside nothing acts on their terminal."""
    typer.echo(harmless(text))


def warn(text: str) -> None:
    """The same to stderr."""
    typer.echo(harmless(text), err=True)


def echo_json(told: object, indent: int | None = 2) -> None:
    """Print JSON, for programs and people; with ``indent`` None it is one line."""
    typer.echo(json_text(told, indent))


def json_text(told: object, indent: int | None = 2) -> str:
    """JSON in which everything that would act on a terminal is escaped."""
    lines = json.dumps(told, indent=indent, ensure_ascii=False).split("\n")
    return "\n".join(_ACTS.sub(_escape, each) for each in lines)


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def file_text(text: str) -> bytes:
    """The text of a file that goes to stdout: as it is into a pipe, harmless on a terminal."""
    return (harmless(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text).encode()


def console() -> Console:
    """Where the output goes."""
    from sync.cli.safe_console import SafeConsole

    width = None if sys.stdout.isatty() else _ANY_WIDTH
    return SafeConsole(width=width, highlight=False, markup=False)


def show(*what: object) -> None:
    """Print several things below each other."""
    out = console()
    for each in what:
        out.print(each)


def table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """An empty table; ``right`` are columns of numbers, ``whole`` those that are never broken."""
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        number = column in right
        made.add_column(
            column,
            justify="right" if number else "left",
            no_wrap=number or column in whole,
            overflow="ellipsis" if number else "fold",
        )
    return made


def safe(text: str) -> Text:
    """A text from outside: what would move the cursor or change colours is shown, not done."""
    from rich.text import Text

    return Text(printable(text))


def printable(text: str) -> str:
    """The same without a style, for lines of our own."""
    return _ACTS.sub(lambda found: repr(found[0])[1:-1], text)


def harmless(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


class Grid:
    """Rows in columns: a table on a terminal; aligned lines, made at no expense, in a pipe.

    Cells are texts, which may be from outside: they are shown by :func:`safe`.
    """

    def __init__(self, *columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> None:
        """As for :func:`table`."""
        self.columns = columns
        self.right, self.whole = frozenset(right), frozenset(whole)
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        self.rows.append(tuple(map(printable, cells)))

    def lines(self) -> list[str]:
        """For a pipe."""
        rows = [self.columns, *self.rows]
        widths = [max(map(_width, cells)) for cells in zip(*rows, strict=True)]
        right = [column in self.right for column in self.columns]
        return [
            " ".join(
                " " * (width - _width(cell)) + cell
                if number
                else cell + " " * (width - _width(cell))
                for cell, width, number in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in rows
        ]

    def table(self) -> Table:
        """For a terminal."""
        made = table(*self.columns, right=self.right, whole=self.whole)
        for row in self.rows:
            made.add_row(*map(safe, row))
        return made


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: ideographs take two, accents none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


Line = tuple[tuple[str, str], ...]
"""Pieces of text, each with its style; they may be from outside."""


def line(text: str, style: str = "") -> Line:
    """A line of one piece."""
    return ((text, style),)


def _shown(pieces: Line) -> Line:
    return tuple((printable(text), style) for text, style in pieces)


def _plain(pieces: Line) -> str:
    return "".join(text for text, _ in _shown(pieces))


def page(*what: Grid | Line) -> None:
    """Print things below each other, through a pager where a terminal is too low for them."""
    if not sys.stdout.isatty():
        for each in what:
            lines = each.lines() if isinstance(each, Grid) else [_plain(each)]
            sys.stdout.write("".join(f"{line}\n" for line in lines))
        return
    from rich.text import Text

    out = console()
    height = sum(len(each.rows) + 1 if isinstance(each, Grid) else 1 for each in what)
    long = height >= out.height and sys.stdin.isatty()
    with out.pager(styles=True) if long and _has_colours() else nullcontext():
        for each in what:
            out.print(each.table() if isinstance(each, Grid) else Text.assemble(*_shown(each)))


def print_line(pieces: Line) -> None:
    """Print a line now, whatever comes behind it."""
    if sys.stdout.isatty():
        page(pieces)
    else:
        sys.stdout.write(_plain(pieces) + "\n")
        sys.stdout.flush()


def _has_colours() -> bool:
    """Whether the pager can be trusted with colours: less is, when it is told to."""
    os.environ.setdefault("LESS", "-R")
    return os.environ.get("TERM", "dumb") not in ("", "dumb")


def heading(text: str, aside: str = "") -> Text:
    from rich.text import Text

    return Text.assemble((text, "bold"), (f"   {aside}" if aside else "", "dim"))


def minute(seconds: float | None) -> str:
    """A time in UTC, to the minute; the year is told elsewhere."""
    return NOTHING if seconds is None else _utc(seconds).strftime("%m-%d %H:%M")


def second(seconds: float | None) -> str:
    """A time in UTC, to the second."""
    return NOTHING if seconds is None else _utc(seconds).strftime("%Y-%m-%d %H:%M:%S")


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def span(seconds: float) -> str:
    """How long something took: two units at most."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h"


def pairs(data: Mapping[str, Any]) -> str:
    """JSON on one line, with less noise."""
    return "  ".join(f"{key}={_value(value)}" for key, value in data.items())


def _value(value: object) -> str:
    if isinstance(value, str):
        return printable(value)
    return printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def percent(share: float | None) -> str:
    """A share; never 100% of what is not whole, nor 0% of what is begun."""
    if share is None:
        return NOTHING
    if 0 < share < 1:
        return f"{min(99, max(1, round(100 * share)))}%"
    return f"{round(100 * share)}%"
