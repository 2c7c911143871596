"""A document that updates are applied to, and its exports when the library's own are wrong."""

import pytest

from sync.core.content import content
from sync.core.document import Document
from sync.core.errors import NativeFailure
from sync.core.guard import inspect
from sync.core.yprotocol import encode_state_vector
from tests.core.authors import Author
from tests.core.test_surrogates import EMOJI, deletion, insertion

MORE = bytes.fromhex("010101028401010261620" + "0")  # client 1 types "ab" behind the emoji


def made(*updates: bytes) -> Document:
    document = Document()
    for update in updates:
        document.apply(update, inspect(update))
    return document


def test_what_is_new_is_told() -> None:
    author = Author(7)
    first, gone = author.put("a"), author.drop("a")
    document = Document()
    assert document.apply(first, inspect(first))
    assert not document.apply(first, inspect(first))
    assert document.apply(gone, inspect(gone))
    assert not document.apply(gone, inspect(gone))
    assert document.clocks == {7: 1}


@pytest.mark.parametrize("parting", [deletion(0, 1), deletion(1, 1), insertion(0, 1)])
@pytest.mark.parametrize("reloaded", [False, True])
def test_half_an_emoji_becomes_what_yjs_makes_of_it(parting: bytes, reloaded: bool) -> None:
    document = made(EMOJI, parting)
    if reloaded:
        document = Document(document.encode())
    document.apply(MORE, inspect(MORE))
    again = made(document.encode())
    assert document.clocks[1] == again.clocks[1] == 4
    assert again.deletions() == document.deletions()
    between = "x" if parting == insertion(0, 1) else ""
    halves = "\ufffd" if parting[0] == 0 else f"\ufffd{between}\ufffd"
    assert content(document.encode()) == content(again.encode()) == {"text": f"{halves}ab"}


def test_a_newcomer_and_one_who_was_there_get_what_is_missing() -> None:
    document = made(EMOJI, deletion(0, 1), MORE)
    late = made(EMOJI)
    diff = document.diff(encode_state_vector({1: 2}))
    assert inspect(diff).writes == {1: (2, 4)}
    late.apply(diff, inspect(diff))
    assert content(late.encode()) == content(document.encode())


def test_an_edit_of_half_a_character_that_is_known_is_nothing_new() -> None:
    document = made(EMOJI, deletion(0, 1))
    assert not document.apply(deletion(0, 1), inspect(deletion(0, 1)))
    assert not document.apply(EMOJI, inspect(EMOJI))
    assert document.apply(deletion(0, 2), inspect(deletion(0, 2)))
    assert not content(document.encode())["text"]


@pytest.mark.parametrize(
    ("updates", "text"),
    [
        ([EMOJI, MORE], "🙂ab"),
        ([EMOJI, insertion(1, None)], "🙂x"),
    ],
)
def test_edits_around_an_emoji_leave_it_whole(updates: list[bytes], text: str) -> None:
    assert content(made(*updates).encode()) == {"text": text}


def test_a_merged_update_may_part_its_own_character() -> None:
    merged = EMOJI[:-1] + deletion(0, 1)[1:]
    for document in (made(merged), Document(merged)):
        assert content(document.encode()) == {"text": "\ufffd"}


def test_structs_in_a_circle_fail() -> None:
    circle = bytes.fromhex("020102008401000178010100840200017800")
    with pytest.raises(NativeFailure, match="circle"):
        made(circle)
