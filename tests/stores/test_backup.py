"""The copy of a database: what goes wrong while it is made. (What the command does: tests/cli.)"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from persistence.sqlite import backup
from persistence.sqlite.backup import copy_database
from persistence.sqlite.writing import FileWriter
from persistence.store import StoreError, StoreInUse
from tests.stores.support import CREATED, edits, record


@pytest.fixture
def filled(database: Path) -> Path:
    with closing(FileWriter(database)) as writer:
        writer.open()
        writer.append(edits(3))
        writer.record((record(change=CREATED),))
    return database


def failing(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("it went wrong")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_a_copy_that_cannot_be_given_new_epochs_is_none(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Its positions would be taken for the original's."""

    def fail(_: sqlite3.Connection) -> None:
        raise failing(code)

    monkeypatch.setattr(backup, "_give_epochs", fail)
    with pytest.raises(StoreError, match="it went wrong"):
        copy_database(filled, tmp_path / "copy.db", lambda *_: None)
    assert not list(tmp_path.glob("copy*"))


def test_damage_that_only_the_new_epochs_meet_is_told(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise failing(sqlite3.SQLITE_CORRUPT)

    monkeypatch.setattr(backup, "_give_epochs", fail)
    made = copy_database(filled, tmp_path / "copy.db", lambda *_: None)
    assert (made.findings, made.entries) == (("it went wrong",), 3)


def test_a_service_that_is_started_on_the_target_meanwhile_keeps_its_file(
    filled: Path, tmp_path: Path
) -> None:
    started: list[FileWriter] = []

    def start(*_: object) -> None:
        if not started:
            started.append(FileWriter(tmp_path / "copy.db"))
            started[0].open()
            started[0].append(edits(1))

    with pytest.raises(StoreInUse):
        copy_database(filled, tmp_path / "copy.db", start, overwrite=True)
    assert started[0].append(edits(1)) == 2
    started[0].close()
    assert not list(tmp_path.glob("*.part*"))


def test_a_file_that_was_put_there_meanwhile_is_not_overwritten(
    filled: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"

    def put(*_: object) -> None:
        target.write_text("Dear Sir or Madam")

    with pytest.raises(StoreError, match="exists already"):
        copy_database(filled, target, put)
    assert target.read_text() == "Dear Sir or Madam"
