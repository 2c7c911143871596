"""How commands print: to a terminal as it is wide, to a pipe without colours or cuts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_ANY_WIDTH = 1_000_000

NOTHING = "–"


def console() -> Console:
    """Where the output goes."""
    width = None if sys.stdout.isatty() else _ANY_WIDTH
    return Console(width=width, highlight=False, markup=False)


def show(*what: object) -> None:
    """Print several things below each other."""
    out = console()
    for each in what:
        out.print(each)


def table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """An empty table; ``right`` are columns of numbers, ``whole`` those that are never broken."""
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
    return Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in text))


def heading(text: str, aside: str = "") -> Text:
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
    return "  ".join(f"{key}={_plain(value)}" for key, value in data.items())


def _plain(value: object) -> str:
    if isinstance(value, str):
        return safe(value).plain
    return safe(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).plain


def percent(share: float | None) -> str:
    """A share; never 100% of what is not whole, nor 0% of what is begun."""
    if share is None:
        return NOTHING
    if 0 < share < 1:
        return f"{min(99, max(1, round(100 * share)))}%"
    return f"{round(100 * share)}%"
