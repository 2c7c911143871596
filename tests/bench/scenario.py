"""What a scenario is: a question with figures for an answer, and what they should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Protocol, TypeAlias

from tests.bench.edits import Author, Stream
from tests.bench.servers import Peer, Setting

FIRST_CLIENT = 0x5EED_0000
"""Yjs client ids are 32 bits wide in browsers, and so take five bytes: ours too."""

Figures: TypeAlias = Mapping[str, float]


class Better(Enum):
    MORE = "more"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: its key in :data:`Figures`, its heading with the unit, and its target.

    ``ratio`` is ours to the best peer's, ``limit`` ours alone; none means that it is only told.
    """

    key: str
    heading: str
    better: Better
    digits: int = 0
    ratio: float | None = None
    limit: float | None = None


class Scenario(Protocol):
    """A question. Its sizes are its fields, so that tests can ask it small."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def measures(self) -> tuple[Measure, ...]: ...

    @property
    def ours_only(self) -> bool: ...

    @property
    def most_rounds(self) -> int: ...

    async def run(self, peer: Peer, setting: Setting) -> Figures:
        """Start the server afresh, ask, and answer. Failed if anything is missing."""


@lru_cache(maxsize=4)
def written(seed: int, count: int) -> Stream:
    """The first author's edits: the same for every server that is asked with this seed."""
    return Author(FIRST_CLIENT, seed).write(count)
