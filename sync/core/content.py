"""Reading a document's content without knowing its schema.

Root types have names on the wire, but no kind: a client decides that ``answers`` is a map when it
asks for one. What stands inside a root tells it here: keyed items make a map, text and formats a
text, XML elements an XML fragment, anything else an array.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress

from sync.core.crdt import ARRAY, MAP, TEXT, XML, Replica, RootKind, plain
from sync.core.errors import NativeFailure
from sync.core.guard import (
    DELETED,
    EMBED,
    FORMAT,
    GC,
    PARENT_SUB,
    REF,
    STRING,
    TYPE,
    XML_ELEMENT,
    XML_TEXT,
    Inspection,
)

_Id = tuple[int, int]  # client, clock


def content(update: bytes) -> dict[str, object]:
    """The content of a whole document as JSON values: a value for each root, ordered by name.

    Bytes come as base64 text. ``update`` is :meth:`Replica.encode`'s. A root that the library
    cannot render comes as ``{"error": …}``.
    """
    replica = Replica(update)
    kinds = root_kinds(update)
    return {name: _render(replica, name, kinds[name]) for name in sorted(kinds)}


def filled(update: bytes) -> dict[str, object]:
    """:func:`content`, but for roots that are empty: of which kind these are, nothing may tell."""
    return {name: value for name, value in content(update).items() if value}


def maps_and_texts(update: bytes, maps: Iterable[str], texts: Iterable[str]) -> dict[str, object]:
    """The content of roots whose kind is known, as Python values, in a third of the time.

    What is empty, or cannot be rendered by the library, is left out. Raises NativeFailure.
    """
    replica = Replica(update)
    named = {**dict.fromkeys(maps, MAP), **dict.fromkeys(texts, TEXT)}
    found: dict[str, object] = {}
    for name, kind in named.items():
        with suppress(NativeFailure, RecursionError):
            if value := replica.root(name, kind):
                found[name] = value
    return found


def root_kinds(update: bytes) -> dict[str, RootKind]:
    """The roots of a whole document and what kind each one's content makes it."""
    reading = _Roots(update)
    reading.run(max_clients=2**31)
    return reading.kinds()


def _render(replica: Replica, name: str, kind: RootKind) -> object:
    try:
        return plain(replica.root(name, kind))
    except (NativeFailure, RecursionError) as failure:
        return {"error": f"this root cannot be rendered: {failure}"}


class _Roots(Inspection):
    """A reading that notes which root every item stands in, and with what content."""

    __slots__ = ("_above", "_ends", "_found", "_pending")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._found: dict[str, RootKind | None] = {}
        self._pending: list[tuple[_Id, int]] = []  # items that name no root, with their content
        # client -> the ends of its items, and for each what tells its root: a name or another item
        self._ends: dict[int, list[int]] = {}
        self._above: dict[int, list[str | _Id | None]] = {}

    def kinds(self) -> dict[str, RootKind]:
        for above, content_ref in self._pending:
            root = self._root_of(above)
            if root is not None:
                self._note(root, content_ref, keyed=False)
        return {name: kind or ARRAY for name, kind in self._found.items()}

    def _item(self, info: int) -> int:
        length = super()._item(info)
        content_ref = info & REF
        if content_ref == TYPE and XML_ELEMENT <= self.kind <= XML_TEXT:
            content_ref = _XML_CHILD
        above = self._stands_in()
        self._ends.setdefault(self.client, []).append(self.clock + length)
        self._above.setdefault(self.client, []).append(above)
        if isinstance(above, str):
            self._note(above, content_ref, keyed=self.key is not None)
        elif above is not None and not info & PARENT_SUB:
            self._pending.append((above, content_ref))
        return length

    def _stands_in(self) -> str | _Id | None:
        """What tells the root of the item just read: a name, or the item next to it.

        An item with neighbours stands in the same type as they. One whose parent is an item stands
        inside that, and so not directly in a root.
        """
        if isinstance(self.parent, bytes):
            return self.parent.decode()
        return self.origin or self.right

    def _note(self, root: str, content_ref: int, *, keyed: bool) -> None:
        kind = _kind(content_ref, keyed=keyed)
        known = self._found.get(root)
        self._found[root] = _stronger(known, kind)

    def _root_of(self, item: _Id) -> str | None:
        """Go from neighbour to neighbour, each once: references may even run in a circle."""
        above: str | _Id | None = item
        passed: list[tuple[int, int]] = []
        while above is not None and not isinstance(above, str):
            client, clock = above
            index = bisect_right(self._ends.get(client, []), clock)
            if index == len(self._ends.get(client, [])):
                above = None
                break
            passed.append((client, index))
            above, self._above[client][index] = self._above[client][index], None
        for client, index in passed:
            self._above[client][index] = above
        return above


def joined_kind(
    known: RootKind | None, item_ref: int, *, keyed: bool, xml: bool
) -> RootKind | None:
    """What kind a root is that was known as one, and in which stands another item.

    None: nothing tells it yet.
    """
    return _stronger(known, _kind(_XML_CHILD if xml else item_ref, keyed=keyed))


def _kind(content_ref: int, *, keyed: bool) -> RootKind | None:
    """What kind an item makes of the root that it stands in."""
    if keyed:
        return MAP
    if content_ref in (STRING, FORMAT, EMBED):
        return TEXT
    if content_ref == _XML_CHILD:
        return XML
    return None if content_ref in (DELETED, GC) else ARRAY


def _stronger(*kinds: RootKind | None) -> RootKind | None:
    return min((kind for kind in kinds if kind), key=_RANK.index, default=None)


_XML_CHILD = -1
_RANK: list[RootKind] = [MAP, TEXT, XML, ARRAY]
