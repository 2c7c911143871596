"""``draftsync sessions``: with the service up and down; for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console
from typer.testing import Result

from persistence.sqlite import open_sqlite
from persistence.store import Record, Snapshot
from sync.core.report_formats import CSV_COLUMNS
from sync.core.session import State, Step
from tests.cli.conftest import SECRET, Run
from tests.cli.evaluation import NOON, Story, written
from tests.cli.test_docs import on_a_terminal
from tests.support.service import ServiceProcess

Ask = Callable[..., Awaitable[Result]]


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    path = tmp_path / "drafts.db"
    async with written(path):
        pass
    async with written(path, "s2", State.STOPPED):
        pass
    async with written(path, "s3", State.CREATED):
        pass
    return path


@pytest.fixture
def ask(run: Run, database: Path) -> Ask:
    """Run a command on the database, beside the loop of the test."""

    async def asked(*arguments: str) -> Result:
        given = ("sessions", *arguments, "--database", str(database))
        return await anyio.to_thread.run_sync(lambda: run(*given))

    return asked


def lines_of(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


def words(text: str) -> list[str]:
    return text.split()


async def told(ask: Ask, *arguments: str) -> Any:
    result = await ask(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# -- list


async def test_the_list(ask: Ask) -> None:
    header, first, second, third = lines_of(await ask("list"))
    assert header == words("id state project cases members events created (UTC) active")
    assert first[:6] == ["s1", "running", "Support", "agent", "2", "4"]
    assert second == words("s2 stopped Support agent 2 4 7 2026-09-21 14:13 9m 00s")
    assert third == words("s3 created Support agent 2 2 1 2026-09-21 14:13 0s")


async def test_a_list_for_programs(ask: Ask) -> None:
    first, second, third = await told(ask, "list")
    assert [each["number"] for each in (first, second, third)] == [1, 2, 3]
    assert (second["id"], second["state"], second["top"]) == ("s2", "stopped", 7)
    assert second["active_seconds"] == 540
    assert [each["subject"] for each in second["members"]] == ["lena", "dave", "alice", "bob"]
    assert "form" not in first


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--state", "stopped"), ["s2"]),
        (("--state", "paused"), []),
        (("--after", "1"), ["s2", "s3"]),
        (("--limit", "2"), ["s1", "s2"]),
        (("--after", "1", "--limit", "1"), ["s2"]),
    ],
)
async def test_a_part_of_the_list(ask: Ask, arguments: tuple[str, ...], found: list[str]) -> None:
    assert [each["id"] for each in await told(ask, "list", *arguments)] == found


async def test_where_the_list_goes_on(ask: Ask) -> None:
    result = await ask("list", "--limit", "2")
    assert "--after 2" in result.stderr
    assert "--after" not in (await ask("list", "--limit", "4")).stderr


async def test_a_session_that_cannot_be_read_is_left_out_and_said(ask: Ask, database: Path) -> None:
    async with open_sqlite(database) as store:
        broken = await store.session("s1")
        assert broken is not None
        change = broken.current._replace(body="{}")
        [event] = await store.events("s1", 0, 1)
        await store.record([Record("s1", event.event._replace(id="new"), change)])
    result = await ask("list")
    assert [line[0] for line in lines_of(result)] == ["id", "s2", "s3"]
    assert "left out" in result.stderr


# -- show


async def test_a_session_for_people(ask: Ask) -> None:
    result = await ask("show", "s1")
    shown = lines_of(result)
    assert shown[0] == ["s1", "running"]
    assert words("alice Alice evaluator 09-21 14:13 3 of 6") in shown
    assert words("dave Dave evaluator invited 0 of 6") in shown
    assert words("c1 Refund after 30 days 2 3 120 75% 1 09-21 14:16") in [
        [*line[:7], "120", *line[8:]] for line in shown
    ]
    assert words("c2 Angry customer 0 0 0 0% 0 –") in shown


async def test_a_session_for_programs(ask: Ask) -> None:
    session = await told(ask, "show", "s1")
    first, second = session["cases"]
    assert first["drafts"] == ["drafts/s1/c1", "drafts/s1/c1/bob"]
    assert (first["edits"], first["completion"], first["completed"]) == (3, 0.75, ["alice"])
    assert (second["edits"], second["completion"], second["completed"]) == (0, 0.0, [])
    assert (session["id"], session["top"], session["open_steps"]) == (
        "s1",
        6,
        ["join", "leave", "pause", "stop"],
    )


# -- events


async def test_events_for_people(ask: Ask) -> None:
    header, *lines = lines_of(await ask("events", "s1"))
    assert header == words("offset time (UTC) kind actor data")
    assert [line[0] for line in lines] == ["1", "2", "3", "4", "5", "6"]
    assert lines[5] == [
        *("6", "09-21", "14:18:30", "review.note", "alice"),
        *("text=look", "at", "this", "again"),
    ]


async def events(ask: Ask, *arguments: str) -> list[Any]:
    result = await ask("events", "s1", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_events_for_programs(ask: Ask) -> None:
    assert (await events(ask))[5] == {
        "offset": 6,
        "id": "e6",
        "kind": "review.note",
        "actor": "alice",
        "time": "2026-09-21T14:18:30.000Z",
        "data": {"text": "look at this again"},
    }


@pytest.mark.parametrize(
    ("arguments", "offsets"),
    [
        (("--after", "4"), [5, 6]),
        (("--limit", "2"), [1, 2]),
        (("--kind", "session.*"), [1, 2, 3, 4]),
        (("--kind", "session.joined", "--after", "2"), [3]),
        (("--kind", "none"), []),
        (("--after", "99"), []),
    ],
)
async def test_some_events(ask: Ask, arguments: tuple[str, ...], offsets: list[int]) -> None:
    assert [each["offset"] for each in await events(ask, *arguments)] == offsets


async def test_where_the_events_go_on(ask: Ask) -> None:
    assert "--after 4" in (await ask("events", "s1", "--limit", "4")).stderr
    assert (await ask("events", "s1", "--limit", "7")).stderr == ""


async def test_following_a_stopped_session_ends(ask: Ask) -> None:
    result = await ask("events", "s2", "--follow", "--json")
    assert [json.loads(line)["offset"] for line in result.stdout.splitlines()] == [*range(1, 8)]


async def test_following_a_session_until_it_is_stopped(ask: Ask, database: Path) -> None:
    results: list[Result] = []

    async def follow() -> None:
        results.append(
            await ask(*["events", "s3", "--follow", "--after", "0", "--json", "--kind", "review.*"])
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        async with open_sqlite(database) as store:
            story = await Story.found(store, "s3")
            for n in range(15):
                await story.publish("review.note", {"n": n}, 1 + n)
            await story.step(Step.START, 100)
            await story.step(Step.STOP, 200)
    [result] = results
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["data"]["n"] for each in found] == [*range(15)]


# -- report


async def test_a_report_for_people(ask: Ask) -> None:
    shown = lines_of(await ask("report", "s2"))
    assert words("stopped since 2026-09-21 14:14:20 UTC: 9m 00s, 9m 00s of it active") in shown
    assert ["alice", "all", "2", "2"] in [line[:4] for line in shown]
    assert ["c2", "0", "0", "–", "–", "0/2", "0%", "–", "–", "–"] in shown
    assert shown[-1][:4] == ["7", "events", "draft.completed=1", "review.note=1"]


async def test_a_report_for_programs(ask: Ask) -> None:
    report = await told(ask, "report", "s2")
    assert (await ask("report", "s2", "--format", "json")).exit_code == 0
    assert report["duration_seconds"] == 540
    first = report["rows"][0]
    assert (first["evaluator"], first["case"], first["edits"]) == ("alice", "c1", 2)
    assert (first["active_seconds"], first["completion"]) == (30, 1.0)
    assert report["incomplete"] is False


async def test_how_long_a_pause_counts(ask: Ask) -> None:
    report = await told(ask, "report", "s2", "--idle-seconds", "29")
    assert report["rows"][0]["active_seconds"] == 0


async def test_a_report_for_spreadsheets(ask: Ask) -> None:
    result = await ask("report", "s2", "--format", "csv")
    assert result.stdout_bytes.count(b"\r\n") == 5
    lines = list(csv.DictReader(io.StringIO(result.stdout_bytes.decode(), newline="")))
    assert tuple(lines[0]) == CSV_COLUMNS
    assert [(line["evaluator"], line["case"]) for line in lines] == [
        *[("alice", "c1"), ("alice", "c2")],
        *[("bob", "c1"), ("bob", "c2")],
    ]


async def test_a_report_says_what_is_lacking(ask: Ask, database: Path) -> None:
    async with open_sqlite(database) as store:
        first = (await store.load("drafts/s1/c1")).entries[0]
        await store.compact(
            Snapshot("drafts/s1/c1", first.position, first.edit.update, b"", NOON + 1)
        )
        assert await store.thin("drafts/s1/c1", NOON + 71) == 1
    assert (
        "incomplete: retention removed the first edits of 1 draft"
        in (await ask("report", "s1")).stdout
    )
    report = await told(ask, "report", "s1")
    assert (report["incomplete"], report["rows"][0]["edits"]) == (True, 1)


async def test_a_damaged_row_is_left_out_of_a_report_and_said(ask: Ask, database: Path) -> None:
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("UPDATE entries SET received_at = 7 WHERE position = 1")
        raw.commit()
    report = await told(ask, "report", "s1")
    assert "1 damaged row of 1 draft" in report["lacking"][0]
    assert report["rows"][0]["edits"] == 1


# -- stop


async def test_stop_without_a_service(ask: Ask) -> None:
    result = await ask("stop", "s1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("s1 is stopped; it was active ")
    session = await told(ask, "show", "s1")
    assert (session["state"], session["open_steps"], session["top"]) == ("stopped", [], 7)
    last = (await events(ask))[-1]
    assert (last["kind"], last["actor"]) == ("session.stopped", "operator")
    assert last["data"] == {"state": "stopped"}


@pytest.mark.parametrize(
    ("session", "says"),
    [
        ("s2", "no step is open"),
        ("s3", "join, leave, start"),
        ("s9", "there is no session 's9' in this database"),
    ],
)
async def test_what_cannot_be_stopped(ask: Ask, session: str, says: str) -> None:
    result = await ask("stop", session)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr


def test_stop_makes_no_database(run: Run, tmp_path: Path) -> None:
    result = run("sessions", "stop", "s1", "--database", str(tmp_path / "none.db"))
    assert result.exit_code == 1
    assert "there is no database" in result.stderr
    assert not list(tmp_path.iterdir())


async def test_stop_beside_a_service_nobody_knows_the_address_of(
    ask: Ask, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
    monkeypatch.setenv("DRAFTSYNC_PORT", "1")
    async with open_sqlite(database):
        result = await ask("stop", "s1")
    assert result.exit_code == 1
    assert "is open for writing in process" in result.stderr
    assert "no service answers at http://127.0.0.1:1" in result.stderr
    assert SECRET not in result.output


async def test_through_a_running_service(
    ask: Ask, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading beside it, and stopping through it: with the secret, and with a token."""
    async with written(database, "s4"):
        pass
    async with ServiceProcess(database, secret=SECRET) as service:
        assert [line[0] for line in lines_of(await ask("list"))] == ["id", "s1", "s2", "s3", "s4"]
        assert (await ask("report", "s1")).exit_code == 0
        result = await ask("stop", "s1", "--url", service.url)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "DRAFTSYNC_TOKEN" in result.stderr
        result = await ask("stop", "s1", "--url", service.url, "--token", service.token("eve"))
        assert result.exit_code == 1
        assert "no right to the session" in result.stderr
        lead = service.token("lena", sessions={"s1": "lead"})
        stopped = await told(ask, "stop", "s1", "--url", service.url, "--token", lead)
        assert (stopped["id"], stopped["state"]) == ("s1", "stopped")
        assert (await events(ask))[-1]["actor"] == "lena"
        monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
        monkeypatch.setenv("DRAFTSYNC_PORT", str(service.port))
        assert (await ask("stop", "s4")).exit_code == 0  # found by the settings, being in use
        assert (await told(ask, "show", "s4"))["state"] == "stopped"
        assert "no step is open" in (await ask("stop", "s4")).stderr


# -- all of them


@pytest.mark.parametrize("command", ["show", "events", "report"])
async def test_an_unknown_session(ask: Ask, command: str) -> None:
    result = await ask(command, "s9")
    assert (result.exit_code, result.stdout.count("s9")) == (1, 0)
    assert "there is no session 's9'" in result.stderr


@pytest.mark.parametrize("command", ["list", "show s1", "events s1", "report s1"])
def test_no_database(run: Run, tmp_path: Path, command: str) -> None:
    result = run("sessions", *command.split(), "--database", str(tmp_path / "none.db"))
    assert result.exit_code == 1
    assert f"there is no database {tmp_path / 'none.db'}" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "show",
        "list --state asleep",
        "list --limit 0",
        "report s1 --format xml",
        "report s1 --idle-seconds -1",
        "events s1 --after x",
        "stop s1 --url ftp://x",
        "watch s1 --url nowhere",
        "watch s1 --interval 0",
        "nonsense",
    ],
)
def test_what_is_not_understood(run: Run, command: str) -> None:
    result = run("sessions", *command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize("command", ["list", "show", "events", "report", "watch", "stop"])
def test_help_has_an_example_and_no_secret(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAFTSYNC_TOKEN", "the-token-of-mine")
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
    result = run("sessions", command, "--help")
    assert result.exit_code == 0
    assert f"For example: draftsync sessions {command}" in " ".join(result.stdout.split())
    assert "--json" in result.stdout
    assert "the-token-of-mine" not in result.stdout
    assert SECRET not in result.stdout


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", ["list", "show s1", "events s1", "report s1"])
async def test_what_is_shown_fits_a_terminal(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    def console() -> Console:
        return Console(width=columns, force_terminal=True, color_system=None, highlight=False)

    monkeypatch.setattr("sync.cli.screen.console", console)
    result = await ask(*command.split())
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert ("bytes" in result.stdout) == (
        command == "show s1" or (columns == 100 and "rep" in command)
    )


async def test_on_a_terminal(database: Path) -> None:
    given = ("sessions", "list", "--database", str(database))
    lines = await anyio.to_thread.run_sync(on_a_terminal, 80, *given)
    assert [line.split()[0] for line in lines] == ["id", "s1", "s2", "s3"]


async def test_a_terminal_is_not_told_what_to_do(ask: Ask, database: Path) -> None:
    """What others wrote moves no cursor."""
    async with open_sqlite(database) as store:
        story = await Story.found(store, "s1")
        await story.publish("review.note", {"text": "\x1b[2J\x9b2J\u202eevil"}, 400)
    shown = (await ask("events", "s1")).stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)
    assert "\\x1b[2J" in shown
