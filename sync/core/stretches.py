"""Texts, stretch by stretch: which clocks of which client wrote each."""

from __future__ import annotations

from typing import NamedTuple

from sync.core.deletions import covers, joined
from sync.core.guard import STRING
from sync.core.items import read_items, text_of
from sync.core.runs import Runs
from sync.core.sequence import Sequence, Unit


class Stretch(NamedTuple):
    """A piece of a text that one client wrote, at the clocks ``start <= clock < end``."""

    client: int
    start: int
    end: int
    text: str


def stretches(update: bytes) -> dict[str, list[Stretch]]:
    """The texts that stand in roots of a whole document, in order; what is embedded is left out.

    A clock is a UTF-16 code unit of the text. Raises MalformedMessage.
    """
    items = read_items(update)
    rows: dict[str, Sequence] = {}
    stands = Runs[Sequence | None]()
    for item in items.in_order({}):
        row = None
        for neighbour in (item.origin, item.right):
            row = row or (stands.find(neighbour) if neighbour is not None else None)
        if row is None and isinstance(item.parent, str) and item.key is None:
            row = rows.setdefault(item.parent, Sequence())
        stands.add(item.client, item.end, row)
        if row is not None:
            row.integrate(item)
    deleted = joined(items.footprint.deleted)
    found: dict[str, list[Stretch]] = {}
    for root, row in rows.items():
        units = [each for each in row if each.item.ref == STRING]
        there = [
            _stretch(update, unit)
            for unit in units
            # One is deleted as a whole: it was parted wherever a deletion began or ended.
            if not covers(deleted.get(unit.item.client, ()), unit.clock, unit.end)
        ]
        if there:
            found[root] = there
    return found


def _stretch(update: bytes, unit: Unit) -> Stretch:
    code_units = text_of(update, unit.item).encode("utf-16-le")
    part = code_units[2 * unit.skipped : 2 * (unit.skipped + unit.end - unit.clock)]
    text = part.decode("utf-16-le", "replace")
    return Stretch(unit.item.client, unit.clock, unit.end, text)
