"""Reading rows out of a file's pages, one by one, without walking through its trees.

For a file that SQLite cannot walk through any more: where a page above others is damaged, those
below are still there. Of each page that is a leaf, every cell that can be read makes a row
(sqlite.org/fileformat). Which table it is of, and whether it is sound, its checksum tells.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from persistence.sqlite.log_file import frames, log_of
from persistence.sqlite.repair_mend import changed_by_a_byte
from persistence.sqlite.rows import Row

_TABLE_LEAF, _INDEX_LEAF, _INDEX_ABOVE = 13, 10, 2
_KINDS = (2, 5, 10, 13)
_FIRST = 100  # bytes of the file's header, before the first page's
_SIZE = 4_096  # of the pages of every database of ours
_MOST_OVERFLOW = 16_384  # pages of one row
_HEAD = 24  # bytes of a row that say how long it is, and what its columns are
_MOST_TYPES = 64  # bytes; rows of ours have some ten columns
_MAP_EVERY = _SIZE // 5 + 1  # from page 2 on, a page that only tells which page is whose
_FREE_AT = struct.Struct(">II")  # first page of the list of free pages, and how many there are


@dataclass(frozen=True, slots=True)
class Cell:
    """A row as a page has it: its rowid (None in an index) and its columns. Texts are bytes."""

    rowid: int | None
    columns: Row


class Pages:
    """The pages of a database file and of its log; nobody has it open."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        with path.open("rb") as file:
            self._whole = mmap(file.fileno(), 0, access=ACCESS_READ)
        self._log: dict[int, list[bytes]] = {}
        for frame in frames(log_of(path)):
            self._log.setdefault(frame.page, []).append(frame.image)
        self._free = self._free_pages()

    def close(self) -> None:
        self._whole.close()

    def __len__(self) -> int:
        return max(len(self._whole) // _SIZE, *self._log, 0)

    def images(self, number: int) -> list[bytes]:
        """Every state of a page that is known, newest first."""
        found = self._log.get(number, [])[::-1]
        if 0 < number <= len(self._whole) // _SIZE:
            found.append(self._whole[(number - 1) * _SIZE : number * _SIZE])
        return found

    def cells(self, number: int) -> Iterator[Cell | None]:
        """Give what can be read of a page, in all its states; None for each cell that cannot."""
        if number in self._free:
            return
        start = _FIRST if number == 1 else 0
        for image in self.images(number):
            for at in _places(image, start):
                yield self._read(image, start, at)

    def anywhere(self, number: int) -> Iterator[Cell]:
        """Give whatever can be read at any byte of a page whose head or pointers are damaged.

        Most of it is nonsense: only checksums tell which is not.
        """
        for image in self.images(number):
            for kind in (_INDEX_LEAF, _TABLE_LEAF):
                for at in range(_SIZE - 8):
                    with suppress(IndexError, ValueError, struct.error):
                        yield self._cell(image, kind, at)

    def nearly(self, number: int) -> Iterator[Cell]:
        """Give what the cell that cannot be read could be, were a byte of its head another.

        Where it is one: noise has hundreds. As of :meth:`anywhere`, most of it is nonsense.
        """
        start = _FIRST if number == 1 else 0
        for image in self.images(number):
            odd = [at for at in _places(image, start) if self._read(image, start, at) is None]
            for at in odd if len(odd) == 1 else ():
                head = image[at : at + _HEAD]
                for changed in changed_by_a_byte(head):
                    patched = image[:at] + changed + image[at + len(head) :]
                    if (cell := self._read(patched, start, at)) is not None:
                        yield cell

    def is_odd(self, number: int) -> bool:
        """No page of a database has such a head, but for those that continue a row."""
        if number == 1 or number in self._free or (number - 2) % _MAP_EVERY == 0:
            return False
        return any(image[0] not in _KINDS and image.strip(b"\0") for image in self.images(number))

    def _read(self, image: bytes, start: int, at: int) -> Cell | None:
        try:
            return self._cell(image, image[start], at)
        except (IndexError, ValueError, struct.error):
            return None

    def _cell(self, image: bytes, kind: int, at: int) -> Cell:
        if kind == _INDEX_ABOVE:
            at += 4  # the page below
        size, at = _varint(image, at)
        rowid = None
        if kind == _TABLE_LEAF:
            rowid, at = _varint(image, at)
        types, start = _types(image, at)
        if start - at + sum(map(_width, types)) != size:
            raise ValueError("it is no row")  # before pages are followed in vain
        payload = self._payload(image, kind, size, at)
        return Cell(rowid, _columns(payload, types, start - at))

    def _payload(self, image: bytes, kind: int, size: int, at: int) -> bytes:
        """A row's bytes, those on overflow pages too."""
        most = _SIZE - 35 if kind == _TABLE_LEAF else (_SIZE - 12) * 64 // 255 - 23
        if size <= most:
            return _exactly(image[at : at + size], size)
        least = (_SIZE - 12) * 32 // 255 - 23
        here = least + (size - least) % (_SIZE - 4)
        here = here if here <= most else least
        if size > _MOST_OVERFLOW * _SIZE:
            raise ValueError("no row is as large")
        parts = [image[at : at + here]]
        next_ = int.from_bytes(image[at + here : at + here + 4], "big")
        left = size - here
        while left > 0:
            page = (self.images(next_) or [b""])[0]
            if len(page) < _SIZE:
                raise ValueError("a page of it is missing")
            parts.append(page[4 : 4 + left])
            left -= len(parts[-1])
            next_ = int.from_bytes(page[:4], "big")
        return _exactly(b"".join(parts), size)

    def _free_pages(self) -> set[int]:
        """The pages that hold nothing any more, as far as their list can be followed."""
        free: set[int] = set()
        first = (self.images(1) or [b""])[0]
        if len(first) < _SIZE:
            return free
        trunk, count = _FREE_AT.unpack_from(first, 32)
        while trunk and trunk not in free and len(free) < count:
            images = self.images(trunk)
            if not images:
                break
            free.add(trunk)
            next_, leaves = _FREE_AT.unpack_from(images[0])
            if leaves > _SIZE // 4 - 2:
                break
            free |= set(struct.unpack_from(f">{leaves}I", images[0], 8))
            trunk = next_
        return free


def _places(image: bytes, start: int) -> Iterator[int]:
    """Give where the cells of a page begin, if it has rows."""
    kind = image[start]
    if kind in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_ABOVE):
        count = int.from_bytes(image[start + 3 : start + 5], "big")
        pointers = start + (12 if kind == _INDEX_ABOVE else 8)
        for index in range(min(count, (_SIZE - pointers) // 2)):
            yield int.from_bytes(image[pointers + 2 * index : pointers + 2 * index + 2], "big")


def _exactly(payload: bytes, size: int) -> bytes:
    if len(payload) != size:
        raise ValueError("it is cut off")
    return payload


def _types(image: bytes, at: int) -> tuple[list[int], int]:
    """Read the types of a row's columns; return them, and where their values begin."""
    length, next_ = _varint(image, at)
    end = at + length
    if not 1 < length < _MOST_TYPES:
        raise ValueError("it is no row")
    types: list[int] = []
    while next_ < end:
        kind, next_ = _varint(image, next_)
        types.append(kind)
    return types, end


_WIDTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)


def _width(kind: int) -> int:
    if 0 <= kind < len(_WIDTHS):
        return _WIDTHS[kind]
    if kind < 12:
        raise ValueError("no type of SQLite's")
    return (kind - 12) // 2


def _columns(payload: bytes, types: list[int], at: int) -> Row:
    values: list[object] = []
    for kind in types:
        end = at + _width(kind)
        values.append(_value(payload[at:end], kind))
        at = end
    return tuple(values)


def _value(encoded: bytes, kind: int) -> object:
    if kind == 0:
        return None
    if kind in (8, 9):
        return kind - 8
    if kind == 7:
        return struct.unpack(">d", encoded)[0]
    return encoded if kind >= 12 else int.from_bytes(encoded, "big", signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a big-endian variable-length integer of up to nine bytes."""
    number = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, at
    number = number << 8 | data[at]
    return (number - 2**64 if number >= 2**63 else number), at + 1
