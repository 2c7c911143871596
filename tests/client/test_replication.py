"""The client's machine, without a socket: a document, and the frames of a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from pycrdt import Doc

from sync.client import replication
from sync.client.replication import Replication
from sync.core.errors import MalformedMessage
from sync.core.yprotocol import (
    READ_ONLY,
    Barrier,
    Message,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode,
    denied_frame,
    saved_frame,
    step1_frame,
    step2_frame,
    update_frame,
)
from tests.client.support import answers

EMPTY = b"\x00"


class Side:
    """A document and its machine; ``woken`` counts the wake-ups."""

    def __init__(self, **held: object) -> None:
        self.doc: Doc[Any] = Doc()
        self.edit(**held)
        self.woken = 0
        self.machine = Replication(self.doc, self._wake)

    def edit(self, **values: object) -> None:
        for key, value in values.items():
            answers(self.doc)[key] = value

    def sent(self) -> list[Message]:
        return [decode(frame) for frame in self.machine.flush()]

    def open(self, server: Doc[Any] | None = None) -> list[Message]:
        """Connect to a server that has this document, as far as the first answer."""
        server = server or Doc()
        self.machine.opened(0.0)
        hello = self.sent()
        assert isinstance(hello[0], SyncStep1)
        self.receive(
            step1_frame(server.get_state()), step2_frame(server.get_update(hello[0].state_vector))
        )
        return self.sent()

    def receive(self, *frames: bytes) -> None:
        for frame in frames:
            self.machine.receive(frame, 0.0)

    def _wake(self) -> None:
        self.woken += 1


def barrier(messages: Iterable[Message]) -> bytes:
    (payload,) = [message.payload for message in messages if isinstance(message, Barrier)]
    return payload


def test_nothing_is_sent_before_the_server_said_what_it_has() -> None:
    side = Side()
    side.machine.opened(0.0)
    side.edit(q1="yes")
    assert [type(message) for message in side.sent()] == [SyncStep1]
    side.receive(step1_frame(EMPTY))
    step2, saved = side.sent()
    assert isinstance(step2, SyncStep2)
    assert isinstance(saved, Barrier)
    received: Doc[Any] = Doc()
    received.apply_update(step2.update)
    assert answers(received).to_py() == {"q1": "yes"}


def test_an_edit_in_sync_goes_out_as_an_update_with_a_barrier_behind() -> None:
    side = Side()
    side.open()
    side.edit(q1=1)
    assert [type(message) for message in side.sent()] == [SyncUpdate, Barrier]
    assert side.woken == 1


def test_edits_are_saved_by_the_echo_of_their_barrier_and_nothing_else() -> None:
    side = Side()
    side.open()
    side.edit(q1=1, q2=2)
    echo = barrier(side.sent())
    side.edit(q3=3)
    assert [type(message) for message in side.sent()] == [SyncUpdate]  # one barrier at a time
    side.receive(saved_frame(b"another"))
    assert side.machine.saved == 0
    side.receive(saved_frame(echo))
    assert (side.machine.saved, side.machine.edits) == (2, 3)
    side.receive(saved_frame(barrier(side.sent())))
    assert side.machine.saved == 3
    assert side.sent() == []


def test_a_barrier_dies_with_its_connection() -> None:
    side = Side()
    side.open()
    side.edit(q1=1)
    echo = barrier(side.sent())
    side.machine.closed()
    side.machine.opened(1.0)
    side.receive(saved_frame(echo))
    assert side.machine.saved == 0
    side.receive(step1_frame(EMPTY))
    assert [type(message) for message in side.sent()] == [SyncStep1, SyncStep2, Barrier]


def test_what_a_document_holds_at_the_start_is_not_known_to_be_saved() -> None:
    side = Side(q1="from a file")
    assert (side.machine.edits, side.machine.saved) == (1, 0)
    side.receive(saved_frame(barrier(side.open())))
    assert side.machine.saved == 1


def test_edits_of_others_are_applied_and_not_sent_back() -> None:
    server, side = Side(q1="theirs"), Side()
    assert [type(message) for message in side.open(server.doc)] == [SyncStep2]
    assert answers(side.doc).to_py() == {"q1": "theirs"}
    before = server.doc.get_state()
    server.edit(q2="more")
    side.receive(update_frame(server.doc.get_update(before)))
    assert answers(side.doc).to_py() == {"q1": "theirs", "q2": "more"}
    assert side.sent() == []
    assert side.machine.edits == 0


def test_synced_means_both_ways() -> None:
    side = Side()
    side.machine.opened(0.0)
    side.receive(step2_frame(b"\x00\x00"))
    assert not side.machine.synced
    side.receive(step1_frame(EMPTY))
    assert side.machine.synced
    side.machine.closed()
    assert not side.machine.synced


def test_a_later_step1_is_answered_with_everything_and_queued_edits_go_once() -> None:
    side = Side()
    side.open()
    side.edit(q1=1)
    side.receive(step1_frame(EMPTY))
    assert [type(message) for message in side.sent()] == [SyncStep2, Barrier]


def test_a_full_queue_becomes_one_diff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "MAX_QUEUED", 100)
    side = Side()
    side.open()
    side.edit(**{f"q{n}": n for n in range(50)})
    step2, _ = side.sent()
    assert isinstance(step2, SyncStep2)
    received: Doc[Any] = Doc()
    received.apply_update(step2.update)
    assert len(answers(received).to_py() or {}) == 50
    side.edit(q50=50)
    assert [type(message) for message in side.sent()] == [SyncUpdate]


def test_edits_that_were_dropped_are_never_saved() -> None:
    side = Side()
    side.open()
    side.edit(q1=1)
    echo = barrier(side.sent())
    side.receive(denied_frame(READ_ONLY), saved_frame(echo))
    assert side.machine.saved == 0
    assert side.machine.read_only == READ_ONLY
    assert side.sent() == []  # and no barrier in a circle


def test_a_reason_for_something_else_stops_no_edits() -> None:
    side = Side()
    side.open()
    side.edit(q1=1)
    echo = barrier(side.sent())
    side.receive(denied_frame("an awareness state is at most 8192 bytes"), saved_frame(echo))
    assert side.machine.saved == 1


@pytest.mark.parametrize("frame", [b"", b"\x63", b"\x00\x02\x05", b"\x02\x00\x05a", b"\x01\x01"])
def test_what_no_server_says_is_an_error(frame: bytes) -> None:
    side = Side()
    side.open()
    with pytest.raises(MalformedMessage):
        side.receive(frame)


def test_a_machine_that_forgets_its_document_watches_it_no_more() -> None:
    side = Side()
    side.machine.forget()
    side.edit(q1=1)
    assert side.machine.edits == 0
