"""``draftsync webhooks``: with the service up or down; for people and for programs."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from typer.testing import Result

from persistence.sqlite import open_sqlite
from persistence.store import DeadLetter, Event, Record, SessionState, Store
from tests.cli.conftest import Run
from tests.server.parts import eventually
from tests.server.test_webhook_post import HttpReceiver, receiving, reply
from tests.server.webhook_parts import SECRET, caught_up, until
from tests.support.service import SECRET as JWT_SECRET
from tests.support.service import ServiceProcess

BEGAN = 1_790_000_000.0
STATE = SessionState("9b1c5f0e6a7d4c32", "running", "{}")
TOML = """
webhook_secret = "{secret}"

[[webhooks]]
name = "crm"
url = "{url}"
"""

Command = Callable[..., Awaitable[Result]]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DRAFTSYNC_")]:
        monkeypatch.delenv(name)


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def database(tmp_path: Path, receiver: HttpReceiver) -> Path:
    """Two sessions: of s1 two events are dead letters and two are waiting, of s2 only notes."""
    path = tmp_path / "drafts.db"
    async with open_sqlite(path) as store:
        await store.enlist("crm")
        for offset in (1, 2):
            await happens(store, "s1", offset)
            letter = DeadLetter("crm", "s1", offset, "it answered 500 (tried 12 times)", BEGAN)
            await store.advance("crm", "s1", offset, letter)
        for offset in (3, 4):
            await happens(store, "s1", offset)
        await happens(store, "s1", 5, "note")
        await happens(store, "s2", 1, "note")
    toml = anyio.Path(tmp_path / "draftsync.toml")
    await toml.write_text(TOML.format(secret=SECRET, url=receiver.url))
    return path


async def happens(store: Store, session: str, number: int, kind: str = "session.paused") -> None:
    event = Event(f"{session}-{number}", kind, "alice", BEGAN + number, "{}")
    await store.record([Record(session, event, STATE)])


@pytest.fixture
def webhooks(run: Run, database: Path) -> Command:
    async def invoke(*arguments: str) -> Result:
        given = ("webhooks", *arguments, "--database", str(database))
        return await anyio.to_thread.run_sync(run, *given)

    return invoke


def listed(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


# -- list and dead


async def test_the_list(webhooks: Command) -> None:
    header, row = listed(await webhooks("list"))
    assert header[:2] == ["webhook", "configured"]
    assert row[:5] == ["crm", "yes", "1", "2", "2"]


async def test_the_list_for_programs(webhooks: Command, tmp_path: Path, database: Path) -> None:
    async with open_sqlite(database) as store:
        await store.enlist("old")
    async with await anyio.open_file(tmp_path / "draftsync.toml", "a") as toml:
        await toml.write('[[webhooks]]\nname = "new"\nurl = "https://new.example.org"\n')
    told = {
        each.pop("consumer"): each for each in json.loads((await webhooks("list", "--json")).stdout)
    }
    assert told == {
        "crm": {
            "configured": True,
            "enlisted": True,
            "sessions_behind": 1,
            "events_behind": 2,
            "oldest": "2026-09-21T14:13:23.000Z",
            "dead_letters": 2,
        },
        "new": {
            "configured": True,
            "enlisted": False,
            "sessions_behind": 0,
            "events_behind": 0,
            "oldest": None,
            "dead_letters": 0,
        },
        "old": {
            "configured": False,
            "enlisted": True,
            "sessions_behind": 0,
            "events_behind": 0,
            "oldest": None,
            "dead_letters": 0,
        },
    }


async def test_dead_letters(webhooks: Command) -> None:
    header, *rows = listed(await webhooks("dead"))
    assert header == ["webhook", "session", "offset", "time", "reason"]
    assert [row[:4] for row in rows] == [
        ["crm", "s1", "1", "2026-09-21T14:13:20.000Z"],
        ["crm", "s1", "2", "2026-09-21T14:13:20.000Z"],
    ]
    told = json.loads((await webhooks("dead", "--offset", "2", "--json")).stdout)
    assert told == [
        {
            "consumer": "crm",
            "session": "s1",
            "offset": 2,
            "reason": "it answered 500 (tried 12 times)",
            "time": "2026-09-21T14:13:20.000Z",
        }
    ]
    for nothing in (("--session", "s2"), ("--consumer", "other")):
        assert json.loads((await webhooks("dead", *nothing, "--json")).stdout) == []


async def test_no_address_is_shown(webhooks: Command, receiver: HttpReceiver) -> None:
    for command in (("list",), ("dead",), ("list", "--json"), ("replay",)):
        result = await webhooks(*command)
        assert "key=7" in receiver.url
        assert "key=7" not in result.output
        assert SECRET not in result.output


# -- replay


async def test_replay_without_a_service(
    webhooks: Command, receiver: HttpReceiver, database: Path
) -> None:
    result = await webhooks("replay")
    assert (result.exit_code, result.stdout) == (0, "2 delivered\n")
    assert [json.loads(each.body)["offset"] for each in receiver.requests] == [1, 2]
    async with open_sqlite(database) as store:
        assert not await store.dead_letters()
        assert ("s1", 2, 5) in await store.behind("crm")  # and nothing else was sent
    assert (await webhooks("replay")).stdout == "0 delivered\n"


async def test_one_event_for_programs(webhooks: Command, receiver: HttpReceiver) -> None:
    result = await webhooks("replay", "--session", "s1", "--offset", "2", "--json")
    assert json.loads(result.stdout) == {"delivered": 1, "failed": [], "left": 0}
    assert [json.loads(each.body)["offset"] for each in receiver.requests] == [2]


async def test_a_replay_that_fails(webhooks: Command, receiver: HttpReceiver) -> None:
    receiver.answers += [reply(503)] * 2
    result = await webhooks("replay")
    assert result.exit_code == 1
    assert "it answered 503" in result.stdout
    assert "0 delivered, 1 failed, 1 not tried" in result.stdout
    told = json.loads((await webhooks("replay", "--json")).stdout)
    assert (told["delivered"], told["failed"][0]["offset"], told["left"]) == (0, 1, 1)
    assert len(json.loads((await webhooks("dead", "--json")).stdout)) == 2


async def test_many_are_sent_to_the_end(
    webhooks: Command, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.server.webhook_replay.MOST_LETTERS", 1)
    assert (await webhooks("replay")).stdout == "2 delivered\n"
    assert len(receiver.requests) == 2


async def test_options_instead_of_a_file(
    webhooks: Command, receiver: HttpReceiver, tmp_path: Path
) -> None:
    await anyio.Path(tmp_path / "draftsync.toml").unlink()
    result = await webhooks("replay", "--webhook", receiver.url, "--webhook-secret", SECRET)
    assert result.exit_code == 1
    assert "no webhook of this name is configured" in result.stdout  # its name is another one
    assert (await webhooks("replay", "--webhook", "nonsense")).exit_code == 2


async def test_no_database(run: Run, tmp_path: Path) -> None:
    for command in ("list", "dead", "replay"):
        given = ("webhooks", command, "--database", str(tmp_path / "none.db"))
        result = await anyio.to_thread.run_sync(run, *given)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "there is no database" in result.stderr
    assert not (tmp_path / "none.db").exists()


async def test_a_service_sends_and_replays(
    webhooks: Command,
    receiver: HttpReceiver,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The real service: it catches up at its start, holds the lock, and replays when asked."""
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", JWT_SECRET)
    config = ("--config", str(tmp_path / "draftsync.toml"))
    async with ServiceProcess(database, *config) as service:
        await eventually(lambda: len(receiver.requests) == 2)
        listed_now = json.loads((await webhooks("list", "--json")).stdout)
        assert listed_now[0]["dead_letters"] == 2
        result = await webhooks("replay", "--url", "http://127.0.0.1:1")
        assert result.exit_code == 1
        assert "no service answers" in result.stderr
        result = await webhooks("replay", "--url", service.url)
        assert (result.exit_code, result.stdout) == (0, "2 delivered\n"), result.output
        assert SECRET not in await service.stderr()
        assert "key=7" not in await service.stderr()
    assert [json.loads(each.body)["offset"] for each in receiver.requests] == [3, 4, 1, 2]
    async with open_sqlite(database) as store:
        await until(lambda: caught_up(store))


async def test_killed_while_a_receiver_thinks(receiver: HttpReceiver, database: Path) -> None:
    """SIGKILL during a request: after the restart it is sent again, and then the next one."""
    receiver.answers, receiver.hang = [b"HTTP/1.1 "], True
    config = ("--config", str(database.parent / "draftsync.toml"))
    async with ServiceProcess(database, *config) as service:
        await eventually(lambda: len(receiver.requests) == 1)
        await service.kill()
        receiver.hang = False
        await service.start()
        await eventually(lambda: len(receiver.requests) == 3)
    first, again, following = receiver.requests
    assert [json.loads(each.body)["offset"] for each in (again, following)] == [3, 4]
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"]


async def test_a_lock_without_an_address(webhooks: Command, database: Path) -> None:
    """Somebody has the database, and nobody answers where the settings say."""
    async with open_sqlite(database):
        result = await webhooks("replay", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "token" in result.stderr


def test_help_shows_no_defaults(run: Run) -> None:
    for command in ("list", "dead", "replay"):
        assert run("webhooks", command, "--help").exit_code == 0
