"""What child processes do in the tests that kill them. Each is forked from a fork server.

A child writes what the store acknowledged into its pipe, one integer a line, and nothing else.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import LOG_PAGES, FileWriter
from persistence.store import Acknowledgement, DeadLetter, StoreUnavailable
from tests.stores.faults import Faults
from tests.stores.support import LATER, RUNNING, edit, edits, record, records, snapshot

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.stores.children"])

NOBODY = 65_534
CRASHED = 86  # the exit code of a child that died at the statement it was told to


class Child(NamedTuple):
    process: BaseProcess
    pipe: int  # what it writes; at its end when the child is dead

    def lines(self) -> Iterator[int]:
        with open(self.pipe, closefd=False) as file:
            for line in file:
                if line.endswith("\n"):
                    yield int(line)


@contextmanager
def child(target: Callable[..., None], *arguments: object) -> Iterator[Child]:
    """Run ``target(pipe, *arguments)`` in a process of its own, which ends with the block."""
    reading, writing = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(writing, target, *arguments))
    process.start()
    writing.close()
    try:
        yield Child(process, reading.fileno())
    finally:
        process.kill()
        process.join()
        process.close()
        reading.close()


def _run(writing: Any, target: Callable[..., None], *arguments: object) -> None:
    target(writing.fileno(), *arguments)


def _say(pipe: int, number: int) -> None:
    os.write(pipe, b"%d\n" % number)


def prepare(writer: FileWriter, act: str) -> None:
    """Do what has to be done before, by the same writer."""
    if act == "checkpoint":
        writer.append(edits(2, "drafts/2"))  # of which the tallies do not know


def act_on(writer: FileWriter, act: str) -> None:
    """Do one of the things that a writer does to a database that was filled."""
    match act:
        case "append":
            writer.append((*edits(3), *edits(2, "drafts/2")))
        case "append new":
            writer.append((*edits(2, "new"), edit("new", author="new")))
        case "append many":
            writer.append(edits(3_000))
        case "compact":
            writer.compact(snapshot(3))
        case "thin":
            writer.thin("drafts/1", LATER)
        case "reclaim":
            writer.reclaim()
        case "tidy":
            writer.tidy()  # lengthens the log
        case "checkpoint":
            checkpoint(writer)
        case _:
            act_on_sessions(writer, act)


def act_on_sessions(writer: FileWriter, act: str) -> None:
    """Do one of the things that a writer does to sessions that are there."""
    match act:
        case "record":
            writer.record(NEXT)
        case "acknowledge":
            writer.acknowledge((Acknowledgement("s-1", "bob", 2), Acknowledgement("s-2", "bob", 1)))
        case "truncate":
            writer.truncate("s-1", LATER)
        case "enlist":
            writer.enlist("other")
        case "advance":
            writer.advance("hook", "s-1", 3, DeadLetter("hook", "s-1", 2, "410 Gone", LATER))
        case "forgive":
            writer.forgive((DeadLetter("hook", "s-2", 1, "404 Not Found", LATER),))
        case _:
            raise ValueError(act)


NEXT = (
    *(record("4"), record("2"), record("5", change=RUNNING)),
    *(*records(2, "s-3"), record("3", "s-2"), record("4")),
)
"""A batch for sessions s-1 of 3 events and s-2 of 2, with repeats."""


def checkpoint(writer: FileWriter) -> None:
    """Bring the log into the database, as the writer does when it is long."""
    writer._log_is_long, writer._log_pages = True, LOG_PAGES
    writer.tidy()


def append_for_ever(pipe: int, database: Path, seed: int) -> None:
    """Append batches of 1 to 5 edits; say the last position of each that was acknowledged."""
    writer = FileWriter(database)
    writer.open()
    for number in itertools.count():
        batch = edits(1 + (seed + number) % 5, f"drafts/{number % 3}")
        _say(pipe, writer.append(batch) + len(batch) - 1)
        if number % 20 == 19:
            writer.compact(snapshot(writer.append(edits(1, "drafts/0")), "drafts/0"))
        writer.tidy()
        if number % 30 == 29:
            checkpoint(writer)


def record_for_ever(pipe: int, database: Path, seed: int) -> None:
    """Record batches of 1 to 5 events in two sessions; say the last offset of s-1 each time.

    Each is recorded again when it was acknowledged, as by a client that did not hear of it.
    """
    writer = FileWriter(database)
    writer.open()
    top = _top(writer)
    for number in itertools.count():
        size = 1 + (seed + number) % 5
        batch = (*records(size, start=top + 1), *records(size, "s-2", start=top + 1))
        offsets = writer.record(batch)
        top = offsets[size - 1]
        _say(pipe, top)
        writer.record(batch)
        if number % 7 == 6:
            writer.acknowledge((Acknowledgement("s-1", "bob", top),))
        writer.tidy()
        if number % 30 == 29:
            checkpoint(writer)


def _top(writer: FileWriter) -> int:
    with closing(FileReader(writer.path)) as reader:
        found = reader.session("s-1")
    return found.top if found else 0


def hold(pipe: int, database: Path) -> None:
    """Append one edit, and keep the database open until killed."""
    writer = FileWriter(database)
    writer.open()
    _say(pipe, writer.append(edits(1)))
    signal.pause()


def read_as_nobody(pipe: int, database: Path) -> None:
    """Read what is there of a document, as somebody who may write nothing (root may, anywhere)."""
    if os.getuid() == 0:
        os.setuid(NOBODY)
    with closing(FileReader(database)) as reader:
        _say(pipe, reader.load("drafts/1").head)


def die_at(pipe: int, database: Path, k: int, act: str, late: bool) -> None:
    """Do something, and die at the k-th statement of it, or right after it. Else say the count."""
    faults = Faults(lambda: os._exit(CRASHED), late=late)
    writer = FileWriter(database, connect=faults.connect)
    writer.open()
    prepare(writer, act)
    faults.arm(k)
    act_on(writer, act)
    _say(pipe, faults.count)


def fill_the_disk(pipe: int, database: Path, limit: int) -> None:
    """Append with files limited to ``limit`` bytes until it fails, then without, and go on.

    Says each acknowledged position, then -1 for the failure, and the positions after it.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = FileWriter(database)
    writer.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    failures = 0
    start = 0
    while failures < 3:
        try:
            _say(pipe, writer.append(edits(100, start=start)))
            start += 100
        except StoreUnavailable:
            failures += 1
            _say(pipe, -1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for _ in range(3):
        _say(pipe, writer.append(edits(100, start=start)))
        start += 100
    writer.close()
