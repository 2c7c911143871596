"""Commands without a terminal: run in this process where nothing but their words counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sync.cli import main as main_module
from sync.cli import running

SECRET = "5ecret-" + "0123456789abcdef" * 4

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests, and no draftsync.toml of theirs.

    Nor does a command that runs in this process change how the tests log.
    """
    monkeypatch.setattr(running, "configure_logging", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    for name in ("SECRET", "PUBLIC_KEY", "AUDIENCE", "ISSUER"):
        monkeypatch.delenv(f"DRAFTSYNC_JWT_{name}", raising=False)
    for name in ("HOST", "PORT", "DATABASE", "CONFIG", "JWKS_URL", "ALLOW_ORIGIN", "URL", "TOKEN"):
        monkeypatch.delenv(f"DRAFTSYNC_{name}", raising=False)


@pytest.fixture
def run() -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main_module.app, list(arguments))

    return invoke
