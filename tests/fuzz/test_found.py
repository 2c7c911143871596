"""What fuzzing found, each by its smallest example, so that it does not come back."""

from __future__ import annotations

import time

import pytest

from sync.core.actions import Close, Persist
from sync.core.content import root_kinds
from sync.core.crdt import Replica
from sync.core.document import Document
from sync.core.errors import MalformedMessage
from sync.core.guard import inspect
from sync.core.replay import replay
from sync.core.room import Room
from sync.core.yprotocol import SyncStep2, SyncUpdate, decode_state_vector
from tests.support.hostile import ANY, STRING, Run, crowd, item, string, update, value


@pytest.fixture
def room() -> Room:
    room = Room(Document(), 0)
    room.join(1, "mallory", writable=True)
    return room


def persisted(room: Room) -> list[bytes]:
    given = [action for action in room.flush() if isinstance(action, Persist)]
    return [action.update for action in given]


def test_a_turn_with_a_deletion_in_it_loads_again(room: Room) -> None:
    """An item in a text is taken once the text is deleted, but merged it came before that."""
    word = update(Run(2, 0, [item(STRING, string("deep"), parent="t")]))
    without = update(deletes={2: [(0, 4)]})
    inside = update(Run(2, 4, [item(ANY, value(), parent=(2, 1))]))
    room.receive(1, SyncUpdate(word), 0.0)
    log = persisted(room)
    for each in (without, inside):
        assert not room.receive(1, SyncUpdate(each), 0.0)
    log += persisted(room)
    assert not replay(None, log).left_out


def test_references_in_a_circle_have_no_root() -> None:
    """It was looked for for ever, on the event loop, once a snapshot was due."""
    circle = update(
        Run(1, 0, [item(ANY, value(), right=(2, 0))]),
        Run(2, 0, [item(ANY, value(), right=(1, 0))]),
    )
    assert root_kinds(circle) == {}


def test_the_root_of_a_long_text_is_found_in_its_time() -> None:
    """6,000 letters typed one by one took 7 s: each asked all before it."""
    letters = [item(STRING, string("a"), origin=(1, at)) for at in range(6_000)]
    typed = update(Run(1, 0, [item(STRING, string("a"), parent="t"), *letters]))
    began = time.process_time()
    assert [*root_kinds(typed)] == ["t"]
    assert time.process_time() - began < 1


def test_an_item_between_another_and_itself_is_refused() -> None:
    """No client writes it, and the library puts it elsewhere each time it loads it."""
    with pytest.raises(MalformedMessage, match="itself"):
        inspect(update(Run(1, 0, [item(ANY, value(), origin=(3, 3), right=(3, 3))])))


def test_a_document_of_more_clients_than_a_state_vector_may_name(room: Room) -> None:
    """17 messages of 57 KB made a document that nobody could open again."""
    for number in range(17):
        people = crowd(4_096, first=1_000_000 + number * 4_096, key=str(number))
        actions = room.receive(1, SyncStep2(people), 0.0)
        assert not [action for action in actions if isinstance(action, Close)]
    again = replay(None, persisted(room))
    assert len(decode_state_vector(again.document.state_vector())) == 17 * 4_096
    Room(again.document, again.size)


def test_an_emoji_that_was_split_is_exported_whole(room: Room) -> None:
    """As y-quill does when one emoji replaces another that begins alike.

    yrs 0.28 writes it as pieces of 2 and 0 units: newcomers got clocks that were not the room's,
    {1: 3, 2: 1}, and lost what came after.
    """
    smile = update(Run(1, 0, [item(STRING, string("\N{SLIGHTLY SMILING FACE}"), parent="t")]))
    between = update(Run(2, 0, [item(STRING, string("x"), origin=(1, 0), right=(1, 1))]))
    half = update(deletes={1: [(1, 1)]})
    for each in (smile, between, half):
        room.receive(1, SyncUpdate(each), 0.0)
    assert decode_state_vector(Replica(room.encode()).state_vector()) == {1: 2, 2: 1}
