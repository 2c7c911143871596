"""The bounds of a service."""

from __future__ import annotations

from dataclasses import dataclass, field

from sync.core.room import RoomLimits


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of the hub; sizes in bytes, times in seconds."""

    room: RoomLimits = field(default_factory=RoomLimits)
    message: int = 2**20  # but a step2 may be as large as a document
    connections_per_subject: int = 64
    message_rate: float = 500.0  # messages a second of one connection, sustained; 0: any
    message_burst: float = 5_000.0
    barrier_bytes: int = 256 * 2**10  # of one connection's barriers waiting for the disk
    unload_seconds: float = 30.0
    snapshot_tail: int = 500  # entries
    snapshot_calm: float = 5.0  # after so long without an edit
    last_snapshots: float = 4.0  # for those written at the end: the log is whole without
    token_seconds: float = 30 * 86_400  # the longest life of a token
