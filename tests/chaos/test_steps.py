"""Fault 36, event against change: both are committed, or neither, at whatever moment a kill comes.

After each kill every session is folded from its log, and must be what the service says it is; and
the log must hold what was answered, once, however often it was sent.
"""

from __future__ import annotations

import itertools
import os
import random
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import jwt
import pytest
from websockets.exceptions import ConnectionClosed

from sync.core.yprotocol import saved_frame
from tests.chaos.walkers import Stage
from tests.server.parts import eventually
from tests.support.client import Client, Peer, connect
from tests.support.events import Api, Message
from tests.support.hasty import HASTY
from tests.support.service import AUDIENCE, SECRET, ServiceProcess

ROUNDS = int(os.environ.get("DRAFTSYNC_CHAOS_ROUNDS", "20"))
SEED = int(os.environ.get("DRAFTSYNC_CHAOS_SEED", "1"))
STAGES = 4
EVALUATORS = 2
AHEAD = 20
"""Edits that are on their way to the disk when a session is stopped."""

SAMPLE = 5
"""Of each stage's last sessions, whose drafts are looked at in the end."""

FAR = 4_000_000_000  # an expiry
LONG_TTL = ("--max-token-ttl", str(FAR))


def token(subject: str, right: str) -> str:
    claims = {"sub": subject, "aud": AUDIENCE, "exp": FAR, "sessions": {"*": right}}
    docs = {"drafts/*": "write"}
    return jwt.encode(claims | {"docs": docs}, SECRET, "HS256")


def stages(chance: random.Random) -> list[Stage]:
    """Some sessions at once, with their people."""
    made = []
    for number in range(STAGES):
        name = f"stage{number}"
        tokens = {f"{name}-lead": token(f"{name}-lead", "lead")}
        others = [f"{name}-evaluator{number}" for number in range(EVALUATORS)]
        tokens |= {each: token(each, "join") for each in others}
        made.append(Stage(name, tokens, chance))
    return made


async def walk_and_kill(
    service: ServiceProcess, played: list[Stage], chance: random.Random
) -> None:
    """Everybody goes on where they were, until a kill at a random moment."""
    enough = sum(stage.answered for stage in played) + chance.randrange(60)
    async with anyio.create_task_group() as tasks:
        for stage in played:
            for walker in stage.walkers:
                tasks.start_soon(walker.walk, service.url)
        await eventually(lambda: sum(stage.answered for stage in played) >= enough)
        await anyio.sleep(chance.uniform(0, 0.01))  # not a wait: at any moment of a step
        await service.kill()


async def check(service: ServiceProcess, played: list[Stage]) -> None:
    """Every session that was played is what its log says."""
    async with (
        Api(service.url, token("judge", "observe")) as api,
        anyio.create_task_group() as tasks,
    ):
        for stage in played:
            for session in stage.unsettled():
                tasks.start_soon(check_session, api, stage, session)


async def check_session(api: Api, stage: Stage, session: str) -> None:
    answer = await api.get(f"/sessions/{session}")
    if answer.status_code == 404:
        stage.check_absent(session)
    else:
        assert answer.is_success, answer.text
        stage.check(answer.json(), await api.history(session))


async def check_drafts(service: ServiceProcess, played: list[Stage]) -> None:
    """Drafts are read-only where a session is stopped, and only there."""
    async with (
        Api(service.url, token("judge", "observe")) as api,
        anyio.create_task_group() as tasks,
    ):
        for stage in played:
            for name in stage.sessions[-SAMPLE:]:
                answer = await api.get(f"/sessions/{name}")
                if answer.is_success:  # the last one was perhaps not created
                    tasks.start_soon(check_draft, service, answer.json())


async def check_draft(service: ServiceProcess, session: Message) -> None:
    draft, writer = f"drafts/{session['id']}/first", token("writer", "join")
    async with connect(service.sync_url, draft, writer) as client:
        await client.synced()
        await client.put("verdict", "pass")
        if session["state"] == "stopped":
            assert (await client.ended()).code == 4409
        else:
            await client.saved()


@pytest.mark.long
async def test_a_session_is_always_what_its_events_say(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    played = stages(chance)
    async with ServiceProcess(tmp_path / "drafts.db", *LONG_TTL) as service:
        for number in range(ROUNDS):
            try:
                await check(service, played)
            except BaseException as error:
                error.add_note(f"seed {SEED}, after {number} kills")
                raise
            await walk_and_kill(service, played, chance)
            await service.start()
        await check(service, played)
        await check_drafts(service, played)
    walkers = [walker for stage in played for walker in stage.walkers]
    done = sum(sum(walker.done.values()) for walker in walkers)
    resent = sum(walker.resent for walker in walkers)
    refused = sum(walker.refused for walker in walkers)
    assert done > ROUNDS
    assert resent > ROUNDS // 2, "the kills met nobody in the middle of a step"
    print(f"{ROUNDS} kills, {done} steps answered, {resent} sent again, {refused} refused")


async def test_the_harness_catches_a_server_that_answers_too_early(tmp_path: Path) -> None:
    """The test of the test: a journal that announces before it appends must lose something."""
    chance = random.Random(SEED)
    played = stages(chance)
    async with ServiceProcess(tmp_path / "drafts.db", *LONG_TTL, program=HASTY) as service:
        for _ in range(10):
            if await is_wrong(service, played):
                return
            await walk_and_kill(service, played, chance)
            await service.start()
    pytest.fail("ten kills of a server that lies were not enough to catch it")


async def is_wrong(service: ServiceProcess, played: list[Stage]) -> bool:
    try:
        await check(service, played)
    except ExceptionGroup as group:
        return group.subgroup(AssertionError) is not None
    return False


async def test_a_stop_takes_what_is_on_its_way(tmp_path: Path) -> None:
    """Whatever was said to be saved is in the draft, and every writer is told why it ends."""
    async with (
        ServiceProcess(tmp_path / "drafts.db", *LONG_TTL) as service,
        Api(service.url, token("lena", "lead")) as lead,
        anyio.create_task_group() as tasks,
    ):
        for number in range(5):
            tasks.start_soon(stop_while_typing, service, lead, f"stop-{number}")


async def stop_while_typing(service: ServiceProcess, lead: Api, session: str) -> None:
    await lead.create(id=session, project="p", test_cases=["first"])
    await lead.step(session, "start")
    peers = {f"{session}-typist{number}": Peer() for number in range(3)}
    draft = f"drafts/{session}/first"
    async with anyio.create_task_group() as tasks:
        for name, peer in peers.items():
            tasks.start_soon(type_until_closed, service.sync_url, draft, name, peer)
        await eventually(lambda: all(len(peer.saved) > 20 for peer in peers.values()))
        assert (await lead.step(session, "stop"))["state"] == "stopped"
    async with connect(service.sync_url, draft, token("reader", "observe")) as reader:
        await reader.synced()
        for peer in peers.values():
            assert {key.decode() for key in peer.saved} <= reader.peer.answers.keys()


async def type_until_closed(url: str, draft: str, name: str, peer: Peer) -> None:
    """Answer one question after the other, some ahead of what is said to be saved."""
    async with connect(url, draft, token(name, "join"), peer=peer) as client:
        await client.synced()
        with suppress(ConnectionClosed):
            for number in itertools.count():
                await client.put(f"{name}-{number}", number)
                await client.send(saved_frame(f"{name}-{number}".encode()))
                await client.until(partial(_may_go_on, client, number))
        assert (await client.ended()).code == 4409
    assert peer.denied[-1] == "the session is stopped: its drafts are read-only"


def _may_go_on(client: Client, sent: int) -> bool:
    return client.closed is not None or sent - len(client.peer.saved) < AHEAD
