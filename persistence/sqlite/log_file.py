"""The write-ahead log as a file: what in it is sound, and what is lost.

SQLite reads a log up to the first frame whose checksum does not fit, and says nothing about what
stands behind it. So it is read here once more, by the format's description (sqlite.org/walformat):
a header of 32 bytes, then frames of a header of 24 bytes and a page. Checksums are cumulative; a
frame that fits the checksum *stored* in the one before it is sound, though that one may not be.

The index of the log, ``-shm``, says how many frames the last process knew to be committed. It is to
be read before this process opens the database (SQLite would make it anew), and is believed only
where its two copies agree and are of this very log.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from persistence.sqlite.files import beside

_HEADER = struct.Struct(">IIIIIIII")
_FRAME = struct.Struct(">IIIIII")
_MAGIC = 0x377F0682  # the lowest bit: checksums are of big-endian words
_VERSION = 3_007_000
_SALTS = slice(16, 24)
_PAGE_SIZE = 4_096  # of every database of ours

_INDEX = struct.Struct("=IIIBBHIIII8sII")
_INDEX_VERSION = 3_007_000
_BACKFILL_AT = 96  # behind two copies of the index's header

_MASK = 0xFFFFFFFF
_ATTEMPTS = 5  # while a live service begins the log anew


class Frame(NamedTuple):
    """A frame that is sound."""

    number: int  # from 1
    page: int
    commit: bool  # it ends a transaction
    image: bytes  # of the page
    reached: bool  # SQLite reads it: no frame before it is damaged


@dataclass(frozen=True, slots=True)
class LogState:
    """What a write-ahead log holds. Numbers are of frames."""

    committed: int = 0  # that SQLite reads
    commits: int = 0  # transactions in these
    torn: int = 0  # behind them, of a transaction that never ended: none was promised
    damaged: int = 0  # do not fit their checksum, though sound ones stand behind them
    lost_commits: int = 0  # transactions that stand behind a damaged frame
    missing: int = 0  # that were committed, and are not there any more
    header: bool = True  # SQLite reads the log at all


def log_of(database: Path) -> Path:
    return beside(database, "-wal")


def inspect_log(database: Path) -> LogState:
    """Read the log of a database, before this process opens that. Raises OSError."""
    for _ in range(_ATTEMPTS):
        index = _read_index(beside(database, "-shm"))
        state, salts = _inspect(log_of(database), index)
        if salts == _salts(log_of(database)):
            return state
    return LogState()  # a service that works so hard reads its log itself


def frames(log: Path) -> Iterator[Frame]:
    """Give every sound frame of a log's present run, one after the other. Raises OSError."""
    if not log.exists():
        return
    with log.open("rb") as file:
        header = _read_header(file)
        if header is None:
            return
        reached, number = header.sound, 0
        sums = header.sums
        size = _FRAME.size + header.page_size
        while len(whole := file.read(size)) == size:
            number += 1
            page, pages, _, _, *stored = _FRAME.unpack_from(whole)
            # Other salts are of an earlier run that the present one did not overwrite yet.
            fits = whole[8:16] == header.salts and header.sum_of(whole, sums) == (*stored,)
            reached = reached and fits
            sums = (stored[0], stored[1])
            if fits:
                yield Frame(number, page, pages > 0, whole[_FRAME.size :], reached)


def _inspect(log: Path, index: _Index | None) -> tuple[LogState, bytes]:
    committed = commits = lost = sound = reached = last = 0
    salts = _salts(log)
    for frame in frames(log):
        sound, last = sound + 1, frame.number
        reached += frame.reached
        if frame.commit and frame.reached:
            committed, commits = frame.number, commits + 1
        elif frame.commit:
            lost += 1
    known = index.frames if index and (index.salts == salts or not salts) else 0
    if 0 < known <= committed:
        lost = 0  # what stands behind is left of a transaction that failed
    there = max(committed, index.backfilled if index and known else 0)
    missing = max(0, known - there) if not lost else 0
    torn = 0 if lost else reached - committed
    damaged = max(last - sound, 1) if lost else 0
    header = not salts or _is_sound(log)
    return LogState(committed, commits, torn, damaged, lost, missing, header), salts


# Headers


class _Header(NamedTuple):
    page_size: int
    salts: bytes
    sums: tuple[int, int]
    swapped: bool  # words are of the other byte order than this machine's
    sound: bool  # else SQLite reads nothing of the log

    def sum_of(self, frame: bytes, sums: tuple[int, int]) -> tuple[int, int]:
        return _sum(frame[:8] + frame[_FRAME.size :], sums, self.swapped)


def _salts(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            return file.read(_HEADER.size)[_SALTS]
    except FileNotFoundError:
        return b""


def _is_sound(log: Path) -> bool:
    with log.open("rb") as file:
        header = _read_header(file)
    return header is not None and header.sound


def _read_header(file: IO[bytes]) -> _Header | None:
    """Return a log's header; of a damaged one, what the frames behind it are read with."""
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, version, page_size, _, _, _, *stored = _HEADER.unpack(head)
    swapped = bool(magic & 1) != (sys.byteorder == "big")
    ours = magic & ~1 == _MAGIC and version == _VERSION
    if ours and _sum(head[:24], (0, 0), swapped) == (*stored,):
        return _Header(page_size, head[_SALTS], (stored[0], stored[1]), swapped, sound=True)
    first = file.read(_FRAME.size)
    file.seek(_HEADER.size)
    swapped = sys.byteorder == "big"  # as every SQLite on a little-endian machine writes
    return _Header(_PAGE_SIZE, first[8:16], (stored[0], stored[1]), swapped, sound=False)


class _Index(NamedTuple):
    """What the index says of the log."""

    frames: int  # that are committed
    backfilled: int  # that the database file has
    salts: bytes


def _read_index(path: Path) -> _Index | None:
    try:
        head = path.read_bytes()[: _BACKFILL_AT + 4]
    except FileNotFoundError:
        return None
    copies = head[:48], head[48:96]
    if len(head) < _BACKFILL_AT + 4 or copies[0] != copies[1]:
        return None
    version, _, _, begun, _, _, last, _, _, _, salts, *stored = _INDEX.unpack(copies[0])
    if version != _INDEX_VERSION or not begun or _sum(copies[0][:40], (0, 0)) != (*stored,):
        return None
    return _Index(last, int.from_bytes(head[_BACKFILL_AT:], sys.byteorder), salts)


def _sum(data: bytes, sums: tuple[int, int], swapped: bool = False) -> tuple[int, int]:
    """Continue a checksum over pairs of 32-bit words."""
    words = array("I", data)
    if swapped:
        words.byteswap()
    one, other = sums
    for index in range(0, len(words), 2):
        one = one + words[index] + other & _MASK
        other = other + words[index + 1] + one & _MASK
    return one, other
