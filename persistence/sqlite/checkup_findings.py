"""What the checkup of a database finds, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["damage", "warning", "info"]

MOST_POSITIONS = 100
"""Positions that one finding names; ``count`` tells how many there are."""

NOTHING_TO_DO = "nothing"
RESTORE = "restore it from a backup, or let whoever still has it open bring it back"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so, what it means for people, and what to do about it."""

    code: str  # what, in two words: "entry.unfit"
    severity: Severity
    text: str
    means: str
    do: str = NOTHING_TO_DO
    document: str | None = None
    session: str | None = None
    positions: tuple[int, ...] = ()  # or offsets; at most MOST_POSITIONS of them
    count: int = 1
    fixable: bool = False  # --fix does something about it

    def to_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "severity": self.severity,
            "text": self.text,
            "means": self.means,
            "do": self.do,
            "document": self.document,
            "session": self.session,
            "positions": list(self.positions),
            "count": self.count,
            "fixable": self.fixable,
        }


Tell: TypeAlias = Callable[[Finding], None]
"""Takes a finding as soon as it is found."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being looked at, how much of it is done, and of how much."""


@dataclass(slots=True)
class Numbers:
    """Positions or offsets to tell of, however many."""

    first: list[int] = field(default_factory=list)
    count: int = 0

    def add(self, number: object) -> None:
        self.count += 1
        if len(self.first) < MOST_POSITIONS and isinstance(number, int):
            self.first.append(number)

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        shown = ", ".join(map(str, sorted(self.first)[:5]))
        return shown + (f" and {self.count - 5} more" if self.count > 5 else "")

    @property
    def told(self) -> tuple[int, ...]:
        return tuple(sorted(self.first))


def some(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 edit", "3 edits"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
