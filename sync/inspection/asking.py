"""How people name a point in a document's history."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from persistence.store import Position, Reader

_DIGITS = re.compile(r"[0-9]+")
_SPACE_BEFORE_ZONE = re.compile(r" (?=[0-9]{2}:[0-9]{2}$)")

_LAST_POSITION = 2**63 - 1


def parse_at(text: str) -> int | float:
    """Read a position, as an ``int``, or a time in seconds since the Unix epoch, as a ``float``.

    A position is digits alone; everything else is ISO 8601, in UTC unless it says otherwise. A
    query string makes a blank of the plus sign before a time zone: it is taken for one. Raises
    ValueError with a text for people.
    """
    text = text.strip()
    if _DIGITS.fullmatch(text):
        if len(text) > 19 or int(text) > _LAST_POSITION:
            raise ValueError(f"no position is as high as {text[:40]}")
        return int(text)
    try:
        moment = datetime.fromisoformat(_SPACE_BEFORE_ZONE.sub("+", text))
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = aware.timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"expected a position such as 4711 or a time such as 2026-03-01T12:00:00Z, "
            f"not {text[:40]!r}"
        ) from None

    return seconds


async def resolve(reader: Reader, document: str, at: int | float | None) -> Position | None:
    """The position that :func:`parse_at`'s value means for a document; None: the newest.

    Of a time before a document's first entry it is NOWHERE. Raises StoreUnavailable.
    """
    if at is None or isinstance(at, int):
        return None if at is None else Position(at)
    return await reader.position_at(document, at)
