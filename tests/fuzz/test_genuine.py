"""Genuine traffic is never refused: what real editors wrote, in the order in which it was written.

`tests/wire/corpus` holds recordings (`tests/wire/record.mjs` makes them), with the state vector
that npm yjs had at the end. The room meets them without a network; `tests/wire/test_corpus.py`
sends them over one.
"""

from __future__ import annotations

import pytest

from sync.core.actions import Action, Close, Persist, Rebuild, Send
from sync.core.crdt import Replica, merge
from sync.core.document import Document
from sync.core.replay import replay
from sync.core.room import Room
from sync.core.yprotocol import SyncStep2, SyncUpdate, decode_state_vector
from tests.support.corpus import Recording, names, recording

NAMES = names()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", [1, 50])
def test_the_room_takes_everything(name: str, turn: int) -> None:
    """By turns of one and of many; and the log gives the same document again."""
    one = recording(name)
    editor = Life(one, turn)
    editor.live()
    assert decode_state_vector(editor.room.snapshot().state_vector) == decode_state_vector(
        one.vector
    )
    again = replay(None, editor.log)
    assert not again.left_out
    assert decode_state_vector(again.document.state_vector()) == decode_state_vector(one.vector)


@pytest.mark.parametrize("name", NAMES)
def test_twice_over_changes_nothing(name: str) -> None:
    """As a client that sends everything again."""
    one = recording(name)
    editor = Life(one, 50)
    editor.live()
    version = editor.room.version
    for update in one.updates:
        editor.expect_no_refusal(editor.room.receive(1, SyncUpdate(update), 0.0))
    assert editor.room.version == version


@pytest.mark.parametrize("name", NAMES)
def test_a_newcomer_gets_everything(name: str) -> None:
    one = recording(name)
    editor = Life(one, 50)
    editor.live()
    newcomer = Replica(editor.room.encode())
    assert decode_state_vector(newcomer.state_vector()) == decode_state_vector(one.vector)


class Life:
    """One editor in a room of its own. Asked for what the room lacks, it sends all it has.

    Which is everything: y-prosemirror writes a deletion before what it deletes, in one tick.
    """

    def __init__(self, recording: Recording, turn: int) -> None:
        self.room = Room(Document(), 0)
        self.log: list[bytes] = []
        self._recording = recording
        self._turn = turn
        self.room.join(1, "editor", writable=True)

    def live(self) -> None:
        updates = list(self._recording.updates)
        for number, update in enumerate(updates, 1):
            actions = self.room.receive(1, SyncUpdate(update), 0.0)
            if self.expect_no_refusal(actions):
                step2 = SyncStep2(merge(updates))
                self.expect_no_refusal(self.room.receive(1, step2, 0.0))
            if number % self._turn == 0:
                self._flush()
        self._flush()
        assert not self.room.held(1)

    def expect_no_refusal(self, actions: list[Action]) -> bool:
        """Tell whether the room asks for what it lacks."""
        assert not [each for each in actions if isinstance(each, Close | Rebuild)]
        return any(isinstance(each, Send) and each.frame[:2] == b"\x00\x00" for each in actions)

    def _flush(self) -> None:
        for action in self.room.flush():
            if isinstance(action, Persist):
                self.log.append(action.update)
