"""``draftsync docs delete``: softly, for ever, by the service and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest

from persistence.store import Deletion, Reader
from tests.cli.conftest import Run
from tests.cli.databases import evaluation, everything, read
from tests.support.client import connect
from tests.support.service import ROOT, SECRET, ServiceProcess

COMMAND = (sys.executable, "-m", "sync.cli.main")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    evaluation(tmp_path / "drafts.db")
    return tmp_path / "drafts.db"


@pytest.fixture
def docs(run: Run, database: Path) -> Run:
    def docs(command: str, *arguments: str) -> object:
        return run("docs", command, *arguments, "--database", str(database))

    return docs  # type: ignore[return-value] # the same but for its first words


def deletions(path: Path) -> list[Deletion]:
    return read(path, lambda reader: reader.deletions())


def test_deleted_and_brought_back(docs: Run, database: Path) -> None:
    before = read(database, everything)
    result = docs("delete", "notes/x", "drafts/s1/c1", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["notes/x is deleted", "drafts/s1/c1 is deleted"]
    found = deletions(database)
    assert [(each.document, each.by, each.purged) for each in found] == [
        ("drafts/s1/c1", "operator", False),
        ("notes/x", "operator", False),
    ]
    for name in ("notes/x", "drafts/s1/c1"):
        result = docs("restore", name)
        assert (result.exit_code, result.stdout) == (0, f"{name} is back\n")
    assert read(database, everything) == before


def test_purged(docs: Run, database: Path) -> None:
    """Only its name is left, until it may begin anew."""
    told = json.loads(docs("delete", "notes/x", "--purge", "--yes", "--json").stdout)
    assert told == {"deleted": [], "purged": ["notes/x"], "refused": []}
    [deletion] = deletions(database)
    assert deletion.purged
    assert read(database, partial(entries_of, "notes/x")) == 0
    assert read(database, partial(entries_of, "drafts/s1/c1")) == 2
    assert docs("delete", "notes/x", "--purge", "--yes").exit_code == 0, "once more is no harm"
    assert deletions(database) == [deletion]
    assert docs("restore", "notes/x").exit_code == 0
    assert deletions(database) == []


def test_a_deleted_one_can_be_purged_later(docs: Run, database: Path) -> None:
    docs("delete", "notes/x", "--yes")
    [deletion] = deletions(database)
    assert docs("delete", "notes/x", "--yes").exit_code == 0, "once more is no harm"
    assert deletions(database) == [deletion]
    assert docs("delete", "notes/x", "--purge", "--yes").exit_code == 0
    assert read(database, partial(entries_of, "notes/x")) == 0


async def entries_of(document: str, reader: Reader) -> int:
    return len((await reader.past(document)).entries)


def test_what_is_not_there_is_named_and_the_rest_deleted(docs: Run) -> None:
    result = docs("delete", "none", "notes/x", "--yes")
    assert (result.exit_code, result.stdout) == (1, "notes/x is deleted\n")
    assert "there is no document 'none'" in result.stderr


def test_nothing_is_deleted_unasked(docs: Run, database: Path) -> None:
    result = docs("delete", "notes/x")
    assert result.exit_code == 2
    assert "give --yes" in result.stderr
    assert deletions(database) == []


def test_no_database_is_made(run: Run, tmp_path: Path) -> None:
    result = run("docs", "delete", "x", "--yes", "--database", str(tmp_path / "none.db"))
    assert result.exit_code == 1
    assert "there is no database" in result.stderr
    assert not list(tmp_path.glob("none.db*"))


def test_a_database_that_is_given_is_the_one_that_is_meant(
    docs: Run, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not that of a service which the environment, or the file, names for every command."""
    monkeypatch.setenv("DRAFTSYNC_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
    result = docs("delete", "notes/x", "--yes")
    assert (result.exit_code, result.stdout) == (0, "notes/x is deleted\n")
    monkeypatch.delenv("DRAFTSYNC_URL")
    (tmp_path / "draftsync.toml").write_text('url = "http://127.0.0.1:1"\n')
    assert docs("delete", "drafts/s1/c1", "--yes").exit_code == 0
    assert len(deletions(database)) == 2
    result = docs("delete", "drafts/s1/c1/bob", "--yes", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "no service answers at http://127.0.0.1:1" in result.stderr


def test_a_restore_of_what_is_not_deleted(docs: Run) -> None:
    result = docs("restore", "notes/x")
    assert result.exit_code == 1
    assert "is not deleted" in result.stderr


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


async def test_by_no_service_of_another_database(tmp_path: Path) -> None:
    """Where the address of the settings is that of another service, nothing is done by it."""
    async with (
        ServiceProcess(tmp_path / "meant.db") as meant,
        ServiceProcess(tmp_path / "other.db") as other,
    ):
        for service in (meant, other):
            async with connect(service.sync_url, "notes/x", service.token()) as alice:
                await alice.synced()
                await alice.put("q", 1)
                await alice.saved()
        delete = partial(
            command, "docs", "delete", "notes/x", "--yes", "--database", str(meant.database),
            DRAFTSYNC_JWT_SECRET=SECRET, DRAFTSYNC_PORT=str(other.port),
        )  # fmt: skip
        done = await anyio.to_thread.run_sync(delete)
        assert done.returncode == 1
        assert f"in process {meant.pid}; but the service at http" in done.stderr
        assert "is another one" in done.stderr
    for each in ("meant.db", "other.db"):
        assert await anyio.to_thread.run_sync(deletions, tmp_path / each) == []


async def test_by_the_service_where_one_runs(tmp_path: Path) -> None:
    """Who has the document open is told, and nobody opens it until it is brought back."""
    database = tmp_path / "live.db"
    async with ServiceProcess(database) as service:
        docs = partial(
            command, "docs", DRAFTSYNC_DATABASE=str(database), DRAFTSYNC_JWT_SECRET=SECRET,
            DRAFTSYNC_PORT=str(service.port),
        )  # fmt: skip
        async with connect(service.sync_url, "notes/x", service.token()) as alice:
            await alice.synced()
            await alice.put("q", 1)
            await alice.saved()
            done = await anyio.to_thread.run_sync(partial(docs, "delete", "notes/x", "--yes"))
            assert (done.returncode, done.stderr) == (0, "")
            assert (await alice.ended()).code == 4404
        async with connect(service.sync_url, "notes/x", service.token()) as alice:
            assert (await alice.ended()).code == 4404
        done = await anyio.to_thread.run_sync(partial(docs, "restore", "notes/x"))
        assert (done.returncode, done.stdout) == (0, "notes/x is back\n"), done.stderr
        async with connect(service.sync_url, "notes/x", service.token()) as alice:
            await alice.sees("q", 1)


async def test_a_service_that_cannot_be_found(tmp_path: Path) -> None:
    database = tmp_path / "live.db"
    async with ServiceProcess(database) as service:
        delete = partial(command, "docs", "delete", "x", "--yes", "--database", str(database))
        done = await anyio.to_thread.run_sync(
            partial(delete, DRAFTSYNC_JWT_SECRET=SECRET, DRAFTSYNC_PORT="1")
        )
        assert done.returncode == 1
        assert f"open for writing in process {service.pid}" in done.stderr
        assert "no service answers at http://127.0.0.1:1" in done.stderr
