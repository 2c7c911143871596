"""A terminal that does nothing which a text from outside tells it to."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sync.cli.screen import harmless


class SafeConsole(Console):
    """Whatever is printed, of its text only the ends of lines act; Rich's own controls do, too."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for each in super().render(renderable, options):
            yield each if each.control else Segment(harmless(each.text), each.style)
