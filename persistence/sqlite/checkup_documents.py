"""The checkup of documents: each row's checksum, the chain of the entries, and what sums them up.

One document at a time, and one entry of it: however large the database is, little is in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from persistence.sqlite.checkup_findings import RESTORE, Finding, Numbers, Tell, some
from persistence.sqlite.names import Authors
from persistence.sqlite.queries import one_moment
from persistence.sqlite.rows import (
    BASES,
    ENTRY_COLUMNS,
    SNAPSHOT_COLUMNS,
    TALLY_COLUMNS,
    Document,
    Link,
    Row,
    Tally,
    open_entry,
    open_snapshot,
    open_tally,
)
from persistence.store import Entry, Snapshot, to_milliseconds

ENTRIES = f"""
    SELECT {ENTRY_COLUMNS} FROM entries WHERE document = ? ORDER BY position"""  # noqa: S608
_ENTRIES_ANYWHERE = ENTRIES.replace("document =", "+document =")
"""The same rows, looked for in the whole table: a damaged key ends the search by keys early."""
TALLY = f"SELECT {TALLY_COLUMNS} FROM tallies WHERE document = ?"  # noqa: S608
SNAPSHOT = f"SELECT {SNAPSHOT_COLUMNS} FROM snapshots WHERE document = ?"  # noqa: S608
BASE = SNAPSHOT.replace("snapshots", "bases")
_POSITION, _AUTHOR, _RECEIVED_AT, _UPDATE = (
    ENTRY_COLUMNS.split(", ").index(name)
    for name in ("position", "author", "received_at", '"update"')
)
_PLAUSIBLE = range(1_262_304_000_000, 4_102_444_800_000)  # milliseconds: the years 2010 to 2099

STOOD_FOR_NOTHING = "nobody: the entries that it would stand for are all there"


@dataclass(slots=True)
class Reading:
    """What was read of one document."""

    document: Document
    tally: Tally | None = None
    snapshot: Snapshot | None = None
    base: Snapshot | None = None
    rows: int = 0  # of entries, damaged ones included
    rows_reached: int = 0  # of these, at positions that are accounted for
    unfit: Numbers = field(default_factory=Numbers)
    unfit_until: int = 0  # the highest plausible position among these
    missing: Numbers = field(default_factory=Numbers)
    stale: Numbers = field(default_factory=Numbers)  # at or before what retention removed
    authors: set[str] = field(default_factory=set)  # of damaged entries, as far as they tell
    times: list[int] = field(default_factory=list)  # between which these were received
    torn: bool = False  # one copy of a name is damaged
    first: Link | None = None
    last: Link | None = None
    counted: Tally | None = None  # what the sound entries add up to, as far as the tally's head

    @property
    def whole(self) -> bool:
        """Every entry that retention left is there and sound."""
        return not self.unfit and not self.missing

    @property
    def thinned(self) -> int:
        """Position of the last entry that retention removed, as far as one can tell."""
        if self.tally is not None:
            return self.tally.thinned
        if self.first is not None and self.snapshot is not None:
            return min(self.first.previous, self.snapshot.position)
        return self.snapshot.position if self.snapshot and self.first is None else 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A document for whoever looks deeper than at checksums."""

    name: str
    snapshot: Snapshot | None
    thinned: int
    whole: bool  # no entry is damaged or missing
    entries: Callable[[], Iterator[Entry]]  # those that are sound, read anew at each call
    base: Snapshot | None = None  # what its history begins with, where that was thinned


Look: TypeAlias = Callable[[Opened], Sequence[Finding]]
"""Looks deeper into a document, and returns what it finds."""


def read(
    connection: sqlite3.Connection,
    authors: Authors,
    document: Document,
    reach: int,
    *,
    moment: bool = True,
) -> Reading:
    """Read all rows of a document, in one moment. Positions up to ``reach`` are counted.

    ``moment``: False within a transaction of the caller's.
    """
    with one_moment(connection) if moment else nullcontext():
        reading = _read(connection, ENTRIES, authors, document, reach)
        if reading.missing:
            reading = _read(connection, _ENTRIES_ANYWHERE, authors, document, reach)
    return reading


def sound_entries(
    connection: sqlite3.Connection, authors: Authors, document: Document
) -> Iterator[Link]:
    """Give the entries of a document that are sound, in order."""
    for row in connection.execute(ENTRIES, (document.id,)):
        if (link := open_entry(row, document, authors)) is not None:
            yield link


def _read(
    connection: sqlite3.Connection, sql: str, authors: Authors, document: Document, reach: int
) -> Reading:
    authors.begin()
    reading = Reading(document)
    for row in connection.execute(TALLY, (document.id,)):
        reading.tally = open_tally(row, document)
    for row in connection.execute(SNAPSHOT, (document.id,)):
        reading.snapshot = open_snapshot(row, document)
    for row in connection.execute(BASE, (document.id,)):
        reading.base = open_snapshot(row, document, BASES)
    thinned = reading.tally.thinned if reading.tally else -1
    loose: set[int] = set()
    last = max(thinned, 0)
    head = reading.tally.head if reading.tally else None
    for row in connection.execute(sql, (document.id,)):
        reading.rows += 1
        reading.rows_reached += isinstance(row[_POSITION], int) and row[_POSITION] <= reach
        link = open_entry(row, document, authors)
        if link is None:
            _note_unfit(reading, row, authors)
            continue
        position = link.entry.position
        if position <= thinned:
            reading.stale.add(position)
            continue
        if link.previous != last and not (reading.first is None and thinned < 0):
            loose.add(link.previous)
        last = position
        _count(reading, link, head)
    reading.torn = bool(authors.torn)
    if head is not None and head > last:
        loose.add(head)
    _miss(connection, reading, loose)
    return reading


def _note_unfit(reading: Reading, row: Row, authors: Authors) -> None:
    """Take what a damaged row still tells, for people: it may be wrong."""
    reading.unfit.add(row[_POSITION])
    if isinstance(row[_POSITION], int):
        reading.unfit_until = max(reading.unfit_until, row[_POSITION])
    author = authors(row[_AUTHOR]) if isinstance(row[_AUTHOR], int) else None
    if author is not None:
        reading.authors.add(author.name.decode())
    received_at = row[_RECEIVED_AT]
    if isinstance(received_at, int) and received_at in _PLAUSIBLE:
        reading.times = [min([*reading.times, received_at]), max([*reading.times, received_at])]


def _count(reading: Reading, link: Link, head: int | None) -> None:
    edit = link.entry.edit
    received_at = to_milliseconds(edit.received_at)
    if reading.first is None:
        reading.first = link
        reading.counted = Tally.empty(reading.document, link.author, received_at)
    reading.last = link
    if reading.counted is not None and (head is None or link.entry.position <= head):
        reading.counted.count(link.entry.position, link.author, received_at, len(edit.update))


def _miss(connection: sqlite3.Connection, reading: Reading, loose: set[int]) -> None:
    """Of the positions that nothing stood at, keep those that are really not there."""
    known = {0, max(reading.thinned, 0)}
    if reading.snapshot is not None:  # a repair may have taken the entry that it stands at
        known.add(reading.snapshot.position)
    for position in sorted(loose - known):
        there = connection.execute(
            "SELECT 1 FROM entries WHERE document = ? AND position = ?",
            (reading.document.id, position),
        ).fetchone()
        if there is None and position > reading.thinned:
            reading.missing.add(position)


# What it means


def tell_entries(reading: Reading, tell: Tell) -> None:
    """Tell what is wrong with a document's entries."""
    name = reading.document.name
    if reading.unfit:
        tell(
            Finding(
                "entry.unfit",
                "damage",
                f"{name}: the checksum of {some(reading.unfit.count, 'entry', 'entries')} does "
                f"not fit: {reading.unfit}",
                _lost(reading, reading.unfit.count, "cannot be read"),
                "`--fix` moves them into quarantine with their bytes. Edits that stand on them "
                "stay: whoever still has the document open brings back what is missing",
                document=name,
                positions=reading.unfit.told,
                count=reading.unfit.count,
                fixable=True,
            )
        )
    if reading.missing:
        tell(
            Finding(
                "entry.missing",
                "damage",
                f"{name}: {some(reading.missing.count, 'entry', 'entries')} or more went missing, "
                f"though others point at them: {reading.missing}",
                _lost(reading, reading.missing.count, "are gone"),
                "`--fix` takes note of them; " + RESTORE,
                document=name,
                positions=reading.missing.told,
                count=reading.missing.count,
                fixable=True,
            )
        )
    if reading.stale:
        tell(
            Finding(
                "entry.stale",
                "warning",
                f"{name}: {some(reading.stale.count, 'entry', 'entries')} are there that "
                f"retention removed: {reading.stale}",
                "they are not read, and what they say is in the snapshot",
                "`--fix` moves them into quarantine",
                document=name,
                positions=reading.stale.told,
                count=reading.stale.count,
                fixable=True,
            )
        )


def _lost(reading: Reading, count: int, what: str) -> str:
    who = " of " + ", ".join(sorted(reading.authors)) if reading.authors else ""
    when = ""
    if reading.times:
        first, last = (_date(time) for time in reading.times)
        when = f" of {first}" if first == last else f" between {first} and {last}"
    kept = "everything else of the document is served"
    positions = (*reading.unfit.first, *reading.missing.first)
    if reading.snapshot and max(positions, default=0) <= reading.snapshot.position:
        kept = "the document's snapshot has them: nothing of its content is lost, only history"
    return f"{some(count, 'edit')}{who}{when} {what if count > 1 else _one(what)}; {kept}"


def _one(what: str) -> str:
    return what.replace("are ", "is ")


def _date(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return moment.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")


def tell_sums(connection: sqlite3.Connection, reading: Reading, tell: Tell) -> None:
    """Tell what is wrong with a document's tally, and with the checksum of its snapshot."""
    id_ = reading.document.id
    if reading.tally is None:
        there = connection.execute(TALLY, (id_,)).fetchone()
        why = "its checksum does not fit" if there else "it is missing"
        if there or reading.rows or reading.snapshot:
            tell(_tally("tally.unfit" if there else "tally.missing", reading, why))
    elif reading.whole and (wrong := _wrong(reading, reading.tally)):
        tell(_tally("tally.wrong", reading, wrong))
    if reading.snapshot is None:
        there = connection.execute(SNAPSHOT, (id_,)).fetchone()
        expected = reading.tally is not None and reading.tally.snapshot > 0
        if there or expected:
            why = "its checksum does not fit" if there else "it is missing"
            tell(_snapshot("snapshot.unfit" if there else "snapshot.missing", reading, why))
    if reading.base is None and connection.execute(BASE, (id_,)).fetchone():
        tell(
            Finding(
                "base.unfit",
                "damage",
                f"{reading.document.name}: what its history begins with is damaged: its checksum "
                "does not fit",
                "nothing of the content is lost; its history cannot be read from its beginning",
                "`--fix` puts it right where one byte is wrong, and else moves it into quarantine",
                document=reading.document.name,
                fixable=True,
            )
        )


def _tally(code: str, reading: Reading, why: str) -> Finding:
    return Finding(
        code,
        "damage",
        f"{reading.document.name}: the row that sums up its entries is wrong: {why}",
        "nothing of the content is lost; lists may tell wrong numbers",
        "`--fix` makes it again from the entries",
        document=reading.document.name,
        fixable=True,
    )


def _wrong(reading: Reading, tally: Tally) -> str:
    """What a tally says that is not so."""
    counted = reading.counted or Tally.empty(reading.document, tally.last_author, 0)
    differing = [
        f"{word} is {told:,} and not {found:,}"
        for word, told, found in (
            ("the number of edits", tally.edits, counted.edits),
            ("their size", tally.size, counted.size),
            ("the author of the last", tally.last_author, counted.last_author),
        )
        if told != found
    ]
    if reading.snapshot is not None and reading.snapshot.position != tally.snapshot:
        differing.append(
            f"the snapshot is at {reading.snapshot.position} and not at {tally.snapshot}"
        )
    return "; ".join(differing)


def _snapshot(code: str, reading: Reading, why: str) -> Finding:
    whole = reading.thinned == 0
    return Finding(
        code,
        "damage",
        f"{reading.document.name}: its snapshot is damaged: {why}",
        "nothing of the content is lost: all entries that it stood for are there"
        if whole
        else "it stood for edits that retention removed: without it they are lost",
        "`--fix` makes it again from the entries"
        if whole
        else "`--fix` makes it again from the base of its history if that is sound, and else moves "
        "the document into quarantine with its bytes; " + RESTORE,
        document=reading.document.name,
        positions=(reading.tally.snapshot,) if reading.tally else (),
        fixable=True,
    )
