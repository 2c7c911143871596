"""Fault 1, at the store: SIGKILL at any moment loses nothing that was acknowledged."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from tests.stores.children import append_for_ever, child, record_for_ever
from tests.stores.support import edits, records, stored

ROUNDS = 30
SEED = 1_122


def test_sigkill_while_appending(database: Path) -> None:
    random_ = random.Random(SEED)
    acknowledged = 0
    for round_ in range(ROUNDS):
        acknowledged = _kill_after(append_for_ever, database, random_, acknowledged)
        top = _top(database)
        assert top >= acknowledged, f"round {round_} of seed {SEED} lost acknowledged edits"
        acknowledged = top
    assert acknowledged > 10 * ROUNDS


def test_sigkill_while_recording(database: Path) -> None:
    random_ = random.Random(SEED)
    acknowledged = 0
    for round_ in range(ROUNDS):
        acknowledged = _kill_after(record_for_ever, database, random_, acknowledged)
        tops = {_session_top(database, name) for name in ("s-1", "s-2")}
        assert len(tops) == 1, "a batch is whole or not there"
        assert min(tops) >= acknowledged, f"round {round_} of seed {SEED} lost events"
        acknowledged = min(tops)
    assert acknowledged > 10 * ROUNDS


def _session_top(database: Path, name: str) -> int:
    """Assert that all events are there, once and in order; return the last one's offset."""
    with closing(FileReader(database)) as reader:
        session = reader.session(name)
        assert session is not None
        found = reader.events(name, 0, 1_000_000, None)
    assert found == stored(records(session.top, name))
    assert session.acknowledged.get("bob", 0) <= session.top
    return session.top


def _kill_after(
    target: Callable[..., None], database: Path, random_: random.Random, acknowledged: int
) -> int:
    """Kill a writer after a random number of answers and up to 2 ms; return its last answer."""
    with child(target, database, random_.randrange(1_000)) as one:
        lines = one.lines()
        for _ in range(random_.randrange(1, 40)):
            acknowledged = next(lines)
        for _ in range(random_.randrange(20_000)):
            pass  # not a wait: the kill must fall at any point of an append, not after an answer
        one.process.kill()
        return max([acknowledged, *lines])


def _top(database: Path) -> int:
    """Assert that all is sound and without a gap, as a reader and as the next writer see it."""
    with closing(FileReader(database)) as reader:
        names = [head.document for head in reader.heads("")]
        stored = [reader.load(name) for name in names]
        heads = max(one.head for one in stored)
    assert [one.damaged for one in stored] == [()] * len(names)
    with closing(FileReader(database)) as reader:
        listed = sum(head.edits for head in reader.heads(""))
    assert listed == heads, "positions have no gap"
    writer = FileWriter(database)
    writer.open()
    try:
        assert writer.append(edits(1)) == heads + 1
    finally:
        writer.close()
    return heads + 1
