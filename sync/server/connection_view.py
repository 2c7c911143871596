"""Connections as people see them: in the status of a session, and in the list of all."""

from __future__ import annotations

import time
from typing import Any

from sync.core.events import iso
from sync.server.connection import Connection
from sync.server.meters import ChannelStatistics


def document_presence(connection: Connection) -> dict[str, Any]:
    """Somebody who has a draft open; ``unsaved``: edits of theirs that are not on disk."""
    room = connection.resident.room
    return {
        "kind": "document",
        "document": connection.document,
        "access": "write" if room.may_write(connection.id) else "read",
        "since": iso(connection.opened_at),
        "last_seen": last_seen(connection.heard_at),
        "unsaved": room.unsaved(connection.id),
        "latency_ms": milliseconds(connection.latency),
    }


def channel_presence(channel: ChannelStatistics) -> dict[str, Any]:
    """Somebody who subscribes to the events; ``unsaved``: events of theirs that are not on disk."""
    return {
        "kind": "stream" if channel.streaming else "events",
        "document": None,
        "access": None,
        "since": iso(channel.opened_at),
        "last_seen": last_seen(channel.heard_at),
        "unsaved": channel.in_flight,
        "latency_ms": milliseconds(channel.round_trip),
    }


def last_seen(heard_at: float) -> str:
    """``heard_at``: of :func:`time.perf_counter`."""
    return iso(time.time() - (time.perf_counter() - heard_at))


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as what is shown."""
    return None if seconds is None else round(seconds * 1_000, 2)
