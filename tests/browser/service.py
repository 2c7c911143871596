"""The real service as browser tests use it: from plain code, while its machinery runs in a thread.

Playwright's synchronous calls and asyncio do not share a thread. So the processes, the proxies and
the Python clients live on a portal's event loop, and everything here waits for what happens there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import anyio
import httpx
from anyio.from_thread import BlockingPortal
from pycrdt import Doc

from persistence.sqlite import open_sqlite_readonly
from sync.cli.demo_people import token_of
from sync.cli.demo_session import FORM, outline
from sync.client import DocumentClient
from sync.core.content import content
from sync.core.names import document_name
from sync.core.replay import replay
from tests.browser.proxy import Wire, open_wire
from tests.support.service import SECRET, ServiceProcess

DEMO_SERVICE = ("sync.cli.demo_service",)
LEAD, READER = "lena", "olga"
PATIENCE = 10.0
"""Seconds that a Python client waits for the service."""

Content = dict[str, Any]


class Network:
    """What lies between one browser and the service."""

    def __init__(self, service: Service, wire: Wire) -> None:
        self._service = service
        self._wire = wire

    @property
    def url(self) -> str:
        """The service, as the browser sees it."""
        return f"http://127.0.0.1:{self._wire.port}"

    @property
    def connections(self) -> int:
        """How many connections were opened through it, ever."""
        return self._wire.connections

    def cut(self) -> None:
        """End every connection and refuse new ones; returns when that is so."""
        self._service.troubled = True
        self._service.portal.call(self._wire.cut)

    def hold(self) -> None:
        """Pass nothing on, and end nothing."""
        self._service.troubled = True
        self._service.portal.call(self._wire.hold)

    def restore(self) -> None:
        """As it was before :meth:`cut` or :meth:`hold`."""
        self._service.portal.call(self._wire.restore)


class Service:
    """`with Service(portal, tmp_path / "drafts.db", web=dist) as service`: it runs."""

    def __init__(
        self,
        portal: BlockingPortal,
        database: Path,
        *,
        web: Path,
        token_ttl: float = 900,
        options: tuple[str, ...] = (),
    ) -> None:
        self.portal = portal
        self.troubled = False  # the network or the service was taken away from browsers
        self._process = ServiceProcess(
            database,
            *("--web", str(web), "--token-ttl", str(token_ttl), *options),
            program=DEMO_SERVICE,
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.portal.wrap_async_context_manager(self._process))
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    # ------------------------------------------------------------------------------ life and death

    def start(self) -> None:
        """On the same port and database as before."""
        self.portal.call(self._process.start)

    def kill(self) -> None:
        """SIGKILL: no farewell, no flush."""
        self.troubled = True
        self.portal.call(self._process.kill)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        self.troubled = True
        return self.portal.call(self._process.terminate)

    def log(self) -> str:
        """Everything that it wrote to stderr."""
        return self.portal.call(self._process.stderr)

    # ----------------------------------------------------------------------------- where and who

    @property
    def url(self) -> str:
        return self._process.url

    def network(self) -> Network:
        """A network of one's own, up to the end of the service."""
        wire = self._stack.enter_context(
            self.portal.wrap_async_context_manager(open_wire("127.0.0.1", self._process.port))
        )
        return Network(self, wire)

    def token(self, subject: str, ttl: float = 3600) -> str:
        """A token for one of the people of the demo: alice, bob, lena, olga, admin."""
        return token_of(subject, SECRET, ttl)

    def link(self, subject: str, url: str | None = None, **place: str) -> str:
        """The link that signs somebody in: `link("alice", session="s1", case="a")`."""
        query = f"?{urlencode(place)}" if place else ""
        return f"{url or self.url}/demo/{subject}{query}"

    # ---------------------------------------------------------------------------------- sessions

    def session(
        self,
        session: str = "help-desk",
        *,
        form: Mapping[str, Any] | None = None,
        start: bool = True,
        **more: Any,
    ) -> dict[str, Any]:
        """Create the session of the demo, by Lena, and start it; `more` replaces what it says."""
        given = form if form is not None else json.loads(FORM.read_text())
        told: dict[str, Any] = self.api("POST", "sessions", outline(session, given) | more)
        return self.step(session, "start") if start else told

    def step(self, session: str, step: str, by: str = LEAD) -> dict[str, Any]:
        """Start, pause, resume, stop, join, leave."""
        told: dict[str, Any] = self.api("POST", f"sessions/{session}/{step}", by=by)
        return told

    def publish(self, session: str, kind: str, data: Mapping[str, Any], by: str = READER) -> None:
        """An event, such as guidance of the observer; who is not in the session joins first."""
        self.step(session, "join", by)
        self.api("POST", f"sessions/{session}/events", {"kind": kind, "data": dict(data)}, by)

    def events(self, session: str) -> list[dict[str, Any]]:
        """All that happened."""
        told = self.api("GET", f"sessions/{session}/events?limit=1000&after=0")
        events: list[dict[str, Any]] = told["events"]
        return events

    def api(self, method: str, path: str, body: object = None, by: str = LEAD) -> Any:
        """A request below /api/v1; whatever is no success is an error."""
        answer = httpx.request(
            method,
            f"{self.url}/api/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token(by)}"},
            timeout=PATIENCE,
            trust_env=False,
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    # ---------------------------------------------------------------------------------- documents

    def fresh(self, document: str, by: str = READER) -> Content:
        """What a client gets that has never seen the document: a browser without a past."""
        return self.portal.call(self._fresh, document, by)

    async def _fresh(self, document: str, by: str) -> Content:
        doc: Doc[Any] = Doc()
        with anyio.fail_after(PATIENCE):
            async with DocumentClient(self.url, document, doc, token=self.token(by)) as client:
                await client.synced()
        return content(doc.get_update())

    def edit(self, document: str, change: Callable[[Doc[Any]], object], by: str = "bob") -> None:
        """Change it by a Python client, as somebody; returns when that is on disk."""
        self.portal.call(self._edit, document, change, by)

    async def _edit(self, document: str, change: Callable[[Doc[Any]], object], by: str) -> None:
        doc: Doc[Any] = Doc()
        with anyio.fail_after(PATIENCE):
            async with DocumentClient(self.url, document, doc, token=self.token(by)) as client:
                await client.synced()
                with doc.transaction():
                    change(doc)
                await client.saved()

    def on_disk(self, document: str) -> Content:
        """What the database file holds of it, with the service alive or dead."""
        return self.portal.call(self._on_disk, document)

    async def _on_disk(self, document: str) -> Content:
        async with open_sqlite_readonly(self._process.database) as reader:
            stored = await reader.load(document_name(document))
        snapshot = stored.snapshot.update if stored.snapshot else None
        replayed = replay(snapshot, [entry.edit.update for entry in stored.entries])
        return content(replayed.document.encode())


def draft(session: str, case: str) -> str:
    """The document that a draft is."""
    return f"drafts/{session}/{case}"
