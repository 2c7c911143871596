"""What waits to be sent to one connection."""

from __future__ import annotations

from typing import Protocol

MAX_BYTES = 2**20


class Outbox(Protocol):
    """Frames on their way to one connection, in order.

    ``put`` never waits and never drops. Whoever fills it asks :attr:`full` and stops: a reader that
    is too slow gets one diff later (:meth:`sync.core.room.Room.fall_behind`), so a full outbox
    holds at most MAX_BYTES and what one turn of the event loop adds. Whoever empties it calls
    :meth:`sync.server.hub.Hub.drained`.
    """

    def put(self, frame: bytes, /) -> None:
        """Queue one frame; after :meth:`finish`, nothing more."""

    def finish(self) -> None:
        """What is queued is the last."""

    @property
    def full(self) -> bool:
        """No more should be put until it has drained."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""

    async def drained(self) -> None:
        """Wait until everything queued was sent."""
