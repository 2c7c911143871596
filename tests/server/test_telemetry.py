"""Logs: one format, and no secret in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from sync.server import telemetry
from sync.server.telemetry import configure_logging, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmVk"


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What the service logged. The tests' own way of logging comes back afterwards."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield lambda: capsys.readouterr().err
    root.handlers, root.level = handlers, level
    structlog.configure(**config)


@pytest.mark.parametrize(
    "text",
    [
        f"GET /sync/drafts/1?token={JWT}&x=1",
        "GET /sync/drafts/1?token=opaque-s3cret&x=1",
        "ticket=opaque-s3cret",
        f"Authorization: Bearer {JWT}",
        "authorization: bearer opaque-s3cret",
        f"it was {JWT}, they said",
        '{"token": "opaque-s3cret"}',
        "{'password': 'opaque-s3cret'}",
        "jwt_secret = opaque-s3cret",
        f"?TOKEN={JWT}",
    ],
)
def test_tokens_are_struck_out(text: str) -> None:
    struck = redact(text)
    assert "s3cret" not in struck
    assert JWT.split(".")[1] not in struck
    assert "[redacted]" in struck


@pytest.mark.parametrize(
    "text",
    ["the token is expired", "drafts/42", "token-expired: get a new token", "tokens are checked"],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text


def test_json_lines_with_values(stderr: Callable[[], str]) -> None:
    configure_logging("json")
    telemetry.logger("tests.json").info(
        "connection opened", document="drafts/1", url=f"?token={JWT}"
    )
    line = json.loads(stderr())
    assert (line["event"], line["level"], line["document"]) == (
        "connection opened", "info", "drafts/1",
    )  # fmt: skip
    assert line["url"] == "?token=[redacted]"
    assert line["timestamp"].endswith("Z")


def test_other_libraries_log_the_same_way(stderr: Callable[[], str]) -> None:
    configure_logging("json")
    logging.getLogger("a.library").warning("GET %s", f"/sync/x?token={JWT}")
    line = json.loads(stderr())
    assert (line["event"], line["level"]) == ("GET /sync/x?token=[redacted]", "warning")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_exceptions_are_struck_too(stderr: Callable[[], str], log_format: str) -> None:
    configure_logging("json" if log_format == "json" else "text")
    log = telemetry.logger(f"tests.{log_format}")
    try:
        raise ValueError(f"cannot take ?token={JWT}")
    except ValueError:
        log.exception("a connection failed")
        logging.getLogger("a.library").exception("failed")
    logged = stderr()
    assert logged.count("ValueError: cannot take") == 2
    assert JWT not in logged


def test_the_level(stderr: Callable[[], str]) -> None:
    configure_logging("json", "warning")
    log = telemetry.logger("tests.level")
    log.info("quiet")
    log.warning("loud")
    assert [json.loads(line)["event"] for line in stderr().splitlines()] == ["loud"]
