"""``draftsync demo``: it shows what it says, says when it is not so, and leaves nothing behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
import httpx
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from pycrdt import Doc, Map
from rich.console import Console

from sync.cli import demo
from sync.cli.demo_sample import SEED_CLIENT, sample
from sync.cli.demo_screens import Content
from sync.cli.demo_session import BEGUN, CASES, FORM, fill_in, open_session, sample_form
from sync.cli.demo_story import Edit
from sync.cli.http import open_service
from sync.client import DocumentClient
from sync.core.content import content
from sync.forms.definition import form_definition
from sync.forms.draft import view
from sync.forms.validation import issues
from sync.server.address import bind
from tests.support.service import ROOT

PATIENCE = 60.0
CASE = next(iter(CASES))
DEMO = (sys.executable, "-m", "sync.cli.main", "demo", "--port", "0")
CLAIMS = (
    "✓ both screens are equal, and every edit is saved on the server's disk",
    "✓ Alice's edits are saved; 4 of Bob's wait with him",
    "edits that were reported saved",
    "✓ Alice, Bob and a third person see the same draft, with every edit once",
)


ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


async def run(
    *options: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    with anyio.fail_after(PATIENCE):
        return await anyio.run_process(
            [*DEMO, *options],
            check=False,
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        )


@asynccontextmanager
async def started(database: Path, until: str, *options: str) -> AsyncIterator[tuple[Process, str]]:
    """The demo as far as it has printed this; with all that it printed."""
    command = [*DEMO, "--database", str(database), *options]
    process = await anyio.open_process(command, stderr=None, cwd=ROOT)
    try:
        assert process.stdout is not None
        with anyio.fail_after(PATIENCE):
            text = ""
            async for part in TextReceiveStream(process.stdout):
                text += part
                if re.search(until, text):
                    break
        yield process, text
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()  # and not kill: it has a child to stop
            await process.wait()
            await process.aclose()


async def test_once_tells_the_story_plainly_and_ends(tmp_path: Path) -> None:
    database = tmp_path / "demo.db"
    done = await run("--once", "--database", str(database))
    text = done.stdout.decode()
    assert done.returncode == 0, text + done.stderr.decode()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert all(claim in text for claim in CLAIMS)
    assert re.search(r"edits made +23 ", text)
    assert re.search(r"of these missing on the disk +0 *\n", text)
    assert re.search(r"missing at the end +0 *\n", text)
    assert re.search(r"doubled at the end +0 *\n", text)
    with closing(sqlite3.connect(database)) as rows:
        assert rows.execute("pragma integrity_check").fetchall() == [("ok",)]


async def test_a_database_may_be_given_again_and_no_foreign_settings_are_taken(
    tmp_path: Path,
) -> None:
    (tmp_path / "draftsync.toml").write_text('jwt_public_key = "missing.pem"\n')
    again = ("--once", "--database", "demo.db")
    for _ in range(2):
        done = await run(*again, cwd=tmp_path, DRAFTSYNC_JWKS_URL="http://127.0.0.1:9")
        assert done.returncode == 0, done.stdout.decode()
    command = [*DEMO[:3], "docs", "list", "--database", str(tmp_path / "demo.db")]
    listed = await anyio.run_process(command, cwd=ROOT)
    drafts = re.findall(r"^drafts/\S+", listed.stdout.decode(), re.MULTILINE)
    assert drafts == ["drafts/refund-042", "drafts/refund-042-2"]


def test_on_a_terminal_it_has_colours_and_keeps_to_the_width() -> None:
    text = on_a_terminal(80, *DEMO, "--once")
    plain = ANSI.sub("", text)
    assert "\x1b[" in text
    assert all(claim in plain for claim in CLAIMS)
    assert max(len(line.rstrip("\r")) for line in re.split(r"[\r\n]+", plain)) <= 80


def on_a_terminal(columns: int, *command: str) -> str:
    """Run a command to its good end on a terminal of so many columns; return what it printed."""
    here, there = pty.openpty()
    termios.tcsetwinsize(there, (50, columns))
    environment = os.environ | {"TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdout=there, stdin=there, cwd=ROOT, env=environment)
    os.close(there)
    printed = b""
    with suppress(OSError):  # how a terminal says that nobody writes to it any more
        while part := os.read(here, 65536):
            printed += part
    os.close(here)
    assert process.wait(PATIENCE) == 0
    return printed.decode()


async def test_it_serves_until_a_signal_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").write_text("the page")
    web = ("--web", str(tmp_path / "web"))
    async with started(tmp_path / "demo.db", LAST_LINK, "--fast", *web) as (process, text):
        links = dict(re.findall(r"(\w+) +(?:evaluator|lead|observer|administrator) +(\S+)", text))
        assert list(links) == ["Alice", "Bob", "Lena", "Olga", "Admin"]
        assert "token=" not in text
        url = links["Olga"].removesuffix("/demo/olga")
        told = await signed_in(links["Olga"])
        assert told["session"] == "help-desk"
        doc: Doc[Any] = Doc()
        async with DocumentClient(url, demo.DRAFT, doc, token=told["token"]) as client:
            await client.synced()
        ratings = doc.get("ratings", type=Map)
        assert len([key for key in ratings if key.startswith("alice/")]) == 5
        await there_is_something_to_see(url, told["token"])
        await ends_well(process, signal.SIGINT)


LAST_LINK = r"/demo/admin *\n"


async def signed_in(link: str) -> dict[str, str]:
    """What a link hands to the page."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(link)
        assert answer.status_code == 302
        page = await http.get(httpx.URL(link).join(answer.headers["location"]))
        assert page.text == "the page"
    return dict(parse_qsl(answer.headers["location"].removeprefix("/#")))


async def there_is_something_to_see(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers) as http:
        session = (await http.get("sessions/help-desk")).json()
    assert session["state"] == "running"
    assert len(session["test_cases"]) == 4
    roles = {each["subject"]: each["role"] for each in session["members"]}
    assert roles == dict.fromkeys(("alice", "bob"), "evaluator") | {
        "lena": "lead",
        "olga": "observer",
    }
    assert [each["name"] for each in session["members"]] == ["Lena", "Alice", "Bob", "Olga"]
    doc: Doc[Any] = Doc()
    async with DocumentClient(url, f"drafts/help-desk/{CASE}", doc, token=token) as client:
        await client.synced()
    begun = {key.partition("/")[0] for key in doc.get("ratings", type=Map)}
    assert begun == ({"alice", "bob"} if FORM.exists() else set())


def test_the_web_app_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "WEBAPP", tmp_path)
    assert demo._built() is None
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/index.html").touch()
    assert demo._built() == tmp_path / "dist"


async def test_without_the_web_app_it_says_how_to_get_it(tmp_path: Path) -> None:
    text = await as_told(demo.ServiceProcess("127.0.0.1", 0, tmp_path / "demo.db"))
    assert "The web app is not built: 'make web' builds it" in text
    assert "/demo/" not in text
    assert "new WebsocketProvider('ws://127.0.0.1:" in text


async def test_who_kills_the_server_sees_it_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "DOWN_SECONDS", 0.01)
    service = demo.ServiceProcess("127.0.0.1", 0, tmp_path / "demo.db")
    out = Console(file=StringIO(), width=80, highlight=False)
    assert isinstance(out.file, StringIO)

    async def told(pattern: str, times: int) -> list[str]:
        assert isinstance(out.file, StringIO)
        while len(found := re.findall(pattern, out.file.getvalue())) < times:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        return found

    with anyio.fail_after(PATIENCE):
        async with demo._running(service), anyio.create_task_group() as tasks:
            tasks.start_soon(demo._serve, out, service, demo.DRAFT)
            (first,) = await told(r"kill -9 (\d+) ", 1)
            url = service.url
            os.kill(int(first), signal.SIGKILL)
            _, second = await told(r"kill -9 (\d+) ", 2)
            assert (second != first, service.url) == (True, url)
            assert len(await told("The server was killed", 1)) == 1
            tasks.cancel_scope.cancel()


async def test_a_service_that_ends_otherwise_ends_the_demo(tmp_path: Path) -> None:
    service = demo.ServiceProcess("127.0.0.1", 0, tmp_path / "demo.db")
    with anyio.fail_after(PATIENCE):
        async with demo._running(service):
            assert service.pid is not None
            os.kill(service.pid, signal.SIGTERM)
            with pytest.raises(demo.CannotServe, match="its log is"):
                await service.killed()


async def as_told(service: demo.ServiceProcess) -> str:
    """What is printed when the story has been told, and the service serves."""
    out = Console(file=StringIO(), width=80, highlight=False)
    assert isinstance(out.file, StringIO)
    with anyio.fail_after(PATIENCE):
        async with demo._running(service), anyio.create_task_group() as tasks:
            tasks.start_soon(demo._serve, out, service, demo.DRAFT)
            while "Serving at" not in out.file.getvalue():  # noqa: ASYNC110 - nobody announces it
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    return out.file.getvalue()


@pytest.mark.parametrize(
    ("url", "everybody"),
    [
        ("http://127.0.0.1:3001", False),
        ("http://[::1]:3001", False),
        ("http://localhost:3001", False),
        ("http://0.0.0.0:3001", True),
        ("http://192.168.1.7:3001", True),
        ("http://[::]:3001", True),
    ],
)
def test_links_that_others_may_use_have_a_warning(url: str, everybody: bool) -> None:
    out = Console(file=StringIO(), width=80, highlight=False)
    demo._invite(out, url, "help-desk-2")
    assert isinstance(out.file, StringIO)
    text = out.file.getvalue()
    assert f"{url}/demo/bob?session=help-desk-2" in text
    assert ("Whoever reaches this address" in text) == everybody


def test_a_directory_without_an_app_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--web", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"--web {tmp_path}: there is no index.html in it; 'make web' builds it" in done.stderr


async def test_a_session_goes_on_in_a_database_that_is_given_again(tmp_path: Path) -> None:
    """Until it was stopped: then there is a new one."""
    service = demo.ServiceProcess("127.0.0.1", 0, tmp_path / "demo.db")
    with anyio.fail_after(PATIENCE):
        async with demo._running(service):
            for _ in range(2):
                assert await open_session(service.url, service.token) == "help-desk"
            async with open_service(service.url, lambda: service.token("lena")) as http:
                await http.post("sessions", "help-desk", "stop")
            assert await open_session(service.url, service.token) == "help-desk-2"


def test_the_first_answers_fit_the_form() -> None:
    raw = sample_form()
    assert raw is not None
    form = form_definition(raw)
    doc: Doc[Any] = Doc()
    for subject, answers in BEGUN.items():
        fill_in(doc, subject, answers)
    found = content(doc.get_update())
    assert issues(form, found) == ()
    seen = view(form, found)
    assert seen.shared == {"verdict": "unsure", "topics": ["policy", "refund"]}
    assert [each.subject for each in seen.evaluators] == ["alice", "bob"]
    assert seen.comments["reasoning"].startswith("Friendly")


async def test_a_signal_in_the_middle_of_the_story_is_an_orderly_end(tmp_path: Path) -> None:
    async with started(tmp_path / "demo.db", "1  Alice and Bob") as (process, _):
        await ends_well(process, signal.SIGTERM)


async def ends_well(process: Process, number: signal.Signals) -> None:
    """It ends with code 0 at this signal, and so does the service that it started."""
    children = children_of(process.pid)
    assert len(children) == 1
    process.send_signal(number)
    with anyio.fail_after(PATIENCE):
        assert await process.wait() == 0
    assert not [child for child in children if await anyio.Path(f"/proc/{child}").exists()]


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    taken = bind("127.0.0.1", 0)
    with taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        done = await run("--once", "--port", port, "--database", str(tmp_path / "demo.db"))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in done.stdout.decode()
    assert "--port 0" in done.stdout.decode()


class LosesEdits(demo.ServiceProcess):
    """A service of which nothing is on disk after it was killed."""

    async def on_disk(self, document: str) -> Content:
        return {"of": document}


async def test_a_lost_edit_fails_the_demo(tmp_path: Path) -> None:
    out = Console(file=StringIO(), width=80, highlight=False)
    service = LosesEdits("127.0.0.1", 0, tmp_path / "demo.db")
    with anyio.fail_after(PATIENCE):
        assert await demo._run(out, service, 0.0, True) == 1
    assert isinstance(out.file, StringIO)
    text = out.file.getvalue()
    assert text.endswith("\n✗ edits that were reported saved are not on disk\n")
    assert CLAIMS[1] in text
    assert CLAIMS[3] not in text


async def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "demo.db").write_text("this is no database, and long enough to be one" * 100)
    done = await run("--once", "--database", str(tmp_path / "demo.db"))
    assert done.returncode == 1
    assert "✗ the service does not start:\n" in done.stdout.decode()


def test_the_sample_seeded_twice_doubles_nothing() -> None:
    doc: Doc[Any] = Doc()
    doc.apply_update(sample().get_update())
    before, shown = doc.get_update(), content(doc.get_update())
    doc.apply_update(sample().get_update())
    assert doc.get_update() == before
    assert sample().get_update() == before
    assert sample().client_id == SEED_CLIENT
    assert shown["comment/summary"] == "Verdict: "
    assert "ratings" not in shown


@pytest.mark.parametrize(
    ("edit", "times"),
    [
        (Edit(("ratings", "bob/tone"), 4), 1),
        (Edit(("ratings", "bob/tone"), 3), 0),
        (Edit(("ratings", "eve/tone"), 4), 0),
        (Edit(("ratings", "bob/policy"), False), 1),
        (Edit(("ratings", "bob/policy"), 0), 0),
        (Edit(("comment/summary",), "twice "), 2),
        (Edit(("comment/summary",), "once "), 1),
        (Edit(("comment/summary",), "never "), 0),
    ],
)
def test_an_edit_is_counted_where_it_was_made(edit: Edit, times: int) -> None:
    found = {
        "ratings": {"bob/tone": 4, "bob/policy": False},
        "comment/summary": "once twice twice ",
    }
    assert edit.count(found) == times
