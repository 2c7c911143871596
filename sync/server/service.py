"""What stands behind connections, whatever they are about: documents or the events of a session."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from sync.server.connection import Verdict


class Served(Protocol):
    """One connection, as its transport sees it."""

    @property
    def id(self) -> int: ...

    @property
    def verdict(self) -> Verdict | None: ...

    @property
    def stop_reading(self) -> Callable[[], None]: ...


C = TypeVar("C", bound=Served)
C_contra = TypeVar("C_contra", bound=Served, contravariant=True)


class Service(Protocol[C_contra]):
    """Takes what comes from connections; what is for them goes into their outboxes."""

    def feed(self, connection: C_contra, frames: deque[bytes], /) -> Awaitable[None] | None:
        """Take messages of a connection, in order, and out of ``frames``.

        What is returned must be awaited before the rest is fed; with None, there is no rest.
        """

    def drained(self, connection: C_contra, /) -> None:
        """Everything in the connection's outbox was sent."""

    def end(self, connection: C_contra, verdict: Verdict, /) -> None:
        """Close a connection for a reason; what is queued for it is still sent."""

    def close(self, connection: C_contra, /) -> None:
        """The client has gone, or is to go. To be called once more is no harm."""
