"""``draftsync docs export``: what documents hold, and the whole database, as files."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import sqlite3
import zipfile
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from persistence.store import Deletion
from sync.cli import exporting
from sync.core.content import content
from sync.inspection.archive import DOCUMENTS, ArchiveReader
from tests.cli.conftest import Run
from tests.cli.databases import evaluation, held, write
from tests.cli.evaluation import NOON


@pytest.fixture
def database(tmp_path: Path) -> Path:
    evaluation(tmp_path / "drafts.db")
    return tmp_path / "drafts.db"


@pytest.fixture
def export(run: Run, database: Path) -> Run:
    return partial(run, "docs", "export", "--database", str(database))


def test_json(export: Run) -> None:
    result = export("notes/x", "drafts/s1/c1")
    assert (result.exit_code, result.stderr) == (0, "")
    notes, draft = json.loads(result.stdout)
    assert notes["name"] == "notes/x"
    assert notes["content"]["ratings"] == {"alice/polite": 5, "bob/polite": 2}
    assert notes["form"] is None
    assert draft["form"]["id"] == "agent-eval"
    assert draft["form"]["evaluators"][0]["answers"] == {"polite": True, "correct": True}


def test_json_of_nothing(export: Run) -> None:
    assert json.loads(export("--prefix", "none/").stdout) == []


def test_json_of_many(export: Run, tmp_path: Path) -> None:
    assert export("--all", "-o", str(tmp_path / "all.json")).exit_code == 0
    names = [each["name"] for each in json.loads((tmp_path / "all.json").read_text())]
    assert names == ["drafts/s1/c1", "drafts/s1/c1/bob", "notes/x"]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_ratings(export: Run) -> None:
    rows = rows_of(export("--all", "--format", "csv").stdout)
    found = [(r["document"], r["subject"], r["question"], r["value"]) for r in rows]
    assert found == [
        ("drafts/s1/c1", "alice", "correct", "true"),
        ("drafts/s1/c1", "alice", "polite", "true"),
        ("drafts/s1/c1/bob", "bob", "polite", "true"),
        ("notes/x", "", "polite", found[3][3]),
        ("notes/x", "alice", "polite", "5"),
        ("notes/x", "bob", "polite", "2"),
    ]
    first, last = rows[0], rows[-1]
    assert first["session"] == "s1"
    assert first["author"] == "alice"
    assert first["label"] == "correct · alice"
    assert (last["position"], last["author"]) == ("5", "bob")
    assert last["time"] == "2026-09-21T14:25:05.000Z"
    assert last["offline"] == "false"


def test_a_rating_is_no_formula(export: Run) -> None:
    """CSV injection: see sync.core.report_formats."""
    rows = rows_of(export("notes/x", "--format", "csv").stdout)
    assert {row["value"] for row in rows} & {"'=1+1well", "well=1+1"}


def test_one_update(export: Run, database: Path, tmp_path: Path) -> None:
    assert export("notes/x", "--format", "update", "-o", str(tmp_path / "x")).exit_code == 0
    assert content((tmp_path / "x").read_bytes()) == held(database, "notes/x")


def test_one_update_to_a_pipe(export: Run, database: Path) -> None:
    result = export("notes/x", "--format", "update")
    assert content(result.stdout_bytes) == held(database, "notes/x")


def test_updates_by_their_names(export: Run, database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "updates"
    assert export("--all", "--format", "update", "-o", str(folder)).exit_code == 0
    files = {each.name: each for each in folder.iterdir()}
    assert set(files) == {
        "drafts%2Fs1%2Fc1.update",
        "drafts%2Fs1%2Fc1%2Fbob.update",
        "notes%2Fx.update",
    }
    assert content(files["notes%2Fx.update"].read_bytes()) == held(database, "notes/x")
    again = export("--all", "--format", "update", "-o", str(folder))
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def test_an_archive_says_what_it_holds(export: Run, tmp_path: Path) -> None:
    target = tmp_path / "all.zip"
    assert export("--all", "--format", "archive", "-o", str(target)).exit_code == 0
    with target.open("rb") as file:
        reader = ArchiveReader(file)
        reader.verify()
        assert reader.manifest["position"] == 8
        counts = {"document": 3, "entry": 8, "session": 1, "event": reader.counts["event"]}
        assert reader.counts == counts
        assert [each["document"] for each in reader.lines(DOCUMENTS) if "document" in each] == [
            "drafts/s1/c1",
            "drafts/s1/c1/bob",
            "notes/x",
        ]
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None


def test_deleted_documents_are_not_exported_but_archived(export: Run, database: Path) -> None:
    async def delete(store: Any) -> None:
        await store.delete(Deletion("notes/x", "root", NOON))

    write(database, delete)
    names = [each["name"] for each in json.loads(export("--all").stdout)]
    assert names == ["drafts/s1/c1", "drafts/s1/c1/bob"]
    with ArchiveBytes(export("--all", "--format", "archive").stdout_bytes) as reader:
        assert (reader.counts["document"], reader.counts["deletion"]) == (3, 1)


class ArchiveBytes:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __enter__(self) -> ArchiveReader:
        return ArchiveReader(io.BytesIO(self.data))

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "say which documents"),
        (("x", "--all"), 2, "say which documents"),
        (("a//b",), 2, "segment"),
        (("none",), 1, "there is no document 'none'"),
        (("notes/x", "--format", "archive"), 2, "give --all"),
        (("--all", "--format", "update"), 2, "go to a folder"),
        (("--all", "-o", "none/x"), 1, "there is no folder"),
        (("--all", "-o", "."), 2, "is a folder"),
        (("--all", "-o", "drafts.db"), 1, "exists already"),
        (("--all", "--format", "docx"), 2, "docx"),
    ],
)
def test_what_is_refused(export: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    Path("drafts.db").touch()
    result = export(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


@pytest.mark.parametrize("form", ["json", "csv", "archive"])
def test_an_export_that_lacks_what_is_damaged_fails(
    export: Run, database: Path, tmp_path: Path, form: str
) -> None:
    """It is written all the same: the rest of it is good."""
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("UPDATE entries SET author = author + 1 WHERE position = 7")
        raw.commit()
    target = tmp_path / "out"
    result = export("--all", "--format", form, "-o", str(target))
    assert result.exit_code == 1
    assert result.stderr.count("damaged: 'notes/x': entry 7") == 1
    assert "is not in it" in result.stderr
    assert target.stat().st_size > 0


def test_what_a_snapshot_has_is_exported_though_its_history_is_damaged(
    run: Run, export: Run, database: Path, tmp_path: Path
) -> None:
    whole = export("notes/x").stdout
    assert run("docs", "compact", "--all", "--database", str(database)).exit_code == 0
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("UPDATE entries SET author = author + 1 WHERE position = 7")
        raw.commit()
    result = export("notes/x")
    assert (result.exit_code, result.stdout, result.stderr) == (0, whole, "")
    assert export("notes/x", "--format", "csv").exit_code == 1  # who set what is history
    archive, other = str(tmp_path / "all.zip"), str(tmp_path / "other.db")
    assert export("--all", "--format", "archive", "-o", archive).exit_code == 1
    assert run("docs", "import", archive, "--database", other).exit_code == 0
    again = json.loads(run("docs", "export", "notes/x", "--database", other).stdout)
    assert again[0]["content"] == json.loads(whole)[0]["content"]


def test_a_pipe_is_written_to_and_not_replaced(export: Run, tmp_path: Path) -> None:
    pipe, told = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reading = Thread(target=lambda: told.append(pipe.read_bytes()))
    reading.start()
    assert export("notes/x", "-o", str(pipe), "--force").exit_code == 0
    reading.join()
    assert json.loads(told[0])[0]["name"] == "notes/x"
    assert pipe.is_fifo()


def test_an_export_that_breaks_off_leaves_nothing(
    export: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that was there before stays, and no half of an archive is made whole."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_archive_sessions", fail)
    (tmp_path / "all.zip").write_text("of before")
    made = ("--all", "--format", "archive", "-o", str(tmp_path / "all.zip"))
    assert isinstance(export(*made, "--force").exception, OSError)
    gc.collect()  # an abandoned zip is not ended, which would be warned of
    assert (tmp_path / "all.zip").read_text() == "of before"
    assert not [*tmp_path.glob("*.part"), *tmp_path.glob(".*.part")]


def test_what_is_exported_is_for_its_owner_only(export: Run, tmp_path: Path) -> None:
    export("--all", "-o", str(tmp_path / "all.json"))
    assert (tmp_path / "all.json").stat().st_mode & 0o777 == 0o600
