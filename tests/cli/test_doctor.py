"""``draftsync doctor`` and ``docs verify``, for people and for programs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from persistence.sqlite.writing import FileWriter
from tests.cli.conftest import Run
from tests.cli.test_docs import COMMAND
from tests.stores.test_sqlite_damage import raw_connection
from tests.support.ailing import write
from tests.support.service import ROOT


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "drafts.db"
    write(path)
    return path


def spoil(database: Path, where: str) -> None:
    with raw_connection(database) as raw:
        raw.execute(f'UPDATE entries SET "update" = zeroblob(40) WHERE {where}')


def test_a_sound_database(run: Run, database: Path) -> None:
    result = run("doctor", "--database", str(database))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "8 documents, 160 edits" in result.stdout
    assert result.stdout.splitlines()[-1] == "no damage found"


def test_damage_is_told_repaired_and_gone(run: Run, database: Path) -> None:
    spoil(database, "position = 25")
    asked = ("doctor", "--database", str(database))
    sick = run(*asked)
    assert sick.exit_code == 1
    assert "drafts/1: the checksum of 1 entry does not fit: 25" in sick.stdout
    assert "it means: 1 edit of bob" in sick.stdout
    assert "what to do: `--fix` moves them into quarantine" in sick.stdout
    fixed = run(*asked, "--fix", "--json")
    report = json.loads(fixed.stdout)
    assert (fixed.exit_code, report["damaged"]) == (0, False)
    assert [each["document"] for each in report["repaired"]] == ["drafts/1"]
    found = {each["code"]: each["severity"] for each in report["findings"]}
    assert found["entry.pending"] == "warning"
    assert found["quarantine.content"] == "info"
    assert run(*asked).exit_code == 0


def test_json_has_everything(run: Run, database: Path) -> None:
    spoil(database, "position IN (25, 26)")
    result = run("doctor", "--json", "--quick", "--database", str(database))
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["documents"], report["entries"]) == (8, 160)
    [damage] = [each for each in report["findings"] if each["severity"] == "damage"]
    assert damage["code"] == "entry.unfit"
    assert (damage["document"], damage["positions"], damage["count"]) == ("drafts/1", [25, 26], 2)
    assert damage["fixable"] is True


def test_quick_replays_nothing(run: Run, database: Path) -> None:
    with raw_connection(database) as raw:
        from persistence.sqlite.rows import Document, open_snapshot, snapshot_row

        columns = 'document, position, taken_at, checksum, state_vector, "update"'
        [row] = raw.execute(f"SELECT {columns} FROM snapshots WHERE position = 10")
        document = Document.of(row[0], "drafts/0")
        sound = open_snapshot(row, document)
        [other] = raw.execute(f"SELECT {columns} FROM snapshots WHERE position = 50")
        assert sound is not None
        wrong = (*row[:4], other[4], other[5])
        from persistence.store import Snapshot

        made = Snapshot("drafts/0", sound.position, wrong[5], wrong[4], sound.taken_at)
        raw.execute(f"INSERT OR REPLACE INTO snapshots ({columns}) VALUES (?, ?, ?, ?, ?, ?)",
                    snapshot_row(document, made))  # fmt: skip
    assert run("doctor", "--quick", "--database", str(database)).exit_code == 0
    deep = run("doctor", "--database", str(database))
    assert deep.exit_code == 1
    assert "drafts/0: its snapshot is wrong: it has other edits than the entries" in deep.stdout
    assert run("doctor", "--fix", "--database", str(database)).exit_code == 0
    assert run("docs", "verify", "drafts/0", "--database", str(database)).exit_code == 0


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_is_no_database(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    missing = str(tmp_path / "none.db")
    result = run("doctor", *arguments, "--database", missing)
    assert result.exit_code == 1
    assert f"there is no database {missing}" in result.stderr
    if arguments:
        [finding] = json.loads(result.stdout)["findings"]
        assert finding["code"] == "file.unreadable"


def test_a_newer_file_is_named(run: Run, database: Path) -> None:
    with raw_connection(database) as raw:
        raw.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('draftsync', 'm999_everything', '2030-01-01')"
        )
    whole = database.read_bytes()
    result = run("doctor", "--fix", "--json", "--database", str(database))
    assert result.exit_code == 1
    [finding] = json.loads(result.stdout)["findings"]
    assert finding["code"] == "file.newer"
    assert "m999_everything" in result.stderr
    assert database.read_bytes() == whole


def test_beside_a_writer_it_looks_but_does_not_fix(run: Run, database: Path) -> None:
    spoil(database, "position = 25")
    writer = FileWriter(database)
    writer.open()
    try:
        assert run("doctor", "--database", str(database)).exit_code == 1
        refused = run("doctor", "--fix", "--database", str(database))
        assert refused.exit_code == 1
        assert "stop the service first" in refused.stderr
    finally:
        writer.close()


def test_verify_of_documents(run: Run, database: Path) -> None:
    spoil(database, "position = 25")
    result = run("docs", "verify", "drafts/", "--database", str(database))
    assert result.exit_code == 1
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["document", "state", "found"]
    states = {line.split()[0]: line.split()[1] for line in lines}
    assert states == {f"drafts/{n}": "damage" if n == 1 else "sound" for n in range(8)}
    one = run("docs", "verify", "drafts/2", "--json", "--database", str(database))
    assert one.exit_code == 0
    assert json.loads(one.stdout)["documents"] == [{"name": "drafts/2", "findings": []}]


def test_verify_of_nothing(run: Run, database: Path) -> None:
    result = run("docs", "verify", "none/", "--database", str(database))
    assert result.exit_code == 1
    assert "no document's name begins with 'none/'" in result.stderr


def test_a_terminal_sees_a_bar(database: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "doctor", "--database", str(database)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
        cwd=ROOT,
    )
    os.close(theirs)
    shown = bytearray()
    try:
        while part := os.read(ours, 4_096):
            shown += part
    except OSError:  # Linux says EIO when the other side is closed
        pass
    os.close(ours)
    said, _ = process.communicate()
    assert process.returncode == 0
    assert b"Checking" in shown
    assert b"no damage found" in said
