"""The examples, run as their readers will run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from pycrdt import Doc

from sync.cli.demo_sample import sample
from sync.core.content import content
from tests.client.support import PATIENCE, connected
from tests.support.events import Api
from tests.support.service import ROOT, ServiceProcess

EXAMPLES = ROOT / "examples" / "python"
DRAFT = "drafts/examples"


async def run(
    service: ServiceProcess, example: str, token: str
) -> subprocess.CompletedProcess[bytes]:
    """Run an example to its end."""
    with anyio.fail_after(PATIENCE):
        return await anyio.run_process(
            command(service, example), env=environment(token), check=False, cwd=ROOT
        )


def command(service: ServiceProcess, example: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / example), service.url, DRAFT]


def environment(token: str) -> dict[str, str]:
    return os.environ | {"DRAFTSYNC_TOKEN": token, "PYTHONPATH": str(ROOT)}


async def next_line(lines: BufferedByteReceiveStream) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await next_words(lines))
    return found


async def next_words(lines: BufferedByteReceiveStream) -> str:
    with anyio.fail_after(PATIENCE):
        return (await lines.receive_until(b"\n", 65536)).decode()


async def kill(process: Process) -> None:
    """End a process that this test started, if it has not ended by itself."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.kill()
        await process.wait()
        await process.aclose()


async def test_an_agent_fills_in_a_form_while_another_watches(service: ServiceProcess) -> None:
    async with connected(service, DRAFT, sample()) as seeding:
        await seeding.saved()
    reader = service.token("reader", docs={DRAFT: "read"})
    watching = await anyio.open_process(
        command(service, "watch_draft.py"), env=environment(reader), stderr=None, cwd=ROOT
    )
    try:
        assert watching.stdout is not None
        async with aclosing(BufferedByteReceiveStream(watching.stdout)) as lines:
            assert (await next_line(lines))["comment/summary"] == "Verdict: "
            done = await run(service, "agent_fills_form.py", service.token("checker-agent"))
            assert done.returncode == 0, done.stderr.decode()
            assert done.stdout.startswith(b"3 answers and a reason, saved in drafts/examples")
            seen = await next_line(lines)
    finally:
        await kill(watching)
    assert seen["ratings"] == {
        "checker-agent/accuracy": 1,
        "checker-agent/completeness": 2,
        "checker-agent/policy-kept": False,
    }
    stored: Doc[Any] = Doc()
    async with connected(service, DRAFT, stored) as client:
        await client.synced()
    assert "30 days" in str(content(stored.get_update())["comment/reasoning"])


async def test_a_session_is_led_until_every_draft_is_complete(service: ServiceProcess) -> None:
    alice = service.token("alice", sessions={"led": "join"})
    lead = environment(service.token("lena", sessions={"led": "lead"}))
    for run_again in (False, True):
        leading = await anyio.open_process(lead_command(service), env=lead, stderr=None, cwd=ROOT)
        try:
            assert leading.stdout is not None
            async with aclosing(BufferedByteReceiveStream(leading.stdout)) as lines:
                assert (await next_words(lines)).startswith("1 lena session.created ")
                assert (await next_words(lines)).startswith("2 lena session.started ")
                if run_again:
                    await finish(service, alice)
                    *_, last = [await next_words(lines) for _ in range(4)]
                    assert last.startswith("6 lena session.stopped ")
                    with anyio.fail_after(PATIENCE):
                        assert await leading.wait() == 0
        finally:
            await kill(leading)


def lead_command(service: ServiceProcess, session: str = "led") -> list[str]:
    example = str(EXAMPLES / "lead_a_session.py")
    return [sys.executable, example, service.url, session, "refund-041", "refund-042"]


async def finish(service: ServiceProcess, token: str) -> None:
    """What an evaluator does in the end."""
    async with Api(service.url, token) as api:
        await api.step("led", "join")
        for case in ("refund-041", "refund-042"):
            assert (await api.post(f"/sessions/led/drafts/{case}/complete")).is_success


async def test_who_may_not_lead_is_told(service: ServiceProcess) -> None:
    who = environment(service.token("alice", sessions={"another": "join"}))
    command = lead_command(service, "another")
    refused = await anyio.run_process(command, env=who, check=False, cwd=ROOT)
    assert refused.returncode == 1
    assert b"your token must say lead" in refused.stderr


@pytest.mark.parametrize("example", ["agent_fills_form.py", "watch_draft.py"])
async def test_an_example_says_what_is_wrong(service: ServiceProcess, example: str) -> None:
    refused = await run(service, example, service.token(docs={}))
    assert refused.returncode == 1
    assert refused.stderr.decode().startswith("this token gives no right to the document")


@pytest.mark.parametrize("example", [path.name for path in sorted(EXAMPLES.glob("*.py"))])
async def test_an_example_explains_itself(example: str) -> None:
    usage = await anyio.run_process(
        [sys.executable, str(EXAMPLES / example)], check=False, cwd=ROOT
    )
    assert usage.returncode == 1
    assert b"DRAFTSYNC_TOKEN" in usage.stderr
