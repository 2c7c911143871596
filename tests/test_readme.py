"""README is always true: every command and every example in it is run here, as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import httpx
import pytest

import sync.client.events  # noqa: F401 - or the example imports it on the event loop
from tests.support.npm import WIRE, node_command
from tests.support.service import ServiceProcess

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(README) if kind == language]


def commands() -> list[str]:
    whole = [block.replace("\\\n", " ") for block in blocks("console")]
    lines = [line for block in whole for line in block.splitlines()]
    return [line.removeprefix("$ ").partition("    #")[0].strip() for line in lines]


def shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in FENCE.findall(README)} == {"console", "js", "python", "text"}
    assert {line.split()[0] for line in commands()} == {"make", "export", "draftsync", "curl"}


@pytest.mark.parametrize(
    ("command", "quick"),
    [
        ("make demo", "make demo ARGS='--once --port 0'"),
        ("make bench", "make bench ARGS='--help'"),
        ("make test", "make test WORKERS=0 ARGS='--collect-only --quiet tests/core/test_wire.py'"),
    ],
)
def test_the_commands_of_a_checkout(command: str, quick: str) -> None:
    assert command in commands()
    if not (ROOT / ".venv/.installed").exists():
        pytest.skip("the virtual environment of `make setup` is not there: run `make test`")
    done = shell(quick, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
async def test_the_commands_to_run_it_and_look_inside(tmp_path: Path) -> None:
    """In the order of the page, in one shell; ``serve`` in the background on a free port."""
    if shutil.which("curl") is None:
        pytest.skip("curl was not found")
    script = []
    for command in commands():
        if command.startswith("draftsync serve"):
            script.append(
                f"{command} --port 0 > ready & server=$!\n"
                "trap 'kill $server; wait $server' EXIT\n"
                "until grep -q 'draftsync ready' ready; do kill -0 $server; done\n"
                "address=$(sed 's|.*//||' ready); export DRAFTSYNC_URL=http://$address"
            )
        elif command.startswith("curl"):
            script.append(
                command.replace("curl", "curl --fail", 1).replace("localhost:3001", "$address")
            )
        elif command.startswith("draftsync sessions watch"):
            script.append(f"{command} --once")
        elif command.startswith("draftsync docs watch"):  # which ends when it is told to
            script.append(
                f"{command} --since 0 > watched & watcher=$!\n"
                "until grep -q drafts/42 watched; do kill -0 $watcher; done\n"
                "kill $watcher; wait $watcher || true"
            )
        elif command.startswith("draftsync token"):
            script.append(f"token=$({command})")
            script.append(f"{sys.executable} {ROOT}/tests/support/one_edit.py ready $token")
        elif not command.startswith("make"):
            script.append(command)
    done = shell("\n".join(script), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "drafts/42" in done.stdout
    assert '"verdict": "pass"' in done.stdout
    assert "Help desk agent" in done.stdout
    assert "session,evaluator,name,role,case" in done.stdout


def adapted(code: str, service: ServiceProcess) -> str:
    """The example with the address of the test's service."""
    assert "ws://localhost:3001" in code
    return code.replace("ws://localhost:3001", service.url.replace("http", "ws", 1))


@pytest.mark.node
async def test_the_javascript(tmp_path: Path) -> None:
    """Both blocks as one module; the second needs a provider that has connected."""
    node = node_command()
    connect, saved, _ = blocks("js")
    async with ServiceProcess(tmp_path / "readme.db") as service:
        token = service.token("alice", docs={"drafts/*": "write"})
        code = f"""
            console.log = text => {{ process.stdout.write(text); process.exit(0) }}
            globalThis.WebSocket ??= (await import('ws')).default  // Node 20 has none of its own
            const token = {token!r}
            {adapted(connect, service).replace("'y-websocket'", "'y-websocket-3.1'")}
            await new Promise(done => provider.once('sync', done))
            {saved}
        """
        assert await output(node, code) == "saved"


async def output(node: str, code: str) -> str:
    """What a module prints that imports the packages of the tests."""
    module = anyio.Path(WIRE) / f"readme-{os.getpid()}.mjs"  # beside them, where node looks
    await module.write_text(code)
    try:
        done = await anyio.run_process([node, str(module)], check=False)
    finally:
        await module.unlink()
    assert not done.returncode, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.node
async def test_the_javascript_of_events(tmp_path: Path) -> None:
    node = node_command()
    *_, events = blocks("js")
    async with ServiceProcess(tmp_path / "readme.db") as service:
        token = await a_session(service)
        code = f"""
            console.log = (...what) => {{
                process.stdout.write(JSON.stringify(what))
                if (what[1] === 'review.note') process.exit(0)
                note('well done')
            }}
            globalThis.WebSocket ??= (await import('ws')).default  // Node 20 has none of its own
            const token = {token!r}, epoch = undefined, after = 0
            {adapted(events, service)}
        """
        printed = await output(node, code)
    assert '[1,"session.created"' in printed
    assert '[2,"review.note",{"text":"well done"}]' in printed


async def a_session(service: ServiceProcess) -> str:
    """Create the session of the page; return the token of its lead."""
    token = service.token("lena", sessions={"s1": "lead"})
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        body = {"id": "s1", "project": "Help desk agent", "test_cases": ["refund"]}
        answer = await http.post(f"{service.url}/api/v1/sessions", json=body)
        assert answer.status_code == 201, answer.text
    return token


class Printed(Exception):
    """The example has come to where it prints."""


async def test_the_python_of_events(tmp_path: Path) -> None:
    _, example = blocks("python")

    def printed(*what: object) -> None:
        raise Printed(*what)

    async with ServiceProcess(tmp_path / "readme.db") as service:
        names: dict[str, object] = {"token": await a_session(service), "print": printed}
        imports, _, body = adapted(example, service).partition("\n\n")
        exec(f"{imports}\nasync def example():\n{textwrap.indent(body, '    ')}", names)
        with pytest.raises(Printed) as ended:
            await names["example"]()  # type: ignore[operator] # made by the line above
    assert ended.value.args == (2, "review.note", {"text": "well done"})


async def test_the_python(tmp_path: Path) -> None:
    example, _ = blocks("python")
    async with ServiceProcess(tmp_path / "readme.db") as service:
        names: dict[str, object] = {"token": service.token("alice", docs={"drafts/*": "write"})}
        imports, _, body = adapted(example, service).partition("\n\n")
        source = (
            f"{imports}\nasync def example():\n{textwrap.indent(body, '    ')}\n    return doc\n"
        )
        exec(source, names)
        doc = await names["example"]()  # type: ignore[operator] # made by the line above
        assert doc.get_state() != b"\x00"
