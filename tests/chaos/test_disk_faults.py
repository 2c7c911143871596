"""Fault 5 on the real service: a disk that is full, a database that is locked, a second server."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from sync.core.yprotocol import saved_frame
from tests.support.client import Client, connect
from tests.support.service import ServiceError, ServiceProcess

RECOVERY = 5.0  # seconds after the disk is well again
DRAFT = "drafts/1"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    async with ServiceProcess(tmp_path / "drafts.db", "--drain-seconds", "2") as service:
        yield service


async def ready(service: ServiceProcess) -> tuple[int, dict[str, str]]:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{service.url}/readyz")
    return answer.status_code, answer.json()


async def until_not_saving(service: ServiceProcess) -> str:
    """Wait until the service says that it cannot save; return why."""
    with anyio.fail_after(10):
        while (answer := await ready(service))[0] == 200:  # noqa: ASYNC110 - it is another process
            await anyio.sleep(0.05)
    assert answer[1]["status"] == "not saving"
    return answer[1]["reason"]


@contextmanager
def disk_full(service: ServiceProcess) -> Iterator[None]:
    """No file of the server's may be written beyond 4 KiB, its log included."""
    _, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (4_096, hard))
    yield
    if service.running:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def locked(service: ServiceProcess) -> Iterator[None]:
    """Somebody opened the file with the sqlite3 shell, and began a transaction."""
    other = sqlite3.connect(service.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


async def put_many(client: Client, word: str, count: int = 50) -> None:
    for number in range(count):
        await client.put(f"{word}{number}", "x" * 200)


@pytest.mark.parametrize(("fault", "says"), [(disk_full, "disk"), (locked, "locked")])
async def test_it_saves_nothing_says_so_and_recovers_by_itself(
    service: ServiceProcess,
    fault: Callable[[ServiceProcess], AbstractContextManager[None]],
    says: str,
) -> None:
    token = service.token()
    async with (
        connect(service.sync_url, DRAFT, token) as alice,
        connect(service.sync_url, DRAFT, service.token("bob")) as bob,
    ):
        await alice.synced()
        await put_many(alice, "before")
        await alice.saved()
        with fault(service):
            await put_many(alice, "during")
            await alice.send(saved_frame(b"during"))
            assert says in await until_not_saving(service)
            await bob.sees("during49", "x" * 200)  # people go on working together
            assert b"during" not in alice.peer.saved
        began = anyio.current_time()
        await alice.until(lambda: b"during" in alice.peer.saved, within=RECOVERY)
        print(f"{says}: saved again after {anyio.current_time() - began:.2f} s")
        assert (await ready(service))[0] == 200
        await service.kill()
    await service.start()
    async with connect(service.sync_url, DRAFT, token) as late:
        await late.synced()
        assert len(late.peer.answers) == 100


async def test_stopping_while_the_disk_is_full(service: ServiceProcess) -> None:
    """It ends in time, and does not claim that all is well; what it acknowledged is there."""
    async with connect(service.sync_url, DRAFT, service.token()) as alice:
        await alice.synced()
        await alice.put("before", 1)
        await alice.saved()
        with disk_full(service):
            await put_many(alice, "during")
            await until_not_saving(service)
            assert await service.terminate(within=8) == 1
    await service.start()
    async with connect(service.sync_url, DRAFT, service.token(), peer=alice.peer) as again:
        await again.synced()  # the client still has what was not saved
        await again.saved()
        assert len(again.peer.answers) == 51


async def test_two_servers_on_one_file(service: ServiceProcess, tmp_path: Path) -> None:
    second = ServiceProcess(service.database, log=tmp_path / "second.stderr")
    with pytest.raises(ServiceError) as refused:
        await second.start()
    assert "exit 1" in str(refused.value)
    assert f"is open for writing in process {service.pid}" in str(refused.value)
    async with connect(service.sync_url, DRAFT, service.token()) as alice:
        await alice.synced()
        await alice.put("q", 1)
        await alice.saved()  # the first one did not notice
