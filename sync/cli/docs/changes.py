"""What changed, on one line."""

from __future__ import annotations

from sync.cli import screen
from sync.cli.docs.asked import words
from sync.core.changes import ABSENT, Change
from sync.forms.definition import FormDefinition
from sync.inspection.labels import label

_WIDTH = 60  # characters of a value that are shown beside others
_AROUND = 16  # characters before and behind what changed in a text


def told(change: Change, form: FormDefinition | None) -> str:
    """Such as ``Accuracy · alice: 3 → 4``."""
    before, after = sides(change.before, change.after)
    return f"{label(change.place, form)}: {value(before)} → {value(after)}"


def sides(before: object, after: object) -> tuple[object, object]:
    """Two values; of two texts no more than where they differ."""
    if isinstance(before, str) and isinstance(after, str):
        return _middle(before, after)
    return before, after


def value(given: object, width: int = _WIDTH) -> str:
    """A value in few characters; a dash where there is none."""
    if given is ABSENT:
        return screen.NOTHING
    text = words(given) if given != "" else '""'
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _middle(before: str, after: str) -> tuple[str, str]:
    """Two texts without what they have in common far from where they differ."""
    start = 0
    shorter = min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return _cut(before, start, end), _cut(after, start, end)


def _cut(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _AROUND), min(len(text), len(text) - end + _AROUND)
    return f"{'…' if first else ''}{text[first:last]}{'…' if last < len(text) else ''}"
