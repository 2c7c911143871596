"""The checkup of the file itself: its log, its pages, its tables, and the room around it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

from persistence.sqlite import schema
from persistence.sqlite.checkup_findings import Finding, Progress, Tell, some
from persistence.sqlite.lock import last_writer
from persistence.sqlite.log_file import LogState
from persistence.sqlite.seals import legible

LITTLE = 100 * 2**20
"""Bytes of free disk below which a service soon cannot save."""

_MOST_LINES = 20  # of SQLite's own findings
_TICK = 2_000_000  # steps of SQLite's machine between two signs of life
_MOST_STARTS = 3  # of services that the walk through the pages gives way to
_MUCH_FREE = 0.25  # of the file


def check_log(state: LogState, tell: Tell) -> None:
    """Tell what is wrong with a write-ahead log."""
    lost_edits = "whoever still has the documents open brings the edits back"
    if not state.header:
        tell(
            Finding(
                "log.header",
                "damage",
                "the beginning of the write-ahead log is damaged: SQLite reads nothing of it",
                f"{some(state.lost_commits, 'commit')} in it cannot be read by the service",
                "`--fix` brings back what can be read of them; " + lost_edits,
                count=max(1, state.lost_commits),
                fixable=True,
            )
        )
    elif state.lost_commits:
        tell(
            Finding(
                "log.damaged",
                "damage",
                f"{some(state.damaged, 'frame')} of the write-ahead log behind frame "
                f"{state.committed} fail their checksum, and "
                f"{some(state.lost_commits, 'commit')} stand behind them",
                "SQLite does not read what stands behind a damaged frame, and the next start of "
                "the service would drop it",
                "do not start the service before `--fix`, which brings back what can be read; "
                + lost_edits,
                count=state.lost_commits,
                fixable=True,
            )
        )
    if state.missing:
        tell(
            Finding(
                "log.truncated",
                "damage",
                f"the write-ahead log is too short: {some(state.missing, 'frame')} of "
                "committed edits or events are missing at its end",
                "what was committed last before the service died is lost here",
                f"nothing can bring it back here; {lost_edits}. `--fix` takes note of it",
                count=state.missing,
                fixable=True,
            )
        )
    if state.torn and not state.missing:
        tell(
            Finding(
                "log.torn",
                "info",
                f"the write-ahead log ends in {some(state.torn, 'frame')} of a commit that was "
                "never finished",
                "that is so after a power cut or a kill; nothing that was saved is in them",
                count=state.torn,
            )
        )


def check_pages(
    connection: sqlite3.Connection, path: Path, tell: Tell, progress: Progress, *, quick: bool
) -> bool:
    """Tell of pages that SQLite finds malformed. Returns whether all are well.

    A service that is started brings the whole log into the database first, which waits for whoever
    reads an earlier moment: for that it goes first, and the pages are looked at again. (But for one
    that is started all the time, perhaps because the database is damaged.)
    """
    said: list[str] = []
    for _ in range(_MOST_STARTS):
        said = said or _walk(connection, path, progress, quick=quick, gives_way=True)
    said = said or _walk(connection, path, progress, quick=quick, gives_way=False)
    for line in said:
        if line != "ok":
            tell(malformed(line))
    return said == ["ok"]


def _walk(
    connection: sqlite3.Connection, path: Path, progress: Progress, *, quick: bool, gives_way: bool
) -> list[str]:
    """Return what SQLite says of the pages; nothing where a service was started meanwhile."""
    pages = _number(connection, "page_count")
    owner, ticks, started = last_writer(path), 0, False

    def tick() -> bool:
        nonlocal ticks, started
        ticks += 1
        progress("pages", min(ticks, pages), pages)
        started = gives_way and last_writer(path) != owner
        return started

    connection.set_progress_handler(tick, _TICK)
    try:
        pragma = "quick_check" if quick else "integrity_check"
        return [legible(row[0]) for row in connection.execute(f"PRAGMA {pragma}({_MOST_LINES})")]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return [] if started else [str(error)]
    finally:
        connection.set_progress_handler(None, 0)


def malformed(said: str) -> Finding:
    """SQLite cannot walk through the file."""
    return Finding(
        "pages.malformed",
        "damage",
        f"SQLite: {' '.join(said.split())}",
        "pages of the file are damaged: what stands in them, or behind them, may not be found",
        "`--fix` copies every row that can be read into a new file, and keeps the old one beside",
        fixable=True,
    )


def missing_tables(connection: sqlite3.Connection) -> list[str]:
    """List the tables, indices and views of this version that are not there, or not the same."""
    found = _made(connection)
    return sorted(name for name, sql in _ours().items() if found.get(name) != sql)


def check_schema(connection: sqlite3.Connection, tell: Tell) -> bool:
    """Compare the tables, indices and views with those that this version makes."""
    differing = missing_tables(connection)
    for name in differing:
        tell(
            Finding(
                "schema.differs",
                "damage",
                f"{name} is not there as draftsync makes it",
                "the service, or a tool that reads the file, may fail on it",
                "`--fix` copies every row into a new file with the right tables",
                fixable=True,
            )
        )
    others = sorted(_made(connection).keys() - _ours().keys())
    if others:
        tell(
            Finding(
                "schema.others",
                "info",
                f"there are tables, indices or views that are not draftsync's: {', '.join(others)}",
                "they do no harm",
                count=len(others),
            )
        )
    return not differing


@cache
def _ours() -> dict[str, str]:
    """What this version makes, by its name."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        return _made(connection)


def _made(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master")
    return {
        f"the {legible(kind)} {legible(name)}": " ".join(legible(sql).split())
        for kind, name, sql in rows
        if not legible(name).startswith("sqlite_")
    }


def check_room(connection: sqlite3.Connection, path: Path, tell: Tell) -> None:
    """Tell of space that could be given back, and of a disk that is nearly full."""
    size = _number(connection, "page_size")
    pages, free = _number(connection, "page_count"), _number(connection, "freelist_count")
    much = free > pages * _MUCH_FREE and free * size > LITTLE
    tell(
        Finding(
            "space.free",
            "info",
            f"{some(free, 'page')} of {pages:,} are free: {free * size:,} bytes",
            "they are used again by what is written next",
            "`draftsync docs compact` gives them back to the disk" if much else "nothing",
            count=free,
        )
    )
    left = shutil.disk_usage(path.parent).free
    low = left < LITTLE
    tell(
        Finding(
            "disk.low" if low else "disk.free",
            "warning" if low else "info",
            f"{left:,} bytes of disk are left in {path.parent}",
            "a service whose disk is full saves nothing until there is room" if low else "enough",
            "make room" if low else "nothing",
        )
    )


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    [(value,)] = connection.execute(f"PRAGMA {pragma}")
    return int(value)
