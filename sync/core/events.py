"""What happens in a session, as a log: the events' rules, and how they look on the wire.

Offsets are contiguous per session and begin with 1; the epoch is the session's own random name. The
two together say where somebody stands in a log. What the server says of itself has a kind that
begins with ``session.`` or ``draft.``; every other kind is free for whoever publishes.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sync.core.errors import EventTooLarge, InvalidEvent

MAX_DATA = 64 * 2**10
"""Bytes of an event's data as JSON."""

MAX_DEPTH = 64
"""Of lists and objects within each other."""

OWN_KINDS = ("session.", "draft.")

_ID = re.compile(r"[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_KIND = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*")
_MAX_KIND = 64

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_quoted = _ENCODER.encode  # of a text

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that somebody wants to publish; it is well formed."""

    id: str  # a UUID in its usual form, or what :func:`repeatable_id` made
    kind: str
    data: str  # JSON of an object, compact


def new_event(event_id: object, kind: object, data: object) -> NewEvent:
    """Check what a client wants to publish. Raises InvalidEvent."""
    return NewEvent(checked_id(event_id), checked_kind(kind), encoded(data))


def checked_id(event_id: object) -> str:
    """A UUID in its usual form, as it came: so the answer names it too. Raises InvalidEvent."""
    if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
        raise InvalidEvent("id must be a UUID, such as 7d444840-9dc0-11d1-b245-5ffdce74fad2")
    return event_id


def checked_kind(kind: object) -> str:
    """A kind that is free for those who publish. Raises InvalidEvent."""
    if not isinstance(kind, str) or len(kind) > _MAX_KIND or not _KIND.fullmatch(kind):
        raise InvalidEvent(
            f"kind must be words of a-z, 0-9, _ and - joined by dots, {_MAX_KIND} characters at "
            "most, such as review.note"
        )
    if kind.startswith(OWN_KINDS):
        raise InvalidEvent("kinds that begin with session. or draft. are the server's own")
    return kind


def encoded(data: object) -> str:
    """The JSON of an event's data: an object of at most MAX_DATA bytes. Raises InvalidEvent."""
    if not isinstance(data, dict):
        raise InvalidEvent('data must be a JSON object, such as {"text": "well done"}')
    try:
        text = _ENCODER.encode(data)
        size = len(text.encode())
    except RecursionError:
        raise InvalidEvent(f"data must be nested at most {MAX_DEPTH} deep") from None
    except (ValueError, TypeError):  # NaN, a lone surrogate, what is no JSON at all
        raise InvalidEvent("data must be JSON that can be written as UTF-8, without NaN") from None
    if size > MAX_DATA:
        raise EventTooLarge(f"data must have at most {MAX_DATA} bytes as JSON; this one has {size}")
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise InvalidEvent(f"data must be nested at most {MAX_DEPTH} deep")
    return text


def _depth(outermost: Json) -> int:
    """How deep lists and objects are within each other: 1 where there is no other."""
    depth = 0
    level: list[Any] = [outermost]
    while level:
        depth += 1
        level = [
            each for outer in level for each in _members(outer) if isinstance(each, dict | list)
        ]
    return depth


def _members(outer: Any) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def repeatable_id(epoch: str, subject: str, step: str, key: str) -> str:
    """The id of the event that one person's step brings about, named by an idempotency key.

    The same step with the same key has the same event, and an event is stored once. Whoever could
    tell it beforehand might publish under it first: something of ``epoch`` is to be secret.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps((epoch, subject, step, key))))


def iso(seconds: float) -> str:
    """A time as everybody outside sees it: ISO 8601 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def event_text(offset: int, event_id: str, kind: str, actor: str, seconds: float, data: str) -> str:
    """An event as subscribers get it; ``data`` is JSON already, and is not read again."""
    return (
        f'{{"type":"event","offset":{offset},"id":{_quoted(event_id)},"kind":{_quoted(kind)},'
        f'"actor":{_quoted(actor)},"time":"{iso(seconds)}","data":{data}}}'
    )
