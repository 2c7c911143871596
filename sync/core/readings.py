"""What stood in some places of a document at some points of its log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sync.core.changes import ABSENT, Place
from sync.core.chronicle import BASE
from sync.core.crdt import MAP, RootKind, plain
from sync.core.document import Document
from sync.core.errors import NativeFailure
from sync.core.guard import inspect

_ANY_NUMBER = 2**31


def readings(
    base: bytes | None,
    updates: Sequence[bytes],
    left_out: Collection[int],
    wanted: Mapping[int, Collection[Place]],
    kinds: Mapping[str, RootKind],
) -> dict[tuple[int, Place], object]:
    """Replay a log once more, and read places behind entries.

    ``wanted``: places by the index of the entry behind which they are read, BASE for before the
    first; ``left_out`` is what a replay left out. A root of its own place that is empty holds
    nothing: its value is ABSENT. What the library cannot render comes as ``{"error": …}``. Raises
    NativeFailure.
    """
    document = Document(base)
    found = {(BASE, each): _read(document, each, kinds) for each in wanted.get(BASE, ())}
    last = max(wanted, default=BASE)
    for index, update in enumerate(updates[: last + 1]):
        if index not in left_out:
            document.merge(update, inspect(update, _ANY_NUMBER))
        for place in wanted.get(index, ()):
            found[index, place] = _read(document, place, kinds)
    return found


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
