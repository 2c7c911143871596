"""A large snapshot in parts, each of which can be applied by itself, in order.

The CRDT library imports a megabyte in some 30 ms, and lets nobody in meanwhile: in parts, others
can be served in between.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sync.core.guard import Inspection
from sync.core.wire import encode_uint

_NO_DELETIONS = b"\x00"
_NO_STRUCTS = b"\x00"


@dataclass(slots=True)
class _Struct:
    """One struct of a snapshot: where its bytes lie, and the foreign clocks that it stands on."""

    clock: int
    end: int  # exclusive
    start_byte: int
    end_byte: int
    needs: list[tuple[int, int]]  # client id, clock


def split(snapshot: bytes, part_bytes: int) -> list[bytes]:
    """Split a snapshot into updates of some ``part_bytes`` each, the deletions last.

    The snapshot passed the guard and has no gaps. Where its structs stand on each other in a way
    that allows no order, it comes back whole.
    """
    reading = _Reading(snapshot)
    reading.run(max_clients=2**31)
    parts = _ordered(snapshot, reading.clients, part_bytes)
    if parts is None:
        return [snapshot]
    return [*parts, _NO_STRUCTS + snapshot[reading.deletions_at :]]


class _Reading(Inspection):
    """Notes where each struct lies."""

    __slots__ = ("clients", "deletions_at", "references")

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.clients: dict[int, deque[_Struct]] = {}
        self.references: list[tuple[int, int]] = []
        self.deletions_at = 0

    def _struct(self) -> int:
        start = self.at
        self.references = []
        length = super()._struct()
        structs = self.clients.setdefault(self.client, deque())
        end = self.clock + length
        structs.append(_Struct(self.clock, end, start, self.at, self.references))
        return length

    def _reference(self) -> tuple[int, int]:
        client, clock = super()._reference()
        if client != self.client:
            self.references.append((client, clock))
        return client, clock

    def _delete_set(self, max_clients: int) -> None:
        self.deletions_at = self.at
        super()._delete_set(max_clients)


def _ordered(
    snapshot: bytes, clients: dict[int, deque[_Struct]], part_bytes: int
) -> list[bytes] | None:
    """Go round the clients, from each taking what stands on nothing that is still to come."""
    have: dict[int, int] = {}
    parts: list[bytes] = []
    runs: list[bytes] = []
    size = 0
    waiting = {client: structs for client, structs in clients.items() if structs}
    while waiting:
        progress = False
        for client, structs in list(waiting.items()):
            while run := _take_run(client, structs, have, part_bytes - size):
                progress = True
                runs.append(_encode_run(snapshot, client, run))
                size += len(runs[-1])
                if size >= part_bytes:
                    parts.append(_encode_part(runs))
                    runs, size = [], 0
                else:
                    break  # what comes next waits for another client
            if not structs:
                del waiting[client]
        if not progress:
            return None
        if runs:  # a client stands once in an update
            parts.append(_encode_part(runs))
            runs, size = [], 0
    return parts


def _take_run(
    client: int, structs: deque[_Struct], have: dict[int, int], most_bytes: int
) -> list[_Struct]:
    run: list[_Struct] = []
    size = 0
    while structs and size < most_bytes:
        struct = structs[0]
        if any(clock >= have.get(needed, 0) for needed, clock in struct.needs):
            break
        run.append(structs.popleft())
        size += struct.end_byte - struct.start_byte
        have[client] = struct.end
    return run


def _encode_run(snapshot: bytes, client: int, run: list[_Struct]) -> bytes:
    head = encode_uint(len(run)) + encode_uint(client) + encode_uint(run[0].clock)
    return head + snapshot[run[0].start_byte : run[-1].end_byte]


def _encode_part(runs: list[bytes]) -> bytes:
    return encode_uint(len(runs)) + b"".join(runs) + _NO_DELETIONS
