"""Webhooks in the settings: where they come from, and what is refused, without secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sync.core.webhook import DEFAULT_KINDS, signing_keys
from sync.server.settings import load_settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DRAFTSYNC_")]:
        monkeypatch.delenv(name)


def test_none_by_default() -> None:
    settings = load_settings()
    assert (settings.all_webhooks, settings.webhook_attempts) == ((), 12)


def test_from_the_command_line() -> None:
    urls = ["https://a.org/hook?token=x", "http://b.org"]
    first, second = load_settings(webhook=urls, webhook_secret=SECRET).all_webhooks
    assert (first.name, first.url) == ("https://a.org/hook", urls[0])
    assert (second.name, second.kinds) == ("http://b.org", DEFAULT_KINDS)
    assert first.keys == second.keys == signing_keys(SECRET)


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAFTSYNC_WEBHOOK", "https://a.org/,https://b.org/")
    monkeypatch.setenv("DRAFTSYNC_WEBHOOK_SECRET", f"{SECRET} {OTHER}")
    monkeypatch.setenv("DRAFTSYNC_WEBHOOK_ATTEMPTS", "3")
    settings = load_settings()
    assert [each.name for each in settings.all_webhooks] == ["https://a.org/", "https://b.org/"]
    assert settings.all_webhooks[0].keys == signing_keys(SECRET) + signing_keys(OTHER)
    assert settings.webhook_attempts == 3


def test_tables_of_the_file_beside_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "draftsync.toml").write_text(
        f"""
        webhook_secret = "{SECRET}"

        [[webhooks]]
        name = "crm"
        url = "https://crm.example.org/hook"
        secret = "{OTHER}"
        kinds = ["session.stopped", "review.*"]

        [[webhooks]]
        url = "https://audit.example.org/?key=1"
        """
    )
    monkeypatch.setenv("DRAFTSYNC_WEBHOOK", "https://a.org/")
    first, crm, audit = load_settings().all_webhooks
    assert (first.name, first.keys) == ("https://a.org/", signing_keys(SECRET))
    assert (crm.name, crm.keys) == ("crm", signing_keys(OTHER))
    assert crm.kinds == ("session.stopped", "review.*")
    assert (audit.name, audit.keys) == ("https://audit.example.org/", signing_keys(SECRET))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"webhook": ["a.org"]}, "http or https URL, such as"),
        ({"webhook": ["ftp://a.org"]}, "http or https URL, such as"),
        ({"webhook": ["https://u:hunter2@a.org"]}, "without user, password"),
        ({"webhook": ["https://a.org"]}, "give --webhook-secret"),
        ({"webhook_secret": "hunter2"}, "openssl rand -base64 32"),
        ({"webhook_attempts": 0}, "greater than or equal to 1"),
        ({"webhook": ["https://a.org/?a", "https://a.org/?hunter2"]}, "give each its own name"),
        ({"webhooks": [{"url": "https://a.org/", "secret": "hunter2"}]}, "openssl rand"),
        ({"webhooks": [{"url": "https://a.org/", "kinds": ["A"]}]}, "kinds are such as"),
        ({"webhooks": [{"url": "https://a.org/", "kinds": []}]}, "at least 1"),
        ({"webhooks": [{"url": "https://a.org/", "name": "a b"}]}, "name has 1-255 bytes"),
        ({"webhooks": [{"url": "https://a.org/", "nonsense": 1}]}, "Extra inputs"),
        ({"webhooks": [{"name": "a"}]}, "Field required"),
    ],
)
def test_what_makes_no_sense(options: dict[str, Any], says: str) -> None:
    given = (
        options
        if "webhook_secret" in options or says == "give --webhook-secret"
        else ({"webhook_secret": SECRET} | options)
    )
    with pytest.raises(ValidationError) as refused:
        load_settings(**given)
    texts = [each["msg"] for each in refused.value.errors(include_input=False)]
    assert any(says in text for text in texts), texts
    assert not any("hunter2" in text for text in texts)


def test_settings_shown_show_no_secret() -> None:
    settings = load_settings(
        webhook=["https://a.org/?token=hunter2"],
        webhook_secret=SECRET,
        webhooks=[{"url": "https://b.org/?token=hunter2", "secret": OTHER}],
    )
    shown = f"{settings!r} {settings.model_dump()} {settings.all_webhooks} "
    shown += json.dumps(settings.model_dump(mode="json"), default=str)
    for secret in (SECRET, OTHER, SECRET[6:], "hunter2"):
        assert secret not in shown
