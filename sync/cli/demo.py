"""``draftsync demo``: the promise, kept before your eyes; then a service to play with."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from persistence.sqlite import open_sqlite_readonly
from persistence.store import StoreError
from sync.cli import options
from sync.cli.demo_people import PEOPLE, token_of
from sync.cli.demo_screens import Content, console
from sync.cli.demo_session import SESSION, WEBAPP, open_session
from sync.cli.demo_story import Counts, Story, StoryFailed
from sync.cli.http import ServiceError
from sync.client import ClientError
from sync.core.content import content
from sync.core.names import document_name
from sync.core.replay import replay
from sync.server.address import bind

DRAFT = "drafts/refund-042"
DAY = 24 * 3600.0
PACE = 0.15  # seconds between two edits of the story
INDEX = "index.html"
BUILD_IT = "'make web' builds it, and needs Node 20 or newer"
START_SECONDS = 20.0
STOP_SECONDS = 15.0
DOWN_SECONDS = 5.0  # long enough to see what the web app says of it
READY = b"draftsync ready "


class CannotServe(Exception):
    """The service did not start, or did not stay."""


class ServiceProcess:
    """The service as a child with a throw-away secret: started, killed, started again."""

    def __init__(self, host: str, port: int, database: Path, web: Path | None = None) -> None:
        """``web``: the built web app; None: there is none."""
        self.url = ""
        self.database = database
        self.web = web
        self.log = database.with_name(database.name + ".log")
        self._host = host
        self._port = port
        self._secret = secrets.token_hex(32)
        self._process: Process | None = None

    async def start(self) -> None:
        """Start, and wait until it takes connections. Raises CannotServe."""
        command = [sys.executable, "-m", "sync.cli.demo_service", "--config", os.devnull]
        command += ["--host", self._host, "--port", str(self._port)]
        command += ["--database", str(self.database)]
        command += [] if self.web is None else ["--web", str(self.web)]
        with await anyio.to_thread.run_sync(partial(self.log.open, "ab")) as log:
            self._process = await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stderr=log,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is for us; we stop it then
            )
        self.url = await self._ready(self._process)
        self._port = int(self.url.rpartition(":")[2])  # the same one when it starts again

    async def kill(self) -> None:
        """SIGKILL: no farewell, no flush."""
        if self._process is not None:
            self._process.kill()
            await self._ended(self._process)

    async def stop(self) -> int:
        """SIGTERM: it saves what is pending and goes. Returns its exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.terminate()
        with anyio.move_on_after(STOP_SECONDS):
            return await self._ended(self._process)
        await self.kill()
        return options.FAILED

    async def killed(self) -> None:
        """Wait until somebody kills it (SIGKILL). Raises CannotServe when it ends otherwise."""
        if self._process is None or await self._ended(self._process) != -signal.SIGKILL:
            raise CannotServe(f"the service ended; its log is {self.log}")

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process else None

    async def on_disk(self, document: str) -> Content:
        """What the database file holds of a document."""
        async with open_sqlite_readonly(str(self.database)) as reader:
            stored = await reader.load(document_name(document))
        snapshot = stored.snapshot.update if stored.snapshot else None
        replayed = replay(snapshot, [entry.edit.update for entry in stored.entries])
        return content(replayed.document.encode())

    def token(self, subject: str) -> str:
        """A token for one of the people in the demo; it holds for a day."""
        return token_of(subject, self._secret, DAY)

    def _environment(self) -> dict[str, str]:
        """Ours, but for the settings of another service."""
        kept = {key: each for key, each in os.environ.items() if not key.startswith("DRAFTSYNC_")}
        return kept | {"DRAFTSYNC_JWT_SECRET": self._secret}

    async def _ready(self, process: Process) -> str:
        assert process.stdout is not None  # noqa: S101 - open_process makes a pipe
        line = b""
        with anyio.move_on_after(START_SECONDS):
            try:
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 4096)
            except (anyio.EndOfStream, anyio.IncompleteRead):
                await process.wait()
        if not line.startswith(READY):
            raise CannotServe(f"the service does not start:\n{await self._last_words()}")
        return line.removeprefix(READY).decode().strip()

    async def _last_words(self) -> str:
        return (await anyio.Path(self.log).read_text(errors="replace")).strip()[-2000:]

    async def _ended(self, process: Process) -> int:
        code = await process.wait()
        await process.aclose()
        self._process = None
        return code


def demo(
    host: Annotated[str, typer.Option(help="Address.", envvar="DRAFTSYNC_HOST")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(help="Port; 0 takes a free one.", envvar="DRAFTSYNC_PORT", min=0, max=65535),
    ] = 3001,
    database: Annotated[
        Path | None,
        typer.Option(
            help="The SQLite file [default: in a new temporary directory].", dir_okay=False
        ),
    ] = None,
    web: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the built web app [default: examples/webapp/dist].",
            envvar="DRAFTSYNC_WEB",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Tell the story, then stop.")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="Tell the story without pauses.")] = False,
) -> None:
    """Show a team at work through a network failure and a killed server; then serve the web app.

    It runs a service of its own, with a throw-away secret. Nothing but --database names its file,
    so that it never writes into the database of another service by mistake.

    Exit code 1 when any of what it shows does not hold.
    """
    out = console()
    if (problem := _cannot_bind(host, port)) is not None:
        out.print(Text(problem, "bold red"))
        raise typer.Exit(options.FAILED)
    if web is not None and not (web / INDEX).is_file():
        options.usage_error(f"--web {web}: there is no {INDEX} in it; {BUILD_IT}")
    file = database or Path(tempfile.mkdtemp(prefix="draftsync-demo-")) / "drafts.db"
    service = ServiceProcess(host, port, file.absolute(), web or _built())
    code = anyio.run(_run, out, service, 0.0 if once or fast else PACE, once)
    if once and database is None and code == 0:
        shutil.rmtree(file.parent)
    raise typer.Exit(code)


def _built() -> Path | None:
    """The web app of this checkout, where it was built."""
    built = WEBAPP / "dist"
    return built if (built / INDEX).is_file() else None


def _cannot_bind(host: str, port: int) -> str | None:
    try:
        bind(host, port).close()
    except OSError as error:
        reason = f"cannot listen on {host}, port {port}: {error.strerror or error}"
        return f"{reason}\nchoose another port with --port 3002, or a free one with --port 0"
    return None


async def _run(out: Console, service: ServiceProcess, pace: float, once: bool) -> int:
    """The whole demo; returns the exit code."""
    failures: list[BaseException] = []
    out.print(Text("draftsync: saved means on disk; nothing reported saved is ever lost", "bold"))
    if not once:
        _whole(out, f"the database is {service.database}", "dim")
    try:
        async with _until_signal(), _running(service):
            draft = await _unused_draft(service)
            await _tell(out, service, draft, pace)
            if not once:
                await _serve(out, service, draft)
    except* (StoryFailed, ClientError, ServiceError, CannotServe, StoreError) as group:
        failures.append(_innermost(group))
    for failure in failures:
        out.print(Text(f"\n✗ {failure}", "bold red"))
    return options.FAILED if failures else 0


@asynccontextmanager
async def _until_signal() -> AsyncIterator[None]:
    """Leave the block at SIGINT, SIGTERM or SIGHUP."""
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:

            async def watch() -> None:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            yield
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _running(service: ServiceProcess) -> AsyncIterator[None]:
    try:
        await service.start()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await service.stop()


# -- what it tells


async def _tell(out: Console, service: ServiceProcess, draft: str, pace: float) -> None:
    counts = await Story(out, service, draft, pace=pace).tell()
    out.print()
    out.print(Padding(_table(counts), (0, 0, 0, 2), expand=False))


async def _unused_draft(service: ServiceProcess) -> str:
    """A draft that no story was told in: a database may be given again."""
    async with open_sqlite_readonly(str(service.database)) as reader:
        taken = {head.document for head in await reader.heads(DRAFT)}
    names = [DRAFT, *(f"{DRAFT}-{n}" for n in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)


def _table(counts: Counts) -> Table:
    by = ", ".join(f"{name.title()} {edits}" for name, edits in counts.edits.items())
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(justify="right", style="bold")
    table.add_row("edits made", str(sum(counts.edits.values())), by)
    table.add_row("reported saved before the kill", str(counts.saved_before_kill))
    table.add_row("of these missing on the disk", *_none(counts.missing_on_disk))
    table.add_row(
        "unsaved while it was down",
        str(counts.unsaved_while_down),
        "kept by the clients, sent when it was back",
    )
    table.add_row("missing at the end", *_none(counts.missing))
    table.add_row("doubled at the end", *_none(counts.doubled))
    return table


def _none(count: int) -> tuple[Text, Text]:
    return Text(str(count), "bold red" if count else "bold green"), Text()


async def _serve(out: Console, service: ServiceProcess, draft: str) -> None:
    """Say how to take part, and go on serving."""
    session = await open_session(service.url, service.token)
    _look_inside(out, service, session, draft)
    if service.web is None:
        _connect(out, service, draft)
    _heading(out, f"Serving at {service.url}", "Ctrl-C stops it")
    if service.web is None:
        _whole(out, f"The web app is not built: {BUILD_IT}.")
    else:
        _invite(out, service.url, session)
    while True:
        _whole(out, f"kill -9 {service.pid}   kills the server, and it comes back", "dim")
        await service.killed()
        _whole(out, f"The server was killed. It starts again in {DOWN_SECONDS:.0f} s.", "bold red")
        await anyio.sleep(DOWN_SECONDS)
        await service.start()


def _invite(out: Console, url: str, session: str) -> None:
    _whole(out, "Open the web app as any of these, each in a tab of its own:")
    out.print(_links(url, session))
    if not _is_here(url):
        _whole(out, "Whoever reaches this address can use these links.", "bold red")


def _links(url: str, session: str) -> Table:
    place = "" if session == SESSION else f"?session={session}"
    table = Table.grid(padding=(0, 2, 0, 0))
    for subject, person in PEOPLE.items():
        link = f"{url}/demo/{subject}{place}"
        table.add_row(Text(person.name, "bold"), person.part, Text(link, f"link {link}"))
    console = f"{url}/demo/admin?page=console"
    table.add_row(Text("Admin", "bold"), "the console", Text(console, f"link {console}"))
    return table


def _is_here(url: str) -> bool:
    return url.removeprefix("http://").startswith(("127.", "[::1]", "localhost"))


def _look_inside(out: Console, service: ServiceProcess, session: str, draft: str) -> None:
    database = shlex.quote(str(service.database))
    _heading(out, "Look inside", "now, and after it has stopped")
    _whole(out, f"draftsync docs show {draft} --database {database}")
    _whole(out, f"draftsync docs list --database {database}")
    _whole(out, f"draftsync sessions show {session} --database {database}")


def _connect(out: Console, service: ServiceProcess, draft: str) -> None:
    url = f"ws{service.url.removeprefix('http')}/sync"
    _heading(
        out, "Connect with JavaScript, as Alice", "browser or Node 22; npm install yjs y-websocket"
    )
    for line in _JAVASCRIPT.splitlines():
        _whole(out, line.format(token=service.token("alice"), url=url, draft=draft))


_JAVASCRIPT = """\
import * as Y from 'yjs'
import {{ WebsocketProvider }} from 'y-websocket'
const doc = new Y.Doc(), params = {{ token: '{token}' }}
new WebsocketProvider('{url}', '{draft}', doc, {{ params }})
doc.on('update', () => console.log(JSON.stringify(doc.getMap('ratings'))))"""


def _heading(out: Console, text: str, aside: str) -> None:
    out.print()
    out.print(Text.assemble((text, "bold"), (f"   {aside}", "dim")))


def _whole(out: Console, line: str, style: str = "") -> None:
    """A line to copy: however long, it is one line."""
    out.print(Text(line, style), soft_wrap=True)


def _innermost(error: BaseException) -> BaseException:
    """What went wrong first, in however many groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
