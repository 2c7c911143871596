"""``draftsync docs compact``: smaller, and the same."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from persistence.sqlite.writing import FileWriter
from persistence.store import Reader, Store
from sync.core.snapshot import TakenSnapshot
from tests.cli.conftest import Run
from tests.cli.databases import Person, evaluation, everything, held, read, write

EDITS = 60


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A draft with much history, and some others."""
    path = tmp_path / "drafts.db"
    evaluation(path)

    async def edit(store: Store) -> None:
        alice = Person("notes/long", "alice", 9)
        await store.append([alice.note(f"{n} " + "x" * 5_000, n) for n in range(EDITS)])

    write(path, edit)
    return path


@pytest.fixture
def compact(run: Run, database: Path) -> Run:
    return partial(run, "docs", "compact", "--database", str(database))


def test_snapshots(compact: Run, database: Path) -> None:
    """Of all that need one, with all history kept."""
    before = read(database, everything)
    result = compact("--all", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert (told["documents"], told["snapshots"], told["removed"]) == (4, 4, 0)
    assert told["failed"] == []
    heads = read(database, lambda reader: reader.heads())
    assert all(head.snapshot == head.head for head in heads)
    assert read(database, everything) == before
    assert json.loads(compact("--all", "--json").stdout)["snapshots"] == 0


def test_old_history_goes_and_what_is_held_stays(compact: Run, database: Path) -> None:
    names = ["notes/long", "notes/x", "drafts/s1/c1"]
    before = [held(database, name) for name in names]
    size = database.stat().st_size
    told = json.loads(compact("--all", "--history-seconds", "0", "--json").stdout)
    assert told["removed"] == EDITS + 8
    assert told["bytes"] > EDITS * 5_000 // 2
    assert (told["size_before"], told["size"]) == (size, database.stat().st_size)
    assert told["size"] < size
    assert [held(database, name) for name in names] == before
    for name in names:
        assert read(database, partial(length, name)) == 0


async def length(document: str, reader: Reader) -> int:
    return len((await reader.history(document)).entries)


def test_only_what_is_old_goes(compact: Run, database: Path) -> None:
    """What is kept of history begins with what the document was then."""
    alice = Person("notes/x", "carol", 10)

    async def edit(store: Store) -> None:
        edit = alice.rate("polite", 1, 0)
        await store.append([edit._replace(received_at=edit.received_at + 10**9)])

    write(database, edit)
    told = json.loads(compact("notes/x", "--history-seconds", "60", "--json").stdout)
    assert (told["documents"], told["removed"]) == (1, 5)
    assert read(database, partial(length, "notes/x")) == 1
    ratings = {"alice/polite": 5, "bob/polite": 2}
    assert held(database, "notes/x")["ratings"] == ratings | {"carol/polite": 1}
    past = read(database, lambda reader: reader.past("notes/x"))
    assert past.base is not None
    assert past.base.position == 8


def test_words(compact: Run) -> None:
    result = compact("notes/", "--history-seconds", "0")
    assert "2 documents: 2 snapshots written, 65 old edits removed; the file has " in result.stdout


def test_a_damaged_document_stays_as_it_is(compact: Run, database: Path) -> None:
    with closing(sqlite3.connect(database)) as other:
        other.execute("UPDATE entries SET author = author + 1 WHERE position = 6")
        other.commit()
    result = compact("--all", "--history-seconds", "0")
    assert result.exit_code == 1
    assert "'notes/x' stays as it is: entry 6 is damaged" in result.stderr
    assert read(database, partial(length, "notes/x")) == 4
    assert read(database, partial(length, "notes/long")) == 0


def test_a_snapshot_that_cannot_be_loaded_again_replaces_nothing(
    compact: Run, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 8."""
    monkeypatch.setattr(TakenSnapshot, "verify", lambda _: False)
    before = read(database, everything)
    result = compact("--all", "--history-seconds", "0")
    assert result.exit_code == 1
    assert result.stderr.count("its snapshot cannot be loaded again") == 4
    assert read(database, everything) == before


def test_a_service_does_it_by_itself(compact: Run, database: Path) -> None:
    writer = FileWriter(database)
    writer.open()
    result = compact("--all")
    writer.close()
    assert result.exit_code == 1
    assert "open for writing in process" in result.stderr
    assert "but a service does this by itself" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "say which documents"),
        (("x", "--all"), 2, "say which documents"),
        (("none/",), 1, "no document whose name begins with 'none/'"),
        (("--all", "--history-seconds", "-1"), 2, "history-seconds"),
    ],
)
def test_what_is_refused(compact: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    result = compact(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
