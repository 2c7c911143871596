"""``draftsync sessions watch``: beside a real service, and what its frames look like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console, ConsoleDimensions
from rich.text import Text
from typer.testing import Result

from persistence.sqlite import open_sqlite_readonly
from sync.cli import watch as watch_module
from sync.cli.http import open_service
from sync.cli.watch_screen import frame, summary
from sync.cli.watched import Watched
from sync.server.api.session_status import SessionStatusResource
from tests.cli.conftest import SECRET, Run
from tests.cli.evaluation import written
from tests.server.parts import eventually
from tests.support.client import connect
from tests.support.service import ServiceProcess

TIME = "2026-11-22T10:00:00.000Z"


def member(subject: str, **more: Any) -> dict[str, Any]:
    return {
        "subject": subject,
        "name": subject.title(),
        "role": "evaluator",
        "member": True,
        "joined_at": TIME,
        "acknowledged": 3,
        "online": False,
        "connections": [],
        "last_committed": None,
    } | more


def connection(document: str | None, **more: Any) -> dict[str, Any]:
    return {
        "kind": "document" if document else "events",
        "document": document,
        "access": "write" if document else None,
        "since": TIME,
        "last_seen": TIME,
        "unsaved": 0,
        "latency_ms": None,
    } | more


def evaluator(subject: str, share: float | None, completed: bool = False) -> dict[str, Any]:
    progress = {"answered": 1, "required": 2, "optional_answered": 0, "share": share}
    return {
        "subject": subject,
        "progress": None if share is None else progress,
        "completed": completed,
        "completed_at": TIME if completed else None,
    }


def case(case_id: str, *evaluators: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": case_id,
        "title": f"The case {case_id}",
        "documents": [],
        "open": [],
        "edits": 0,
        "last_edit": None,
        "evaluators": list(evaluators),
    } | more


def a_status(**more: Any) -> dict[str, Any]:
    """A status as the service tells it: the description of its answers is held against it."""
    last = {"document": "drafts/s1/c1", "position": 7, "at": TIME}
    open_draft = connection("drafts/s1/c1", unsaved=2, latency_ms=1.25)
    told = {
        "session": "s1",
        "state": "running",
        "epoch": "e",
        "top": 6,
        "time": TIME,
        "active_seconds": 61.0,
        "connections": 2,
        "members": [
            member("alice", online=True, connections=[open_draft], last_committed=last),
            member("bob"),
            member("dave", joined_at=None),
            member("guest", role=None, member=False, online=True, connections=[connection(None)]),
        ],
        "test_cases": [
            case(
                "c1",
                evaluator("alice", 1.0, completed=True),
                evaluator("bob", 0.5),
                open=["alice"],
                edits=41,
                last_edit={"at": TIME, "by": "alice", "position": 7},
            ),
            case("c2", evaluator("alice", 0.0), evaluator("bob", None)),
        ],
        "other_documents": [],
        "delivery": {
            "delivered": 12,
            "success": 1.0,
            "latency_ms": {"p50": 0.8, "p95": 2.5, "p99": 12.0},
        },
    } | more
    SessionStatusResource.model_validate_json(json.dumps(told))
    return told


def an_event(offset: int, **data: Any) -> dict[str, Any]:
    return {
        "offset": offset,
        "id": f"e{offset}",
        "kind": "review.note",
        "actor": "alice",
        "time": TIME,
        "data": data,
    }


def watched(status: dict[str, Any] | None = None) -> Watched:
    made = Watched("s1")
    for offset in range(1, 7):
        made.take_event(an_event(offset, text="see the second answer " * 9))
    made.take_status(status or a_status(), 0.0)
    return made


def drawn(what: Watched, width: int = 100, height: int = 50) -> list[str]:
    console = Console(width=width, height=height, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(frame(what, ConsoleDimensions(width, height)))
    return captured.get().splitlines()


def words(text: str) -> list[str]:
    return text.split()


# -- what is known


def test_a_frame() -> None:
    lines = [line.split() for line in drawn(watched())]
    assert lines[0] == words(
        "s1 running active 1m 01s 2 online 6 events, – delivery 0.8/2.5/12 ms, 100%"
    )
    assert words("● alice evaluator c1 2 1.2 ms 50% 3 10:00:00 10:00:00") in lines
    assert words("○ bob evaluator – – – 50% 3 – –") in lines
    assert words("○ dave evaluator, invited – – – – 3 – –") in lines
    assert words("● guest guest – 0 – – 3 10:00:00 –") in lines
    assert words("c1 The case c1 41 75% 1 of 2 alice 10:00:00 alice") in lines
    assert words("c2 The case c2 0 0% 0 of 2 – –") in lines
    assert lines[-1][:5] == words("6 11-22 10:00:00 review.note alice")


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("height", [24, 40])
@pytest.mark.parametrize("rows", [1, 8, 300])
def test_a_frame_fits_its_terminal(width: int, height: int, rows: int) -> None:
    members = [member(f"evaluator-{n}") for n in range(rows)]
    cases = [case(f"case-{n}") for n in range(rows)]
    lines = drawn(watched(a_status(members=members, test_cases=cases)), width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    assert [line for line in lines if "more" in line] == [] or rows > 1
    if rows == 300:
        hidden = [int(line.split()[1]) for line in lines if line.split()[:1] == ["…"]]
        shown = sum("evaluator-" in line or "case-" in line for line in lines)
        assert shown + sum(hidden) == 2 * rows


def test_a_frame_of_old_news_says_so() -> None:
    known = watched()
    known.take_trouble("no service answers")
    assert drawn(known)[1].rstrip() == "this is of 10:00:00 UTC: no service answers"


def test_a_line() -> None:
    assert summary(a_status(), None).plain == (
        "status: running, 2 online, 41 edits, 2 unsaved, 50% filled, 1 complete"
    )
    assert summary(a_status(), "gone").plain == "trouble: gone"


def test_the_rate_of_events_is_of_late() -> None:
    known = Watched("s1")
    assert known.rate is None
    known.take_status(a_status(top=10), 100.0)
    assert known.rate is None
    known.take_status(a_status(top=20), 104.0)
    assert known.rate == 2.5
    known.take_status(a_status(top=20), 112.0)
    assert known.rate == 0.0


def test_an_event_that_comes_again_is_not_new() -> None:
    known = Watched("s1")
    assert [known.take_event(an_event(n)) for n in (1, 2, 1, 2, 3)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert [each["offset"] for each in known.events] == [1, 2, 3]


def test_it_ends_when_everything_has_come() -> None:
    known = watched(a_status(state="stopped", top=7))
    assert not known.stopped
    known.take_event(an_event(7))
    assert known.stopped
    known.take_trouble("gone")
    assert not known.stopped


# -- beside a service


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "drafts.db"


async def in_thread(run: Run, *arguments: str) -> Result:
    return await anyio.to_thread.run_sync(lambda: run("sessions", "watch", *arguments))


def test_no_service(run: Run) -> None:
    result = run("sessions", "watch", "s1", "--url", "http://127.0.0.1:1", "--token", "t")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no service answers at http://127.0.0.1:1" in result.stderr


def test_the_address_may_stand_in_the_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "draftsync.toml").write_text('url = "http://127.0.0.1:2"\ntoken = "t"\n')
    result = run("sessions", "watch", "s1")
    assert result.exit_code == 1
    assert "no service answers at http://127.0.0.1:2" in result.stderr


async def test_once(run: Run, database: Path) -> None:
    async with written(database):
        pass
    async with ServiceProcess(database) as service:
        token = service.token("olga", sessions={"*": "observe"})
        given = ("s1", "--once", "--url", service.url, "--token", token)
        async with connect(service.sync_url, "drafts/s1/c1", service.token("alice")) as alice:
            await alice.synced()
            shown = await in_thread(run, *given)
            told = await in_thread(run, *given, "--json")
        lines = [line.split() for line in shown.stdout.splitlines()]
        assert shown.exit_code == 0
        assert [line[:4] for line in lines if line[:1] == ["●"]] == [
            ["●", "alice", "evaluator", "c1"]
        ]
        assert lines[-1][3:6] == ["review.note", "alice", "text=look"]
        status = json.loads(told.stdout)
        SessionStatusResource.model_validate_json(told.stdout)
        assert (status["state"], status["top"]) == ("running", 6)
        unknown = await in_thread(run, "s9", *given[1:])
        assert (unknown.exit_code, unknown.stdout) == (1, "")
        assert "there is no session 's9'" in unknown.stderr
        refused = await in_thread(run, "s1", "--url", service.url, "--token", service.token("eve"))
        assert (refused.exit_code, refused.stdout) == (1, "")


@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_until_the_session_is_stopped_and_through_a_restart(
    run: Run, database: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every event once, whatever becomes of the connection; then it ends by itself."""
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
    async with written(database):
        pass
    results: list[Result] = []
    seen: list[int] = []
    take = Watched.take_event
    troubles: list[str | None] = []

    def take_event(self: Watched, event: dict[str, Any]) -> bool:
        seen.append(event["offset"])
        return take(self, event)

    def summarised(status: dict[str, Any] | None, trouble: str | None) -> Text:
        troubles.append(trouble)
        return summary(status, trouble)

    monkeypatch.setattr(Watched, "take_event", take_event)
    monkeypatch.setattr(watch_module, "summary", summarised)

    async with ServiceProcess(database, secret=SECRET) as service:

        async def watch() -> None:
            given = ("s1", "--url", service.url, "--interval", "0.1", *options)
            results.append(await in_thread(run, *given))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await eventually(lambda: 6 in seen)
            await service.kill()
            await eventually(lambda: any(troubles))
            await service.start()
            async with open_service(service.url, lambda: service.token("a", role="admin")) as http:
                await http.post("sessions", "s1", "stop")
    [result] = results
    assert result.exit_code == 0, result.output
    async with open_sqlite_readonly(str(database)) as reader:
        log = [each.offset for each in await reader.events("s1")]
    lines = result.stdout.splitlines()
    if options:
        told = [json.loads(line) for line in lines]
        assert [each["offset"] for each in told if each["type"] == "event"] == log
        assert "trouble" in {each["type"] for each in told}
        states = [each["status"]["state"] for each in told if each["type"] == "status"]
        assert (states[0], states[-1]) == ("running", "stopped")
    else:
        assert [int(line.split()[0]) for line in lines if line.startswith(" ")] == log
        assert any(line.startswith("trouble: ") for line in lines)
        states = [line.split()[1] for line in lines if line.startswith("status: ")]
        assert (states[0], states[-1]) == ("running,", "stopped,")
