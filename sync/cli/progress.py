"""Bars for what takes long: on a terminal's stderr, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]
"""Told how much is done, and of how much."""


@contextmanager
def bar(text: str, *, in_bytes: bool = False) -> Iterator[Report]:
    """Show how far something is until the block ends; then the bar is gone."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich import progress  # it takes a tenth of a second to import
    from rich.console import Console

    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn() if in_bytes else progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as shown:
        task = shown.add_task(text, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
