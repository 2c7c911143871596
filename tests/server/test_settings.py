"""Settings: where they come from and what they refuse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sync.server.settings import load_settings

SECRET = "a secret that nobody may read in an error"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DRAFTSYNC_")]:
        monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.database) == ("127.0.0.1", 3001, "draftsync.db")
    assert (settings.durability, settings.jwt_audience) == ("full", "draftsync")
    limits = settings.hub_limits
    assert (limits.message, limits.room.document) == (2**20, 16 * 2**20)
    assert (limits.message_rate, limits.message_burst) == (500, 5_000)
    assert (limits.connections_per_subject, limits.unload_seconds) == (64, 30)
    assert settings.drain_seconds == 10


def test_option_environment_file_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "draftsync.toml").write_text('port = 1\nhost = "file"\ndatabase = "file"')
    monkeypatch.setenv("DRAFTSYNC_PORT", "2")
    monkeypatch.setenv("DRAFTSYNC_HOST", "environment")
    settings = load_settings(port=3, host=None)
    assert (settings.port, settings.host, settings.database) == (3, "environment", "file")
    assert settings.durability == "full"


def test_a_file_that_is_named_is_read_in_place_of_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "draftsync.toml").write_text("port = 1")
    (tmp_path / "other.toml").write_text('host = "other"')
    settings = load_settings(tmp_path / "other.toml")
    assert (settings.port, settings.host) == (3001, "other")


def test_origins_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFTSYNC_ALLOW_ORIGIN", "https://A.org,http://localhost:5173,")
    assert load_settings().allow_origin == ("https://a.org", "http://localhost:5173")


@pytest.mark.parametrize(
    "option",
    [
        {"port": -1},
        {"port": 65_536},
        {"durability": "off"},
        {"database": "postgres://localhost/x"},
        {"document_limit": 16 * 2**20 + 1},
        {"message_limit": 1},
        {"message_rate": -1},
        {"connections_per_subject": 0},
        {"drain_seconds": 0},
        {"allow_origin": ["*"]},
        {"allow_origin": ["https://a.org/path"]},
        {"tls_cert": "none.pem", "tls_key": "none.pem"},
        {"nonsense": 1},
    ],
)
def test_what_makes_no_sense(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        load_settings(**option)


def test_half_of_tls_is_no_tls(tmp_path: Path) -> None:
    """Hypercorn takes a certificate without a key for no TLS, and serves in the clear."""
    pem = tmp_path / "some.pem"
    pem.touch()
    for half in ("tls_cert", "tls_key"):
        with pytest.raises(ValidationError, match="go together"):
            load_settings(**{half: pem})


def test_settings_shown_show_no_secret() -> None:
    settings = load_settings(jwt_secret=SECRET)
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.hub_limits}"
