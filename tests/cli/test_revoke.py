"""``draftsync revoke``: by the service and without one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from persistence.store import Revocation
from sync.server.revoking import CLOCKS
from tests.cli.conftest import Run
from tests.cli.databases import evaluation, read
from tests.support.client import connect
from tests.support.service import ROOT, SECRET, ServiceProcess

COMMAND = (sys.executable, "-m", "sync.cli.main", "revoke")
DAY = 86_400.0


@pytest.fixture
def database(tmp_path: Path) -> Path:
    evaluation(tmp_path / "drafts.db")
    return tmp_path / "drafts.db"


def kept(path: Path) -> list[Revocation]:
    return read(path, lambda reader: reader.revocations())


@pytest.mark.parametrize(
    ("option", "kind", "said"),
    [("--sub", "sub", "all tokens of mallory issued until 20"), ("--jti", "jti", "mallory is")],
)
def test_it_is_written_where_no_service_runs(
    run: Run, database: Path, option: str, kind: str, said: str
) -> None:
    before = time.time()
    result = run("revoke", option, "mallory", "--database", str(database))
    assert (result.exit_code, result.stderr) == (0, "")
    assert said in result.stdout
    [revocation] = kept(database)
    assert (revocation.kind, revocation.value, revocation.by) == (kind, "mallory", "operator")
    assert before <= revocation.at <= time.time() + 0.001
    assert revocation.until == pytest.approx(revocation.at + 30 * DAY + CLOCKS)


def test_as_json_and_as_long_as_a_token_lives(
    run: Run, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAFTSYNC_MAX_TOKEN_TTL", str(DAY))
    result = run("revoke", "--sub", "日本", "--database", str(database), "--json")
    told = json.loads(result.stdout)
    assert told.keys() == {"sub", "jti", "at", "until", "by"}
    assert (told["sub"], told["jti"], told["by"]) == ("日本", None, "operator")
    [revocation] = kept(database)
    assert revocation.until == pytest.approx(revocation.at + DAY + CLOCKS)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "one of the two"),
        (("--sub", "a", "--jti", "b"), "one of the two"),
        (("--sub", ""), "1 to 256"),
        (("--jti", "x" * 257), "1 to 256"),
        (("--sub", "a\nb"), "control"),
        (("mallory",), "nexpected"),
    ],
)
def test_what_names_no_tokens(
    run: Run, database: Path, arguments: tuple[str, ...], reason: str
) -> None:
    result = run("revoke", *arguments, "--database", str(database))
    assert result.exit_code == 2
    assert reason in result.stderr
    assert kept(database) == []


def test_a_database_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    result = run("revoke", "--sub", "mallory", "--database", str(tmp_path / "other.db"))
    assert result.exit_code == 1
    assert not (tmp_path / "other.db").exists()


async def test_a_running_service_closes_connections_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "drafts.db"

    async def revoke(*more: str) -> subprocess.CompletedProcess[bytes]:
        return await anyio.run_process(
            [*COMMAND, "--sub", "mallory", "--database", str(path), *more],
            check=False,
            cwd=ROOT,
            env={"DRAFTSYNC_JWT_SECRET": SECRET, "DRAFTSYNC_PORT": str(service.port)},
        )

    async with ServiceProcess(path) as service:
        token = service.token("mallory", iat=time.time())
        async with (
            connect(service.sync_url, "drafts/1", token) as mallory,
            connect(service.sync_url, "drafts/1", service.token("bob")) as bob,
        ):
            await mallory.put("a", 1)
            await mallory.saved()
            ran = await revoke()
            assert (ran.returncode, ran.stderr) == (0, b"")
            assert b"all tokens of mallory" in ran.stdout
            assert (await mallory.ended()).code == 4401
            await bob.sees("a", 1)
            await bob.saved()
        await service.restart()
        async with connect(service.sync_url, "drafts/1", token) as again:
            assert (await again.ended()).code == 4401
        wrong = await revoke("--token", service.token("bob"))
        assert wrong.returncode == 1
        assert b"administrators" in wrong.stderr
    [revocation] = await anyio.to_thread.run_sync(kept, path)
    assert (revocation.kind, revocation.value) == ("sub", "mallory")
