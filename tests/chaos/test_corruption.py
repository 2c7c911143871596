"""Corruption drills: doctor names the damage, the rest is served, and nothing readable is lost."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import anyio

from persistence.sqlite import checkup, repair
from persistence.sqlite.checkup import Report
from persistence.sqlite.reading import FileReader
from persistence.sqlite.writing import FileWriter
from persistence.store import (
    Acknowledgement,
    DeadLetter,
    Deletion,
    Revocation,
    Snapshot,
    StoreError,
    StoreUnavailable,
)
from sync.cli.doctor import DEEP
from sync.core.content import content
from sync.core.crdt import Replica
from sync.core.replay import replay
from tests.stores.faults import NEVER, Faults
from tests.support.ailing import NOON, Written, read, write
from tests.support.client import connect
from tests.support.service import ServiceProcess

SEED = 20_261_125
COPIES = 40
DRAFTS = ("drafts/1", "drafts/2", "drafts/3")


def damage(report: Report) -> set[str]:
    return {each.code for each in report.findings if each.severity == "damage"}


def look(database: Path) -> Report:
    return checkup.examine(database, DEEP.look)


def mend(database: Path) -> Report:
    repair.repair(database, look(database), DEEP)
    return look(database)


def contents(written: Written) -> dict[str, object]:
    return {name: content_of(written, name) for name in written.documents}


def content_of(written: Written, name: str) -> object:
    stored = written.documents[name]
    snapshot = stored.snapshot.update if stored.snapshot else None
    updates = [entry.edit.update for entry in stored.entries]
    return content(replay(snapshot, updates).document.encode())


# A service that was killed


async def fill(service: ServiceProcess) -> None:
    """Five answers in each draft, saved; then the service dies."""
    for draft in DRAFTS:
        async with connect(service.sync_url, draft, service.token()) as client:
            await client.synced()
            for number in range(5):
                await client.put(f"q{number}", f"{draft} says {number}" * 30)
                await client.saved()
    await service.kill()


async def served(service: ServiceProcess, draft: str) -> dict[str, str]:
    async with connect(service.sync_url, draft, service.token("bob")) as client:
        await client.synced()
        return dict(client.peer.answers)


def expected(draft: str) -> dict[str, str]:
    return {f"q{number}": f"{draft} says {number}" * 30 for number in range(5)}


def harm(database: Path) -> None:
    """An edit of the second draft, what sums up all drafts, and the name of one."""
    with closing(sqlite3.connect(database)) as raw:
        raw.execute('UPDATE entries SET "update" = zeroblob(500) WHERE position = 8')
        raw.execute("UPDATE tallies SET size = 77, edits = 7")
        raw.execute("UPDATE names SET name = 'drafts/x' WHERE name = 'drafts/2'")
        raw.commit()


async def test_what_a_killed_service_left_is_damaged(tmp_path: Path) -> None:
    database = tmp_path / "drafts.db"
    async with ServiceProcess(database) as service:
        await fill(service)
        await anyio.to_thread.run_sync(harm, database)
        found = damage(await anyio.to_thread.run_sync(look, database))
        assert {"entry.unfit", "tally.unfit", "name.torn"} <= found
        await service.start()
        for draft in ("drafts/1", "drafts/3"):  # with the damage, too
            assert await served(service, draft) == expected(draft)
        assert await service.terminate() == 0
        assert damage(await anyio.to_thread.run_sync(mend, database)) == set()
        await service.start()
        for draft in ("drafts/1", "drafts/3"):
            assert await served(service, draft) == expected(draft)
        kept = await served(service, "drafts/2")
        assert kept.items() < expected("drafts/2").items()
        # Whoever still has the document open brings back what was lost.
        async with connect(service.sync_url, "drafts/2", service.token()) as client:
            await client.synced()
            for number in range(5):
                await client.put(f"q{number}", f"drafts/2 says {number}" * 30)
            await client.saved()
        assert await served(service, "drafts/2") == expected("drafts/2")


async def test_the_log_of_a_killed_service_is_cut(tmp_path: Path) -> None:
    database = tmp_path / "drafts.db"
    async with ServiceProcess(database) as service:
        await fill(service)
        log = anyio.Path(f"{database}-wal")
        whole = await log.read_bytes()
        await log.write_bytes(whole[: 32 + 4_120 * 6])
        report = await anyio.to_thread.run_sync(look, database)
        assert "log.truncated" in damage(report)
        [finding] = [each for each in report.findings if each.code == "log.truncated"]
        assert finding.count > 0
        await anyio.to_thread.run_sync(mend, database)
        assert damage(await anyio.to_thread.run_sync(look, database)) == set()
        await service.start()
        for draft in DRAFTS:  # as far as it goes
            assert (await served(service, draft)).items() <= expected(draft).items()
        assert await served(service, DRAFTS[0])


async def test_a_page_of_noise_in_what_a_service_wrote(tmp_path: Path) -> None:
    database = tmp_path / "drafts.db"
    async with ServiceProcess(database) as service:
        await fill(service)
        await service.start()
        assert await service.terminate() == 0  # all is in the database file
        with closing(sqlite3.connect(database)) as raw:
            sql = "SELECT pageno FROM dbstat WHERE name = 'entries' AND pagetype = 'internal'"
            [(root,)] = raw.execute(sql).fetchall() or [(0,)]
        assert root
        noisy = bytearray(await anyio.Path(database).read_bytes())
        noisy[(root - 1) * 4_096 : root * 4_096] = random.Random(SEED).randbytes(4_096)
        await anyio.Path(database).write_bytes(noisy)
        assert "pages.malformed" in damage(await anyio.to_thread.run_sync(look, database))
        assert damage(await anyio.to_thread.run_sync(mend, database)) == set()
        await service.start()
        found = [await served(service, draft) for draft in DRAFTS]
        # All leaves of the tree are read; what stood in its root page itself is one row or two.
        lost = sum(
            len(expected(draft)) - len(one) for draft, one in zip(DRAFTS, found, strict=True)
        )
        assert lost <= 5
        for draft, one in zip(DRAFTS, found, strict=True):
            assert one.items() <= expected(draft).items()


# A full disk


def _disk_full() -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_a_disk_that_fills_in_the_middle_of_compaction(tmp_path: Path) -> None:
    database = tmp_path / "drafts.db"
    sound = write(database, documents=1, sessions=0)
    last = sound.documents["drafts/0"].head
    replica = Replica(whole_of(sound, "drafts/0"))
    taken = Snapshot("drafts/0", last, replica.encode(), replica.state_vector(), NOON)
    for k in range(1, 30):
        faults = Faults(_disk_full)
        faults.arm(NEVER)
        writer = FileWriter(database, connect=faults.connect)
        writer.open()
        faults.arm(k)
        failed = False
        try:
            writer.compact(taken)
            writer.thin("drafts/0", NOON + 5)
        except StoreUnavailable:
            failed = True
        writer.close()
        report = look(database)
        assert damage(report) == set(), (k, report.findings)
        assert contents(read(database)) == contents(sound)
        if not failed:
            break
    assert 5 < k < 29  # every statement had its turn


def whole_of(written: Written, name: str) -> bytes:
    stored = written.documents[name]
    snapshot = stored.snapshot.update if stored.snapshot else None
    return replay(snapshot, [entry.edit.update for entry in stored.entries]).document.encode()


# One byte, anywhere


def fill_with_everything(database: Path) -> Written:
    """Documents that are whole, thinned, deleted and purged, sessions, and what is kept of them."""
    write(database, documents=5, edits=8, sessions=1)
    with closing(FileReader(database)) as reader:
        past = reader.past("drafts/0", 2)
    replica = Replica(replay(None, [one.edit.update for one in past.entries]).document.encode())
    beginning = Snapshot(
        "drafts/0", past.position, replica.encode(), replica.state_vector(), NOON + 1
    )
    hook = "https://example.com/hook"
    with closing(FileWriter(database)) as writer:
        writer.open()
        writer.rebase(beginning)
        writer.thin("drafts/0", NOON + 2, 2)
        writer.thin("drafts/2", NOON + 60)
        for name in ("drafts/3", "drafts/4"):
            writer.delete(Deletion(name, "root", NOON))
        while writer.purge("drafts/4"):
            pass
        writer.revoke(Revocation("sub", "mallory", NOON, NOON + 9, "root"))
        writer.acknowledge((Acknowledgement("s-0", "alice", 7),))
        writer.advance(hook, "s-0", 5, DeadLetter(hook, "s-0", 4, "404", NOON))
    return read(database)


def test_a_byte_anywhere_is_found_or_harmless_and_mended(tmp_path: Path) -> None:
    database = tmp_path / "drafts.db"
    sound = fill_with_everything(database)
    whole, expect = database.read_bytes(), contents(sound)
    used = [[n for n in range(at, at + 4_096) if whole[n]] for at in range(0, len(whole), 4_096)]
    random_ = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    for _ in range(COPIES):
        place, mask = random_.choice(random_.choice(used)), random_.randrange(1, 256)
        for path in tmp_path.iterdir():
            path.unlink()
        copy = bytearray(whole)
        copy[place] ^= mask
        database.write_bytes(copy)
        outcomes[_outcome(database, sound, expect, f"byte {place} ^ {mask}")] += 1
    assert outcomes["mended"] > COPIES // 2, outcomes


def _outcome(database: Path, sound: Written, expect: dict[str, object], where: str) -> str:
    try:
        report = look(database)
    except StoreError:
        return "refused"  # a file that looks newer
    if not report.damaged:
        assert read(database) == sound, f"silent: {where}"
        return "harmless"
    assert damage(mend(database)) == set(), where
    now = read(database)
    assert now.documents.keys() == sound.documents.keys(), where
    gone = 0
    for name, stored in now.documents.items():
        before = {e.position for e in sound.documents[name].entries}
        covered = stored.snapshot.position if stored.snapshot else 0
        gone += len(before - {e.position for e in stored.entries} - set(range(covered + 1)))
        assert stored.deleted == sound.documents[name].deleted, where
        assert content_of(now, name) == expect[name] or gone, where
    assert gone <= 1, where
    return "mended"
