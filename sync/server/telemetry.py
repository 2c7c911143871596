"""Structured logs on stderr, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

_SECRET = re.compile(
    r"((?:token|ticket|secret|password)[\"']?\s*[=:]\s*[\"']?)[^\s&\"',;]+", re.IGNORECASE
)
_BEARER = re.compile(r"(Bearer\s+)\S+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]*\.[\w-]*")
_SUSPECT = re.compile(r"token|ticket|secret|password|bearer|eyJ", re.IGNORECASE)


def redact(text: str) -> str:
    """A text with every token in it struck out: of query strings, headers, or standing alone."""
    if _SUSPECT.search(text) is None:
        return text
    text = _JWT.sub("[redacted]", text)
    return _BEARER.sub(r"\1[redacted]", _SECRET.sub(r"\1[redacted]", text))


def _redact_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def configure_logging(log_format: Literal["text", "json"] = "text", level: str = "info") -> None:
    """Send our logs and those of the libraries to stderr, in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first: what is not logged must cost nothing
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound
