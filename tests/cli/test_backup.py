"""``draftsync backup``: what it makes, what it refuses, and the way back."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import connect as websocket

from persistence.sqlite import backup as backup_module
from persistence.sqlite import open_sqlite_readonly
from persistence.sqlite.backup import Copy, copy_database
from persistence.sqlite.writing import FileWriter
from persistence.store import Edit, StoreError, StoreInUse
from sync.core.session import State
from tests.cli.conftest import Run
from tests.cli.evaluation import NOON, written
from tests.server.parts import an_edit
from tests.support.client import Peer, connect
from tests.support.events import Api
from tests.support.service import ServiceProcess

DRAFT = "drafts/1"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "drafts.db"

    async def make() -> None:
        async with written(path, until=State.STOPPED):
            pass

    anyio.run(make)
    return path


def copied(source: Path, target: Path, **more: Any) -> Copy:
    return copy_database(source, target, lambda *_: None, **more)


async def everything(path: Path) -> dict[str, Any]:
    """What can be read of a database, but for its epochs."""
    async with open_sqlite_readonly(path) as reader:
        sessions = await reader.sessions()
        return {
            "heads": (heads := await reader.heads()),
            "documents": [await reader.load(head.document) for head in heads],
            "sessions": [
                (s.session, s.current.state, s.current.body, s.top, s.truncated, s.acknowledged)
                for s in sessions
            ],
            "events": [await reader.events(each.session) for each in sessions],
        }


async def epochs(path: Path) -> list[str]:
    async with open_sqlite_readonly(path) as reader:
        return [reader.epoch, *[each.current.epoch for each in await reader.sessions()]]


def test_a_copy_holds_everything_under_new_epochs(database: Path, tmp_path: Path) -> None:
    made = copied(database, tmp_path / "copy.db")
    assert (made.documents, made.entries, made.position, made.findings) == (2, 3, 3, ())
    assert made.size == (tmp_path / "copy.db").stat().st_size
    assert anyio.run(everything, tmp_path / "copy.db") == anyio.run(everything, database)
    before, after = anyio.run(epochs, database), anyio.run(epochs, tmp_path / "copy.db")
    assert len(set(before) | set(after)) == len(before) + len(after) == 4


def test_nothing_but_the_copy_is_left(run: Run, database: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    target = tmp_path / "copies" / "monday.db"
    database.chmod(0o640)
    result = run("backup", str(target), "--database", str(database))
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{target}: 2 documents with 3 edits, up to position 3;" in result.stdout
    assert [each.name for each in target.parent.iterdir()] == ["monday.db"]
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_copy_for_programs(run: Run, database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    told = json.loads(run("backup", str(target), "--json", "--database", str(database)).stdout)
    assert told.pop("seconds") > 0
    assert told == {
        "path": str(target),
        "bytes": target.stat().st_size,
        "documents": 2,
        "entries": 3,
        "position": 3,
        "findings": [],
    }


def test_what_is_only_in_the_log_is_in_the_copy(tmp_path: Path) -> None:
    """Also what the tallies do not know yet: the copy's do."""
    writer = FileWriter(tmp_path / "drafts.db")
    writer.open()
    writer.append((an_edit(DRAFT), an_edit(DRAFT)))
    writer.append((an_edit(DRAFT),))
    assert copied(tmp_path / "drafts.db", tmp_path / "copy.db").position == 3
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT head, edits FROM tallies").fetchall() == [(3, 3)]
        assert copy.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    writer.append((an_edit(DRAFT),))  # nothing keeps the writer from going on
    writer.close()


def test_the_copy_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits that come between two steps neither get into it nor make it begin again."""
    monkeypatch.setattr(backup_module, "STEP_PAGES", 1)
    writer = FileWriter(tmp_path / "drafts.db")
    writer.open()
    writer.append(tuple(Edit(DRAFT, bytes(4_000), "alice", (), NOON) for _ in range(50)))
    seen: list[tuple[int, int]] = []

    def write_on(done: int, total: int) -> None:
        seen.append((done, total))
        writer.append((an_edit("drafts/2"),))

    made = copy_database(tmp_path / "drafts.db", tmp_path / "copy.db", write_on)
    writer.close()
    assert (made.entries, made.position, made.findings) == (50, 50, ())
    assert len(seen) > 50
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_service_that_is_started_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It brings the log into the database, and would not start while a copy reads an old moment."""
    monkeypatch.setattr(backup_module, "STEP_PAGES", 1)
    database = tmp_path / "drafts.db"
    writer = FileWriter(database)
    writer.open()
    writer.append((an_edit(DRAFT), an_edit("drafts/2")))
    lock = tmp_path / "drafts.db-lock"
    steps = iter(range(1_000))

    def restart(_done: int, _total: int) -> None:
        if next(steps) == 3:
            writer.append((an_edit("drafts/3"),))
            lock.write_text("4711\n")  # as another process does

    made = copy_database(database, tmp_path / "copy.db", restart)
    writer.close()
    assert (made.documents, made.position, made.findings) == (3, 3, ())


def test_services_that_are_started_all_the_time(tmp_path: Path) -> None:
    lock = tmp_path / "drafts.db-lock"
    writer = FileWriter(tmp_path / "drafts.db")
    writer.open()
    starts = iter(range(1_000))

    def start(_done: int, _total: int) -> None:
        lock.write_text(f"{next(starts)}\n")

    with pytest.raises(StoreError, match="all the time"):
        copy_database(
            tmp_path / "drafts.db",
            tmp_path / "copy.db",
            start,
        )
    writer.close()
    assert not list(tmp_path.glob("copy*"))


def refusal(source: Path, target: Path, **more: Any) -> str:
    with pytest.raises(StoreError) as refused:
        copied(source, target, **more)
    assert not list(target.parent.glob("*.part*"))
    return str(refused.value)


def test_what_is_refused(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    (tmp_path / "letter").write_text("Dear Sir or Madam," * 100)
    (tmp_path / "empty").touch()
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE letters (text)")
    assert "there is no database" in refusal(tmp_path / "none", target)
    assert "no SQLite database" in refusal(tmp_path / "letter", target)
    assert "nothing in" in refusal(tmp_path / "empty", target)
    assert "not one of draftsync's" in refusal(tmp_path / "other", target)
    assert "is a folder" in refusal(database, tmp_path)
    assert "there is no folder" in refusal(database, tmp_path / "none" / "copy.db")
    assert "is the database itself" in refusal(database, database, overwrite=True)
    assert not target.exists()


def test_a_file_that_is_there(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_bytes(b"an earlier copy")
    assert "exists already" in refusal(database, target)
    assert target.read_bytes() == b"an earlier copy"
    copied(database, target, overwrite=True)
    assert len((anyio.run(everything, target))["heads"]) == 2


def test_a_database_in_use_is_not_overwritten(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "other.db"
    writer = FileWriter(target)
    writer.open()
    with pytest.raises(StoreInUse, match="open for writing"):
        copied(database, target, overwrite=True)
    writer.append((an_edit(DRAFT),))
    (tmp_path / "killed.db").write_bytes(target.read_bytes())
    (tmp_path / "killed.db-wal").write_bytes((tmp_path / "other.db-wal").read_bytes())
    with pytest.raises(StoreInUse, match="was not closed"):
        copied(database, tmp_path / "killed.db", overwrite=True)
    writer.close()


def test_no_room(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4_096))
    assert "has 4,096 left" in refusal(database, tmp_path / "copy.db")


def damage(database: Path) -> None:
    """Overwrite a page in the middle."""
    with database.open("r+b") as file:
        file.seek(4_096 * (database.stat().st_size // 4_096 // 2))
        file.write(os.urandom(4_096))


def test_a_damaged_database_is_copied_but_never_over_an_earlier_copy(
    run: Run, tmp_path: Path
) -> None:
    database, target = tmp_path / "drafts.db", tmp_path / "copy.db"
    writer = FileWriter(database)
    writer.open()
    writer.append((Edit(DRAFT, bytes(1_000), "alice", (), NOON),) * 500)
    writer.close()
    damage(database)
    back_up = partial(run, "backup", str(target), "--database", str(database))
    target.write_bytes(b"an earlier copy")
    result = back_up("--force")
    assert result.exit_code == 1
    assert "was left as it was" in result.stderr
    assert target.read_bytes() == b"an earlier copy"
    target.unlink()
    result = back_up()
    assert result.exit_code == 1
    assert "as damaged as the database" in result.stderr
    assert target.stat().st_size == database.stat().st_size


def test_an_older_schema_is_copied_as_it_is(run: Run, database: Path, tmp_path: Path) -> None:
    """A copy before the first start of a new version."""
    with closing(sqlite3.connect(database)) as other:
        name = "SELECT name FROM _sqlite_migrations ORDER BY name DESC LIMIT 1"
        other.execute(f"DELETE FROM _sqlite_migrations WHERE name = ({name})")
        other.commit()
    result = run("backup", str(tmp_path / "copy.db"), "--database", str(database))
    assert result.exit_code == 0
    assert "older draftsync" in result.stderr


async def test_the_restore_drill(tmp_path: Path) -> None:
    """Back up, lose everything, put the copy in place: clients bring what is newer along.

    Who followed a session's events learns that there is a gap, and is given the state instead.
    """
    database, copy = tmp_path / "drafts.db", tmp_path / "copy.db"
    alice, bob = Peer(), Peer()
    async with ServiceProcess(database) as service:
        lead = service.token("lena", sessions={"s1": "lead"})
        async with Api(service.url, lead) as api:
            epoch = (await api.create(id="s1", project="p", test_cases=["first"]))["epoch"]
        async with connect(service.sync_url, DRAFT, service.token("alice"), peer=alice) as client:
            await client.synced()
            await client.put("before", 1)
            await client.saved()
            await anyio.to_thread.run_sync(copied, database, copy)
            await client.put("after", 2)
            await client.saved()
        await service.kill()
        await anyio.to_thread.run_sync(replace, database, copy)
        await service.start()
        async with connect(service.sync_url, DRAFT, service.token("bob"), peer=bob) as client:
            await client.synced()
            assert client.peer.answers == {"before": 1}
            async with connect(
                service.sync_url, DRAFT, service.token("alice"), peer=alice
            ) as newer:
                await newer.synced()
                await newer.put("again", 3)
                await newer.saved()
                await client.sees("again", 3)
        assert bob.answers == alice.answers == {"before": 1, "after": 2, "again": 3}
        subscribed = await subscribing_again(service, lead, epoch, after=1)
        assert subscribed["recovered"] is False
        assert subscribed["session"]["project"] == "p"


async def subscribing_again(
    service: ServiceProcess, token: str, epoch: str, after: int
) -> dict[str, Any]:
    """What somebody is told who comes back with a place in the log of a session."""
    url = service.url.replace("http", "ws", 1) + f"/sessions/s1/events?token={token}"
    async with websocket(url, proxy=None) as socket:
        await socket.send(json.dumps({"type": "subscribe", "epoch": epoch, "after": after}))
        answer: dict[str, Any] = json.loads(await socket.recv())
    return answer


def replace(database: Path, copy: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink()
    copy.rename(database)
