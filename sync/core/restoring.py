"""Bringing back what a document once held, by ordinary edits.

Nothing is reset: a restoration is one update like any other, made by a client id of its own, and
merges with what others write meanwhile. It touches only what differs, so that what others write
elsewhere in the same text or map stays.
"""

from __future__ import annotations

import json
import secrets
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from sync.core.content import content, root_kinds
from sync.core.crdt import (
    Array,
    Doc,
    Map,
    RootKind,
    Text,
    XmlElement,
    XmlFragment,
    XmlText,
    plain,
    written,
)
from sync.core.guard import inspect
from sync.core.yprotocol import EMPTY_UPDATE

_MOST_DIFFERING = 2_000
"""Elements that go or come where two rows are compared, which takes the square of their number; of
more, all between the equal ends of the rows is replaced."""

_SHARED = (Map, Array, Text, XmlElement, XmlFragment, XmlText)

Splice = tuple[int, int, int, int]  # these of one row (start, end) give way to those of another


def restoration(current: bytes, wanted: bytes) -> bytes | None:
    """The update that makes the content of one document equal to that of another.

    Both are whole documents, as :meth:`Replica.encode` tells them. All that the update stands on is
    in ``current``. None where their contents do not differ. Call it on a deep stack. Raises
    NativeFailure.
    """
    kinds = _kinds(current, wanted)
    fresh = _fresh_client(current, wanted)

    def write(target: Doc[Any], source: Doc[Any]) -> None:
        for name, kind in kinds.items():
            _rewrite(target.get(name, type=kind), source.get(name, type=kind))

    update = written(current, wanted, fresh, write)
    return None if update == EMPTY_UPDATE else update


def _kinds(current: bytes, wanted: bytes) -> dict[str, RootKind]:
    """The roots of both; one that was emptied does not tell any more what kind it was."""
    held = content(wanted)
    now, then = root_kinds(current), root_kinds(wanted)
    return {
        name: then[name] if held.get(name) or name not in now else now[name]
        for name in sorted(now.keys() | then.keys())
    }


def _fresh_client(*documents: bytes) -> int:
    """A client id that none of the documents has seen, of the 32 bits that Yjs draws from."""
    known = set[int]().union(*(inspect(each, 2**31).writes for each in documents))
    while (client := secrets.randbits(32)) in known:
        pass  # pragma: no cover - one in four thousand million
    return client


# -- types


def _rewrite(target: Any, source: Any) -> None:
    """Make one shared type hold what another of the same class holds."""
    match target:
        case Map():
            _rewrite_map(target, source)
        case Array():
            _rewrite_array(target, source)
        case Text():
            _rewrite_text(target, source)
        case XmlText():
            _rewrite_attributes(target, source)
            _rewrite_text(target, source)
        case XmlElement():
            _rewrite_attributes(target, source)
            _rewrite_children(target, source)
        case XmlFragment():
            _rewrite_children(target, source)


def _rewrite_map(target: Map[Any], source: Map[Any]) -> None:
    for key in sorted(set(target.keys()) - set(source.keys())):
        del target[key]
    for key in sorted(source.keys()):
        value = source[key]
        if key in target:
            standing = target[key]
            if _alike(standing, value):
                _rewrite(standing, value)
                continue
            if _equal(standing, value):
                continue
        target[key] = _empty(value)
        _rewrite(target[key], value)


def _rewrite_array(target: Array[Any], source: Array[Any]) -> None:
    old, new = list(target), list(source)
    for start, end, first, last in _splices([_key(x) for x in old], [_key(x) for x in new]):
        if end - start == last - first and all(map(_alike, old[start:end], new[first:last])):
            for standing, value in zip(old[start:end], new[first:last], strict=True):
                _rewrite(standing, value)
            continue
        if start < end:
            del target[start:end]
        for offset, value in enumerate(new[first:last]):
            target.insert(start + offset, _empty(value))
            _rewrite(target[start + offset], value)


def _rewrite_children(target: Any, source: Any) -> None:
    old, new = list(target.children), list(source.children)
    for start, end, first, last in _splices([_key(x) for x in old], [_key(x) for x in new]):
        if end - start == last - first and all(map(_alike, old[start:end], new[first:last])):
            for standing, value in zip(old[start:end], new[first:last], strict=True):
                _rewrite(standing, value)
            continue
        if start < end:
            del target.children[start:end]
        for offset, value in enumerate(new[first:last]):
            _rewrite(target.children.insert(start + offset, _empty(value)), value)


def _rewrite_attributes(target: Any, source: Any) -> None:
    old, new = dict(target.attributes), dict(source.attributes)
    for name in sorted(old.keys() - new.keys()):
        del target.attributes[name]
    for name in sorted(new):
        if name not in old or not _equal(old[name], new[name]):
            target.attributes[name] = new[name]


# -- texts


class _Row:
    """A text as single characters and embedded things, each with its marks."""

    def __init__(self, text: Any) -> None:
        self.pieces: list[Any] = []
        self.marks: list[dict[str, Any]] = []
        for piece, marks in text.diff():
            pieces = list(piece) if isinstance(piece, str) else [piece]
            self.pieces += pieces
            self.marks += [marks or {}] * len(pieces)
        self.keys = [piece if isinstance(piece, str) else _key(piece) for piece in self.pieces]
        # Where each begins, and the last one ends, as the library counts.
        self.places = [0, *accumulate(map(_size, self.pieces))]

    def runs(self, start: int, end: int) -> Iterator[tuple[Any, dict[str, Any]]]:
        """What is to be written at once: characters of the same marks, or one embed."""
        while start < end:
            piece, marks = self.pieces[start], self.marks[start]
            stop = start + 1
            if isinstance(piece, str):
                while (
                    stop < end and isinstance(self.pieces[stop], str) and self.marks[stop] == marks
                ):
                    stop += 1
                piece = "".join(self.pieces[start:stop])
            yield piece, marks
            start = stop


def _rewrite_text(target: Any, source: Any) -> None:
    old, new = _Row(target), _Row(source)
    for start, end, first, last in _splices(old.keys, new.keys):
        at = old.places[start]
        if start < end:
            del target[at : old.places[end]]
        for piece, marks in new.runs(first, last):
            _write_piece(target, at, piece, marks)
            at += _size(piece)
    _rewrite_marks(target, source)


def _size(piece: Any) -> int:
    """How much of a text a piece takes, as the library counts: bytes; 1 for an embed."""
    return len(piece.encode()) if isinstance(piece, str) else 1


def _write_piece(target: Any, at: int, piece: Any, marks: dict[str, Any]) -> None:
    if isinstance(piece, str):
        target.insert(at, piece, marks)
        return
    target.insert_embed(at, _empty(piece), marks or None)
    if isinstance(piece, _SHARED):
        position = 0
        for embedded, _ in target.diff():
            if position == at and not isinstance(embedded, str):
                _rewrite(embedded, piece)
                return
            position += _size(embedded)


def _rewrite_marks(target: Any, source: Any) -> None:
    """Format what is written otherwise; the two hold the same characters now."""
    old, new = _Row(target), _Row(source)
    if old.marks == new.marks or len(old.marks) != len(new.marks):
        return
    start = 0
    while start < len(new.marks):
        change = _mark_change(old.marks[start], new.marks[start])
        stop = start + 1
        while stop < len(new.marks) and _mark_change(old.marks[stop], new.marks[stop]) == change:
            stop += 1
        if change:
            target.format(new.places[start], new.places[stop], change)
        start = stop


def _mark_change(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    gone: dict[str, Any] = {name: None for name in old if name not in new}
    return gone | {name: value for name, value in new.items() if old.get(name) != value}


# -- what differs


def _splices(old: Sequence[str], new: Sequence[str]) -> list[Splice]:
    """Where two rows differ, the last first: so each one's places stay right until it is done."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end, last = len(old), len(new)
    while end > start and last > start and old[end - 1] == new[last - 1]:
        end, last = end - 1, last - 1
    if start == end and start == last:
        return []
    rows = _compared(old[start:end], new[start:last])
    if rows is None:
        return [(start, end, start, last)]
    found = _walked_back(rows, end - start, last - start)
    return [(start + a, start + b, start + c, start + d) for a, b, c, d in found]


def _compared(old: Sequence[str], new: Sequence[str]) -> list[array[int]] | None:
    """How far into ``old`` one comes on each diagonal with 0, 1, 2, … elements that go or come.

    Until one is at the end of both; None where that takes too many. Source: E. Myers, "An O(ND)
    difference algorithm and its variations", 1986.
    """
    rows = [array("l", [0])]
    for count in range(_MOST_DIFFERING + 1):
        before, row = rows[-1], array("l", bytes(8 * (count + 1)))
        for index in range(count + 1):
            at = before[index] if _comes(before, index) else before[index - 1] + 1
            other = at - 2 * index + count
            while at < len(old) and other < len(new) and old[at] == new[other]:
                at, other = at + 1, other + 1
            row[index] = at
            if at >= len(old) and other >= len(new):
                return rows
        rows.append(row)
    return None


def _comes(before: array[int], index: int) -> bool:
    """The way to a diagonal by an element of the new row that comes leads further."""
    return index == 0 or (index < len(before) and before[index - 1] < before[index])


def _walked_back(rows: list[array[int]], old: int, new: int) -> Iterator[Splice]:
    """The splices on the way that :func:`_compared` found, from the ends of both rows."""
    splice: Splice | None = None
    for count in range(len(rows) - 1, 0, -1):
        before, index = rows[count], (old - new + count) // 2
        comes = _comes(before, index)
        at = before[index] if comes else before[index - 1]
        other = at - (old - new) + (-1 if comes else 1)
        end, last = (at, other + 1) if comes else (at + 1, other)
        if splice is not None and (end, last) == (old, new):
            splice = (at, splice[1], other, splice[3])
        else:
            if splice is not None:
                yield splice
            splice = (at, end, other, last)
        old, new = at, other
    if splice is not None:
        yield splice


def _alike(old: object, new: object) -> bool:
    """One can be rewritten into the other."""
    if isinstance(old, XmlElement) and isinstance(new, XmlElement):
        return old.tag == new.tag
    return isinstance(old, _SHARED) and type(old) is type(new)


def _equal(old: object, new: object) -> bool:
    return _key(old) == _key(new)


def _key(value: object) -> str:
    """A text that two values have in common only where they need no change."""
    if isinstance(value, Doc):
        return f"document {value.guid}"
    if isinstance(value, bytes | bytearray):
        return f"bytes {value.hex()}"
    if isinstance(value, _SHARED):
        return f"{type(value).__name__} {_told(value)}"
    return f"value {json.dumps(plain(value), sort_keys=True)}"


def _told(value: Any) -> str:
    """All that a shared type holds."""
    match value:
        case Map():
            return json.dumps({key: _key(value[key]) for key in sorted(value.keys())})
        case Array():
            return json.dumps([_key(item) for item in value])
        case Text():
            return _told_text(value)
        case XmlText():
            return _told_attributes(value) + _told_text(value)
        case XmlElement():
            inside = [_key(child) for child in value.children]
            return json.dumps([value.tag, _told_attributes(value), inside])
        case _:
            return json.dumps([_key(child) for child in value.children])


def _told_text(text: Any) -> str:
    return json.dumps([[_key(piece), _key(marks)] for piece, marks in text.diff()])


def _told_attributes(node: Any) -> str:
    return json.dumps({name: _key(value) for name, value in sorted(dict(node.attributes).items())})


def _empty(value: Any) -> Any:
    """What is to be put where a value shall stand: itself, or an empty type to be filled."""
    match value:
        case Map():
            return Map({})
        case Array():
            return Array([])
        case Text():
            return Text("")
        case XmlElement():
            return XmlElement(value.tag)
        case XmlText():
            return XmlText("")
        case XmlFragment():
            return XmlFragment([])
        case Doc():
            return Doc(guid=value.guid)
        case _:
            return _writable(value)


def _writable(value: Any) -> Any:
    """A value as the library takes it: it gives out bytes as what it does not take."""
    match value:
        case bytearray() | memoryview():
            return bytes(value)
        case dict():
            return {key: _writable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_writable(inner) for inner in value]
        case _:
            return value
