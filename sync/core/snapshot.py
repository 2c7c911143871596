"""The whole of a document as one update, and the proof that it can be loaded again."""

from __future__ import annotations

from dataclasses import dataclass

from sync.core.content import content
from sync.core.crdt import Replica
from sync.core.errors import MalformedMessage, NativeFailure
from sync.core.wire import Reader
from sync.core.yprotocol import decode_state_vector


@dataclass(frozen=True, slots=True)
class TakenSnapshot:
    """A document as one update, and what is known of the replica that it was taken of."""

    update: bytes
    state_vector: bytes
    deletions: bytes

    @classmethod
    def of(cls, replica: Replica) -> TakenSnapshot:
        """Raises NativeFailure."""
        return cls(replica.encode(), replica.state_vector(), replica.deletions())

    def verify(self) -> bool:
        """Import it again, and what that exports once more.

        The document must have the clocks and the deletions that it was taken of, and the same
        content after another round. (The bytes may differ: importing joins neighbouring items.)
        """
        try:
            replica = Replica(self.update)
            return (
                decode_state_vector(replica.state_vector())
                == decode_state_vector(self.state_vector)
                and _deleted(replica.deletions()) == _deleted(self.deletions)
                and _filled(self.update) == _filled(replica.encode())
            )
        except (NativeFailure, MalformedMessage):
            return False


def _filled(update: bytes) -> dict[str, object]:
    """The content of the roots that have any: what kind an empty one is, its items may not tell."""
    return {name: value for name, value in content(update).items() if value}


def _deleted(deletions: bytes) -> dict[int, set[tuple[int, int]]]:
    """The ranges of an update that only deletes: (first clock, length) by client."""
    reader = Reader(deletions)
    reader.read_uint()  # the count of clients with structs: none
    deleted: dict[int, set[tuple[int, int]]] = {}
    for _ in range(reader.read_uint()):
        client, ranges = reader.read_uint(), reader.read_uint()
        deleted[client] = {(reader.read_uint(), reader.read_uint()) for _ in range(ranges)}
    return deleted
