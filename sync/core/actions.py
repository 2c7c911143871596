"""What a room wants done. The shell does it, in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sync.core.errors import ProtocolError


class ClientClocks(NamedTuple):
    """The clocks ``start <= clock < end`` of one Yjs client id that an edit brought.

    ``introduced`` tells that the author handed them on for another subject.
    """

    client: int
    start: int
    end: int
    introduced: bool


class Persist(NamedTuple):
    """Append this update to the log; then tell :meth:`Room.committed`.

    The room counts its own: the n-th Persist it ever gave must be the n-th that is committed. The
    log has every update as it was applied. Merging puts deletions last and the structs in another
    order, and there are updates, made to harm, for which that is not the same: what was accepted
    could not be loaded again.
    """

    update: bytes
    author: str  # the subject of the connection that sent it
    clients: tuple[ClientClocks, ...]
    connection: int
    offline: bool  # it came in the connection's first step2: it was made before


class Send(NamedTuple):
    """Send one frame to these connections: the same bytes to all."""

    to: tuple[int, ...]
    frame: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Tell a connection why, and close it."""

    connection: int
    error: ProtocolError


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The CRDT library failed on ``update``; the replica is not to be trusted.

    ``update`` is empty where the library failed to read the document. Load it again once everything
    that was persisted is committed, and call :meth:`Room.renew`. Until then the room must not be
    given messages.
    """

    update: bytes
    failure: str


Action = Persist | Send | Close | Rebuild
