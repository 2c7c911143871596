"""Bars for what takes long: on a terminal's stderr, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

Report = Callable[[int, int], None]
"""Told how much is done, and of how much."""


@contextmanager
def bar(text: str, *, in_bytes: bool = False) -> Iterator[Report]:
    """Show how far something is until the block ends; then the bar is gone."""
    count: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with shown:
        task = shown.add_task(text, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
