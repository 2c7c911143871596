"""A session from its creation to its end, driven by two real clients: JavaScript and Python.

Alice, an evaluator, uses what browsers use: an unmodified y-websocket provider, fetch, a WebSocket.
Lena, who leads, uses the Python client. Somebody written from the contract alone compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import anyio
import pytest
from pycrdt import Doc

from sync.client import Denied, DocumentClient, EventsClient
from sync.core.yprotocol import decode_state_vector
from tests.client.support import PATIENCE, answers, clocks, converged
from tests.support.client import connect
from tests.support.edits import put
from tests.support.events import Api, Message, Reading, subscribing
from tests.support.node import NodeClient, NodeDriver, Version
from tests.support.node_session import NodeSession, node_session
from tests.support.service import ServiceProcess
from tests.wire.party import Party

STOPPED = "the session is stopped: its drafts are read-only"
QUESTION, ANSWER = {"text": "Is 31 days late?"}, {"text": "Yes."}
STORY = [
    *("session.created", "session.joined", "session.started", "guidance.note", "question.asked"),
    *("session.paused", "guidance.note", "session.resumed", "session.stopped"),
]
GUIDANCE = {"case": "refund", "text": "Look at the second answer: \u2028 the 30 days 🙂"}
"""With a U+2028, at which some split lines."""


@dataclass
class Scene:
    """One session on a running service, and the tokens of its people."""

    service: ServiceProcess
    session: str

    @property
    def draft(self) -> str:
        return f"drafts/{self.session}/refund"

    async def opened(
        self, party: Party, subject: str, token: str, version: Version = "3.1"
    ) -> NodeClient:
        """A page of somebody who has the draft open."""
        shown: dict[str, Any] = {"roots": {"answers": "map"}, "version": version}
        return await party.join(subject, room=self.draft, token=token, **shown)

    def token(self, subject: str, right: str, document: str = "write") -> str:
        docs, sessions = {f"drafts/{self.session}/*": document}, {self.session: right}
        return self.service.token(subject, docs=docs, sessions=sessions)


@pytest.fixture
def scene(service: ServiceProcess) -> Scene:
    return Scene(service, f"session-{uuid4()}")


async def test_a_session_from_its_creation_to_its_end(
    scene: Scene, node: NodeDriver, party: Party
) -> None:
    url, lead, alice = scene.service.url, scene.token("lena", "lead"), scene.token("alice", "join")
    async with Api(url, lead) as api, node_session(node, url, scene.session, alice) as js:
        epoch = await create_join_and_start(scene, api, js)
        writer = await scene.opened(party, "alice", alice)
        reader = await scene.opened(party, "olga", scene.token("olga", "observe", "read"))
        old = await scene.opened(party, "bob", scene.token("bob", "join"), version="3.0")
        doc: Doc[Any] = Doc()

        async def evaluate_and_stop() -> None:
            async with DocumentClient(url, scene.draft, doc, token=lead) as client:
                await edit_together(client, doc, writer)
                await guide(scene, api, js, lead, epoch)
                await api.step(scene.session, "stop")
                await client.until(lambda _: False)  # as a program that goes on and on

        with pytest.raises(Denied) as denied:
            await evaluate_and_stop()
        assert (denied.value.code, denied.value.reason) == (4409, STOPPED)
        await check_stopped(scene, api, js, writer)
        await check_drafts_are_read_only(scene, party, answers(doc).to_py() or {}, reader, old)
        await check_replay(scene, api, js, epoch)


async def create_join_and_start(scene: Scene, api: Api, js: NodeSession) -> str:
    """Return the epoch."""
    made = await api.create(
        id=scene.session,
        project="support agent",
        title="Refunds, third round",
        test_cases=["refund", {"id": "greeting", "title": "Says hello"}],
        members=[{"subject": "alice", "role": "evaluator"}],
    )
    assert (made["state"], made["top"]) == ("created", 1)
    assert members(made) == {"lena": ("lead", True), "alice": ("evaluator", False)}
    joined = await js.post("/join")
    assert joined.status == 200
    assert members(joined.body) == {"lena": ("lead", True), "alice": ("evaluator", True)}
    refused = await js.post("/start")
    assert (refused.status, refused.type) == (403, "application/problem+json")
    assert (await api.step(scene.session, "start"))["state"] == "running"
    return str(made["epoch"])


def members(session: Message) -> dict[str, tuple[str, bool]]:
    """The role of each, and whether they are there."""
    return {
        each["subject"]: (each["role"], each["joined_at"] is not None)
        for each in session["members"]
    }


async def edit_together(client: DocumentClient, doc: Doc[Any], writer: NodeClient) -> None:
    """Both answer at once, one question both of them; they come to the same."""
    await client.synced()
    for number in range(20):
        answers(doc)[f"lena-{number}"] = answers(doc)["verdict"] = number
        both = put("answers", f"alice-{number}", number), put("answers", "verdict", -number)
        await writer.edit(*both, together=True)
    await client.saved()
    await writer.saved()
    state = await writer.state()
    await converged(state.roots["answers"], (client, doc))
    assert len(state.roots["answers"]) == 41
    assert decode_state_vector(state.vector) == clocks(doc)


async def guide(scene: Scene, api: Api, js: NodeSession, lead: str, epoch: str) -> None:
    """Each hears what the other publishes; who drops out gets the rest later."""
    top = (await js.subscribe(epoch, 0))["top"]
    async with EventsClient(scene.service.url, scene.session, token=lead) as lena:
        await lena.connected()
        guidance = await lena.publish("guidance.note", GUIDANCE)
        assert (await anext(lena)).offset == guidance == top + 1
        heard = await js.event(kind="guidance.note")
        assert (heard.offset, heard.actor, heard.data) == (guidance, "lena", GUIDANCE)
        asked = await js.publish("question.asked", QUESTION)
        question = await anext(lena)
        assert (question.offset, question.actor, question.data) == (asked, "alice", QUESTION)
        await js.acknowledge(asked)
        await acknowledged(api, scene.session, "alice", asked)
        await js.drop()
        await api.step(scene.session, "pause")
        last = await lena.publish("guidance.note", ANSWER, id=(event_id := str(uuid4())))
        assert await lena.publish("guidance.note", ANSWER, id=event_id) == last
        await api.step(scene.session, "resume")
        assert (await js.subscribe(epoch, asked))["recovered"] is True
        resumed = await js.event(kind="session.resumed")
        assert [each.offset for each in await js.events()] == [*range(1, resumed.offset + 1)]
        follow = [await anext(lena) for _ in range(asked, resumed.offset)]
        assert [each.kind for each in follow] == STORY[asked : resumed.offset]
    await acknowledged(api, scene.session, "lena", resumed.offset - 1)  # the last one was not left


async def acknowledged(api: Api, session: str, subject: str, offset: int) -> None:
    """Wait until a session shows what a member has received."""
    with anyio.fail_after(PATIENCE):
        while offset != (await _acknowledged(api, session))[subject]:  # noqa: ASYNC110 - no news
            await anyio.sleep(0.01)


async def _acknowledged(api: Api, session: str) -> dict[str, int]:
    found = (await api.session(session))["members"]
    return {each["subject"]: each["acknowledged"] for each in found}


async def check_stopped(scene: Scene, api: Api, js: NodeSession, writer: NodeClient) -> None:
    """The writer was told why it was closed, and stays away; the session is over for everybody."""
    closed = await writer.event("closed", code=4409)
    assert closed.data["reason"] == STOPPED
    assert writer.happened("denied")[-1].data["reason"] == STOPPED
    assert (await js.event(kind="session.stopped")).actor == "lena"
    session = await api.session(scene.session)
    assert (session["state"], session["open_steps"]) == ("stopped", [])
    for refused in (
        await js.post("/leave"),
        await js.post("/events", {"kind": "too.late", "data": {}}),
    ):
        assert (refused.status, refused.body["open_steps"]) == (409, [])
    assert (await writer.counts()).connections == 1


async def check_drafts_are_read_only(
    scene: Scene, party: Party, content: Mapping[str, Any], reader: NodeClient, old: NodeClient
) -> None:
    """Readers go on reading; who comes late to write may read, until the first edit.

    The old provider knows no final verdict: it comes back, and reads on.
    """
    late = await scene.opened(party, "alice", scene.token("alice", "join"))
    await late.shows(answers=content)
    await late.edit(put("answers", "late", True))
    assert (await late.event("closed", code=4409)).data["reason"] == STOPPED
    admin = scene.service.token("root", docs={}, role="admin")
    async with connect(scene.service.sync_url, scene.draft, admin) as client:
        await client.synced()
        await client.put("archived", True)  # of the root that the document already has
        await client.saved()
    await reader.shows(answers={**content, "archived": True})
    await old.shows(answers={**content, "archived": True})
    assert (await reader.counts()).connections == 1
    assert (await old.counts()).connections == 2


async def check_replay(scene: Scene, api: Api, js: NodeSession, epoch: str) -> None:
    """The log from offset 1 is the same in every way to get it, for both."""
    log = (await api.history(scene.session, page=4)).events
    assert [event.kind for event in log] == STORY
    assert [event.offset for event in log] == [*range(1, len(STORY) + 1)]
    assert await js.history() == log
    assert await js.replayed(epoch, len(log)) == log
    first, last = await js.streamed(3)
    rest, _ = await js.streamed(len(log), last)
    assert first + rest == log
    streamed, resumed = Reading(scene.session), Reading(scene.session, epoch)
    async with api.stream(streamed) as stream:
        await stream.reads(len(log))
    observer = scene.token("olga", "observe")
    async with subscribing(scene.service.url, scene.session, observer, resumed) as client:
        assert (await client.subscribe())["session"]["state"] == "stopped"
        await client.reads(len(log))
    assert streamed.events == resumed.events == log
