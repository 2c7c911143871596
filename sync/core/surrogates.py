"""Characters of two UTF-16 code units, and edits that part them.

Yjs counts text in UTF-16 code units, so an emoji has two clocks, and an edit may delete one of them
or insert between them (an undo in Quill does). Yjs then puts U+FFFD in the place of each half. yrs
counts the same way but keeps the character whole, and so gets the document wrong: its exports can
be loaded by no client, or have other clocks. (Measured with yrs 0.28:
``010101000401047465787404f09f998200``, then ``000101010001``.)

So :class:`sync.core.document.Document` watches for edits that part a character, and before one is
applied does what Yjs does: it writes the two U+FFFD itself. This module reads and writes that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sync.core.guard import Inspection
from sync.core.wire import encode_string

_Clock = tuple[int, int]  # client, clock

_ASTRAL = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True, slots=True)
class Surrogates:
    """What an update says of characters of two code units.

    ``halves`` are the clocks of their second halves, ``cuts`` the clocks before which an insertion
    or the end of a deletion parts text.
    """

    halves: frozenset[_Clock]
    cuts: frozenset[_Clock]


def may_hold_pairs(update: bytes) -> bool:
    """A quick look: no character of two code units is in an update for which this is False."""
    return _ASTRAL.search(update) is not None


def mend(update: bytes, parted: Collection[_Clock]) -> bytes:
    """Write U+FFFD twice for each character whose second half is among ``parted``.

    That takes two clocks as well, so nothing else of the update changes.
    """
    reading = _Mending(update, parted)
    reading.run(max_clients=2**31)
    pieces, at = [], 0
    for start, end, text in reading.texts:
        pieces += [update[at:start], encode_string(text)]
        at = end
    return b"".join([*pieces, update[at:]])


def surrogates(update: bytes) -> Surrogates:
    """Read an update that passed the guard."""
    reading = _Reading(update)
    footprint = reading.run(max_clients=2**31)
    cuts = {(client, clock) for client, *ends in footprint.deleted for clock in ends}
    return Surrogates(frozenset(reading.halves), frozenset(cuts | reading.cuts))


class _Reading(Inspection):
    __slots__ = ("cuts", "halves")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.cuts: set[_Clock] = set()
        self.halves: set[_Clock] = set()

    def _item(self, info: int) -> int:
        length = super()._item(info)
        if self.origin is not None:
            client, clock = self.origin
            self.cuts.add((client, clock + 1))  # it stands after that clock
        if self.right is not None:
            self.cuts.add(self.right)  # and before this one
        return length

    def _text_length(self) -> int:
        at = self.at
        text = self._string().decode()
        self.halves.update((self.client, clock) for clock, _ in _halves(text, self.clock))
        self.at = at
        return super()._text_length()


class _Mending(Inspection):
    __slots__ = ("parted", "texts")

    def __init__(self, data: bytes, parted: Collection[_Clock]) -> None:
        super().__init__(data)
        self.parted = parted
        self.texts: list[tuple[int, int, str]] = []  # from, to, and what to write there

    def _text_length(self) -> int:
        start = self.at
        text = self._string().decode()
        found = [
            place
            for clock, place in _halves(text, self.clock)
            if (self.client, clock) in self.parted
        ]
        if found:
            characters = list(text)
            for place in found:
                characters[place] = "\ufffd\ufffd"
            self.texts.append((start, self.at, "".join(characters)))
        self.at = start
        return super()._text_length()


def _halves(text: str, clock: int) -> Iterator[tuple[int, int]]:
    """The clocks of the second halves in a text that begins at ``clock``, and their characters."""
    for place, character in enumerate(text):
        clock += 1
        if character > "\uffff":
            yield clock, place
            clock += 1
