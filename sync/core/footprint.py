"""What an update brings, and what it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MAX_CLIENT = 2**53
"""No client id is as high: JavaScript could not count it exactly."""


class Footprint(NamedTuple):
    """What an update brings and what it stands on. All ends are exclusive.

    ``writes`` maps a client id to ``(first, end)``: the clocks that follow its last gap. (An update
    with a Skip block stands on everything before the gap's end.) ``needs`` maps a client id to the
    clock up to which the document must hold its structs, deletions included, unless the update
    itself brings them. ``deleted`` lists the ranges it deletes: client id, first clock, end.
    """

    writes: Mapping[int, tuple[int, int]]
    needs: Mapping[int, int]
    structs: int
    deleted: tuple[tuple[int, int, int], ...]
    astral: bool  # it writes characters of two UTF-16 code units
    types: int  # how many shared types it makes

    @property
    def deletes(self) -> bool:
        """The update deletes something."""
        return bool(self.deleted)

    @property
    def empty(self) -> bool:
        """The update says nothing at all."""
        return not self.writes and not self.deleted

    def news(self, clocks: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """The clocks that a document at state vector ``clocks`` does not have yet."""
        news = {}
        for client, (first, end) in self.writes.items():
            have = clocks.get(client, 0)
            if end > have:
                news[client] = (max(have, first), end)
        return news


def missing(footprint: Footprint, clocks: Mapping[int, int]) -> dict[int, int]:
    """The causal gate: clocks that the update stands on and a document at ``clocks`` lacks.

    Maps each client id to the exclusive end of what must come first; empty when the update may be
    applied.
    """
    lacking: dict[int, int] = {}
    writes, have = footprint.writes, clocks.get
    for client, (first, _) in writes.items():
        if first > have(client, 0):
            lacking[client] = first
    for client, end in footprint.needs.items():
        held = have(client, 0)
        if end > held:
            own = writes.get(client)
            if own is None or own[0] > held or end > own[1]:
                lacking[client] = max(end, lacking.get(client, 0))
    return lacking
