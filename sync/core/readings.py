"""What stood in some places of a document at some points of its log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sync.core.changes import ABSENT, Place
from sync.core.chronicle import BASE
from sync.core.crdt import MAP, RootKind, plain
from sync.core.document import Document
from sync.core.errors import NativeFailure
from sync.core.footprint import Footprint


@dataclass(frozen=True, slots=True)
class Readings:
    """The values that stood in places behind entries, by their indexes; and the whole document."""

    values: Mapping[tuple[int, Place], object]
    document: Document


def readings(
    base: bytes | None,
    entries: Iterable[tuple[int, bytes, Footprint]],
    wanted: Mapping[int, Collection[Place]],
    kinds: Mapping[str, RootKind],
) -> Readings:
    """Replay a log, and read places behind entries.

    ``entries``: those that can be applied, with their indexes. ``wanted``: places by the index of
    the entry behind which they are read, BASE for before the first. A root of its own place that is
    empty holds nothing: its value is ABSENT. What the library cannot render comes as
    ``{"error": …}``. Raises NativeFailure.
    """
    document = Document(base)
    found: dict[tuple[int, Place], object] = {}

    def read(index: int) -> None:
        for place in wanted.get(index, ()):
            found[index, place] = _read(document, place, kinds)

    read(BASE)
    for index, update, footprint in entries:
        document.merge(update, footprint)
        read(index)
    return Readings(found, document)


def _read(document: Document, place: Place, kinds: Mapping[str, RootKind]) -> object:
    kind = kinds.get(place.root)
    if kind is None or (place.key is None) is (kind is MAP):
        return ABSENT
    try:
        if place.key is None:
            return plain(document.root(place.root, kind)) or ABSENT
        there, value = document.value(place.root, place.key)
        return plain(value) if there else ABSENT
    except (NativeFailure, RecursionError) as failure:
        return {"error": f"this value cannot be rendered: {failure}"}
