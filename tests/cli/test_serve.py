"""``draftsync serve``: how it starts, what it refuses, and what it never says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from sync.cli import compose, running
from sync.server import serving
from sync.server.settings import Settings, load_settings
from tests.cli.conftest import SECRET, Run
from tests.support.client import Refused, connect
from tests.support.service import ROOT

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


class Started(Exception):
    """The service would run now."""


@pytest.fixture
def settings_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """The settings with which ``serve`` would run."""
    seen: list[Settings] = []

    def note(_main: object, settings: Settings) -> int:
        seen.append(settings)
        raise Started

    def started(*arguments: str) -> Settings:
        result = run("serve", *arguments)
        assert isinstance(result.exception, Started), result.output
        return seen[-1]

    monkeypatch.setattr(serving, "run", note)
    return started


async def test_one_line_when_ready_and_a_drain_at_the_end(tmp_path: Path) -> None:
    """The whole life of a service, with everything that it printed."""
    installed = str(Path(sys.executable).with_name("draftsync"))
    process = await anyio.open_process(
        [
            installed,
            "serve",
            "--port",
            "0",
            "--database",
            str(tmp_path / "drafts.db"),
            "--log-format",
            "json",
        ],
        env={**os.environ, "DRAFTSYNC_JWT_SECRET": SECRET},
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with anyio.fail_after(20):
        stdout = BufferedByteReceiveStream(process.stdout)
        ready = await stdout.receive_until(b"\n", 100)
        assert ready.startswith(b"draftsync ready http://127.0.0.1:")
        port = int(ready.rpartition(b":")[2])
        with pytest.raises(Refused):
            async with connect(f"ws://127.0.0.1:{port}/elsewhere", "x"):
                pass
        async with connect(f"ws://127.0.0.1:{port}/sync", "drafts/1", TOKEN) as client:
            assert (await client.ended()).code == 4401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        async with connect(f"ws://127.0.0.1:{port}/sync", "drafts/1", headers=bearer) as client:
            assert (await client.ended()).code == 4401
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        with pytest.raises(anyio.EndOfStream):
            await stdout.receive()  # and not another word
        logged = b""
        async for part in process.stderr:
            logged += part
    await process.aclose()
    events = [json.loads(line) for line in logged.splitlines()]
    assert [e["event"] for e in events][::3] == ["serving", "draining"]
    assert events[-1]["event"] == "stopped"
    for secret in (SECRET, TOKEN, TOKEN.split(".")[1]):
        assert secret.encode() not in logged


def test_it_never_runs_open(run: Run) -> None:
    result = run("serve")
    assert (result.exit_code, result.stdout) == (2, "")
    for way in ("--jwt-secret", "DRAFTSYNC_JWT_SECRET", "--jwt-public-key", "--jwks-url"):
        assert way in result.stderr


def test_flag_before_environment_before_file_before_default(
    settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
    assert settings_of().port == 3001
    (tmp_path / "draftsync.toml").write_text('port = 1001\ndatabase = "file.db"\n')
    assert (settings_of().port, settings_of().database) == (1001, "file.db")
    monkeypatch.setenv("DRAFTSYNC_PORT", "1002")
    assert (settings_of().port, settings_of().database) == (1002, "file.db")
    assert settings_of("--port", "1003").port == 1003


def test_another_file_of_settings(
    settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'port = 1004\njwt_secret = "{SECRET}"\nallow_origin = ["https://a.org"]\n')
    assert settings_of("--config", str(other)).port == 1004
    monkeypatch.setenv("DRAFTSYNC_CONFIG", str(other))
    assert settings_of().allow_origin == ("https://a.org",)
    assert settings_of("--allow-origin", "https://b.org").allow_origin == ("https://b.org",)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--port", "many"), "--port"),
        (("--port", "70000"), "--port"),
        (("--durability", "some"), "--durability"),
        (("--database", "postgres://db/x"), "SQLite"),
        (("--allow-origin", "example.org"), "https://app.example.org"),
        (("--jwt-secret", "too-short-for-anything"), "32"),
        (("--jwt-public-key", "none.pem"), "none.pem"),
        (("--jwks-url", "https://a.org/keys"), "not several"),
        (("--config", "none.toml"), "none.toml"),
        (("--log-level", "loud"), "--log-level"),
        (("--nonsense",), "--nonsense"),
        (("--tls-key", __file__), "--tls-cert and --tls-key"),
        (("--tls-cert", __file__), "--tls-cert and --tls-key"),
        (("--tls-cert", "none.pem"), "--tls-cert"),
    ],
)
def test_bad_settings_are_usage_errors(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    """Exit 2, the option's name, no traceback, and no secret."""
    if arguments[0] not in ("--jwt-secret", "--jwt-public-key"):
        monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
    monkeypatch.setattr(serving, "run", lambda *_: pytest.fail("it would serve"))
    result = run("serve", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert "too-short-for-anything" not in result.stderr
    assert SECRET not in result.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port = ", "--config"),
        ("prot = 1", "--prot"),
        (f'jwt_secret = ["{SECRET}"]', "--jwt-secret"),
    ],
)
def test_a_bad_file_of_settings(run: Run, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "draftsync.toml").write_text(text)
    result = run("serve")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert SECRET not in result.stderr


def test_help_tells_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFTSYNC_JWT_SECRET", SECRET)
    for command in ((), ("serve",), ("token",), ("docs",), ("docs", "list"), ("docs", "show")):
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert SECRET not in result.output
    assert "--jwt-secret" in run("serve", "--help").output


async def why_it_does_not_serve(caplog: pytest.LogCaptureFixture, **options: Any) -> str:
    """Run a service that must fail, with exit code 1; return the reason that it logs."""
    read = partial(load_settings, jwt_secret=SECRET, **options)
    settings = await anyio.to_thread.run_sync(read)
    checked = compose.verifier(settings, compose.key_source(settings))
    with anyio.fail_after(10):
        assert await running.serve(settings, checked, None, asyncio.Event()) == 1
    (record,) = [each for each in caplog.records if each.getMessage() == "cannot serve"]
    reason = record.__dict__["reason"]
    assert isinstance(reason, str)
    return reason


async def test_a_port_that_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = await why_it_does_not_serve(caplog, port=taken.getsockname()[1])
    assert "in use" in said


async def test_a_certificate_that_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The reason comes through all the task groups that it was raised in."""
    letter = tmp_path / "letter.pem"
    letter.write_text("Dear Sir or Madam")
    said = await why_it_does_not_serve(
        caplog, port=0, database=str(tmp_path / "drafts.db"), tls_cert=letter, tls_key=letter
    )
    assert "PEM" in said


async def test_a_folder_that_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = str(tmp_path / "nowhere" / "drafts.db")
    said = await why_it_does_not_serve(caplog, port=0, database=database)
    assert said.startswith("there is no folder")
