"""The items of an update, one by one: where each stands, and what it holds."""

from __future__ import annotations

import base64
import json
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sync.core.crdt import plain
from sync.core.footprint import Footprint
from sync.core.guard import (
    ANY,
    BINARY,
    DOC,
    EMBED,
    GC,
    REF,
    STRING,
    TYPE,
    XML_ELEMENT,
    XML_TEXT,
    Inspection,
)

Clock = tuple[int, int]  # client, clock

_ANY_NUMBER = 2**31


class Item(NamedTuple):
    """One struct of an update: an item, or what is left of one that was collected (``GC``).

    ``parent`` is the name of a root or the id of the item that holds a type. It is None, and so is
    ``key``, where a neighbour tells both.
    """

    client: int
    clock: int
    end: int  # exclusive
    origin: Clock | None  # the left neighbour when it was made
    right: Clock | None  # the right neighbour then
    parent: str | Clock | None
    key: str | None
    ref: int  # what kind of content it has
    at: int  # the first byte of its content

    def behind(self, clock: int) -> Item:
        """The rest of it from a clock on."""
        if clock <= self.clock:
            return self
        left = None if self.ref == GC else (self.client, clock - 1)
        return self._replace(clock=clock, origin=left, parent=None, key=None)


@dataclass(frozen=True, slots=True)
class Items:
    """An update, read."""

    update: bytes
    footprint: Footprint
    clients: Mapping[int, list[Item]]

    def in_order(self, clocks: Mapping[int, int]) -> Iterator[Item]:
        """What a document at a state vector lacks, each item behind those that it names.

        The document has all else that they name. Items that name each other in a circle are left
        out.
        """
        if len(self.clients) == 1:
            ((client, items),) = self.clients.items()
            if items[0].clock >= clocks.get(client, 0):
                return iter(items)  # as nearly all updates are
        return self._news_in_order(clocks)

    def _news_in_order(self, clocks: Mapping[int, int]) -> Iterator[Item]:
        news: dict[int, list[Item]] = {}
        for client, items in self.clients.items():
            have = clocks.get(client, 0)
            if items[-1].end > have:
                news[client] = [item.behind(have) for item in items if item.end > have]
        if len(news) > 1:
            yield from _by_turns(news)
        else:
            for items in news.values():
                yield from items


def text_of(update: bytes, item: Item) -> str:
    """The text of an item that holds a string; ``update`` is what it was read from."""
    return _Values(update, item.at).text()


def value_of(update: bytes, item: Item) -> object:
    """What an item of one clock holds, as a JSON value as near as it comes.

    A shared type is told as an empty one, because what is in it are other items. Raises ValueError
    where nothing is left of it.
    """
    return _Values(update, item.at).content(item.ref)


def is_xml(update: bytes, item: Item) -> bool:
    """An item holds an XML type."""
    return item.ref == TYPE and XML_ELEMENT <= _Values(update, item.at).uint() <= XML_TEXT


def read_items(update: bytes) -> Items:
    """Read an update that passed the guard. Raises MalformedMessage."""
    reading = _Reading(update)
    footprint = reading.run(_ANY_NUMBER)
    return Items(update, footprint, reading.clients)


def _by_turns(news: Mapping[int, list[Item]]) -> Iterator[Item]:
    """Go round the clients, from each taking what names nothing that is still to come."""
    ends = {client: items[0].clock for client, items in news.items()}
    waiting = {client: deque(items) for client, items in news.items()}
    progress = True
    while progress:
        progress = False
        for client, items in waiting.items():
            while items and _stands(items[0], ends):
                item = items.popleft()
                ends[client] = item.end
                progress = True
                yield item


def _stands(item: Item, ends: Mapping[int, int]) -> bool:
    """All items of other clients that it names came before it."""
    return not any(
        named[0] != item.client and named[1] >= ends[named[0]]
        for named in (item.origin, item.right, item.parent)
        if isinstance(named, tuple) and named[0] in ends
    )


class _Reading(Inspection):
    __slots__ = ("clients",)

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.clients: dict[int, list[Item]] = {}

    def _struct(self) -> int:
        info = self.data[self.at] if self.at < self.end else GC
        length = super()._struct()
        if info == GC:
            end = self.clock + length
            self._note(Item(self.client, self.clock, end, None, None, None, None, GC, self.at))
        return length

    def _item(self, info: int) -> int:
        length = super()._item(info)
        parent = self.parent
        self._note(
            Item(
                self.client,
                self.clock,
                self.clock + length,
                self.origin,
                self.right,
                parent.decode() if isinstance(parent, bytes) else parent,
                None if self.key is None else self.key.decode(),
                info & REF,
                self.content,
            )
        )
        return length

    def _note(self, item: Item) -> None:
        self.clients.setdefault(self.client, []).append(item)


class _Values:
    """A cursor over content that passed the guard."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def content(self, ref: int) -> object:
        if ref == ANY:
            self.uint()
            return plain(self._any())
        if ref == TYPE:
            return _EMPTY_TYPES.get(self.uint(), "")
        if ref == STRING:
            return self.text()
        if ref == BINARY:
            return base64.b64encode(self._bytes()).decode()
        if ref == EMBED:
            return plain(json.loads(self.text()))
        if ref == DOC:
            return {"subdocument": self.text()}
        raise ValueError("nothing is left of it")

    def text(self) -> str:
        return self._bytes().decode()

    def _any(self) -> object:
        tag = self._data[self._at]
        self._at += 1
        if tag in _PLAIN:
            return _PLAIN[tag]
        if tag == 119:
            return self.text()
        if tag == 125:
            return self._signed()
        if tag in _NUMBERS:
            (number,) = _NUMBERS[tag].unpack_from(self._data, self._at)
            self._at += _NUMBERS[tag].size
            return number
        if tag == 118:
            return {self.text(): self._any() for _ in range(self.uint())}
        if tag == 117:
            return [self._any() for _ in range(self.uint())]
        return self._bytes()

    def uint(self) -> int:
        value = shift = 0
        while (byte := self._data[self._at]) > 127:
            value |= (byte & 127) << shift
            shift += 7
            self._at += 1
        self._at += 1
        return value | byte << shift

    def _signed(self) -> int:
        """A signed integer: the sign and six bits in its first byte, seven in the others."""
        first = self._data[self._at]
        self._at += 1
        value = first & 63
        if first > 127:
            value |= self.uint() << 6
        return -value if first & 64 else value

    def _bytes(self) -> bytes:
        length = self.uint()
        start, self._at = self._at, self._at + length
        return self._data[start : self._at]


_PLAIN = {127: None, 126: None, 121: False, 120: True}
_NUMBERS = {124: struct.Struct(">f"), 123: struct.Struct(">d"), 122: struct.Struct(">q")}
_EMPTY_TYPES: dict[int, object] = {0: [], 1: {}}  # an array, a map; the others are text
