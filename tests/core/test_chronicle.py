"""Which places each entry of a log touched."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest

from sync.core.changes import Place
from sync.core.chronicle import BASE, Attempt, Chronicle, Touch
from sync.core.crdt import ARRAY, MAP, TEXT, XML, merge
from sync.core.errors import MalformedMessage
from sync.core.items import read_items, value_of
from sync.core.stretches import stretches
from tests.core.authors import Author

SCORE, NOTES = Place("form", "score"), Place("notes")


class Reader(Chronicle):
    """One that is given updates as they come."""

    def hear(self, update: bytes) -> dict[Place, Touch]:
        return self.take(read_items(update))


def test_a_key_of_a_map_is_set_and_deleted_as_a_whole() -> None:
    chronicle, alice = Reader(), Author(7)
    assert chronicle.hear(alice.put("score", 1)) == {SCORE: Touch((7,), whole=True)}
    assert chronicle.hear(alice.put("score", 2)) == {SCORE: Touch((7,), whole=True)}
    assert chronicle.hear(alice.drop("score")) == {SCORE: Touch((), whole=True)}
    assert chronicle.hear(alice.put("score", 3)) == {SCORE: Touch((7,), whole=True)}


def test_a_text_is_changed_inside() -> None:
    chronicle, alice = Reader(), Author(7)
    assert chronicle.hear(alice.write("hello")) == {NOTES: Touch((7,), whole=False)}
    erased = alice.edit(lambda: alice.text.__delitem__(slice(0, 2)))
    assert chronicle.hear(erased) == {NOTES: Touch((), whole=False)}
    assert chronicle.hear(erased) == {}


def test_a_text_that_is_written_and_erased_at_once_is_not_touched() -> None:
    alice = Author(7)
    updates = [alice.write("hello"), alice.edit(lambda: alice.text.clear())]
    assert Reader().hear(alice.everything()) == {}
    assert Reader().hear(merge(updates)) == {}


def test_an_edit_of_several_places_touches_each() -> None:
    alice = Author(7)
    alice.put("score", 1)
    alice.write("hi")
    bob = Author(8, alice.everything())
    bob.put("other", 1)
    touched = Reader().hear(bob.everything())
    assert touched == {
        SCORE: Touch((7,), whole=True),
        NOTES: Touch((7,), whole=False),
        Place("form", "other"): Touch((8,), whole=True),
    }


def test_a_value_set_and_changed_by_two_in_one_entry_is_set_as_a_whole() -> None:
    alice = Author(7)
    alice.put("score", pycrdt.Map({"a": 1}))
    bob = Author(8, alice.everything())
    inner: Any = bob.map["score"]
    bob.edit(lambda: inner.__setitem__("a", 2))
    assert Reader().hear(bob.everything()) == {SCORE: Touch((7, 8), whole=True)}


def test_what_is_nested_is_in_the_place_around_it() -> None:
    chronicle, alice = Reader(), Author(7)
    deep = pycrdt.Map({"list": pycrdt.Array([pycrdt.Map({"a": 1})])})
    chronicle.hear(alice.put("score", deep))
    inner: Any = alice.map["score"]["list"][0]
    update = alice.edit(lambda: inner.__setitem__("a", 2))
    assert chronicle.hear(update) == {SCORE: Touch((7,), whole=False)}
    assert chronicle.hear(alice.edit(lambda: inner.__delitem__("a"))) == {
        SCORE: Touch((), whole=False)
    }


def test_formats_touch_a_page_and_no_text() -> None:
    chronicle, alice = Reader(), Author(7)
    chronicle.hear(alice.write("hello"))
    bold = alice.edit(lambda: alice.text.format(0, 3, {"bold": True}))
    assert chronicle.hear(bold) == {}
    page = alice.doc.get("page", type=pycrdt.XmlFragment)
    chronicle.hear(alice.edit(lambda: page.children.append(pycrdt.XmlText("hello"))))
    words: Any = page.children[0]
    bold = alice.edit(lambda: words.format(0, 3, {"bold": True}))
    assert chronicle.hear(bold) == {Place("page"): Touch((7,), whole=False)}
    assert chronicle.kinds == {"notes": TEXT, "page": XML}
    inside = pycrdt.XmlFragment([pycrdt.XmlText("hello")])
    chronicle.hear(alice.put("page", inside))
    inner: Any = alice.map["page"].children[0]
    bold = alice.edit(lambda: inner.format(0, 3, {"bold": True}))
    assert chronicle.hear(bold) == {Place("form", "page"): Touch((7,), whole=False)}


def test_kinds_outlive_what_they_were_told_by() -> None:
    chronicle, alice = Reader(), Author(7)
    chronicle.hear(alice.write("hello"))
    chronicle.hear(alice.edit(lambda: alice.text.clear()))
    chronicle.hear(alice.put("score", 1))
    assert chronicle.kinds == {"notes": TEXT, "form": MAP}


def test_a_kind_may_be_told_late() -> None:
    chronicle, alice = Reader(), Author(7)
    chronicle.hear(alice.edit(lambda: alice.text.insert_embed(0, pycrdt.Map({}))))
    assert chronicle.kinds == {"notes": ARRAY}
    chronicle.hear(alice.write("hello"))
    assert chronicle.kinds == {"notes": TEXT}


@pytest.mark.parametrize(("alices", "bobs"), [(7, 8), (8, 7)])
@pytest.mark.parametrize("thirds", [5, 9])
def test_of_values_set_at_once_that_of_the_highest_client_id_stands(
    alices: int, bobs: int, thirds: int
) -> None:
    clients = {alices: 1, bobs: 2, thirds: 3}
    chronicle = Reader()
    for client, value in clients.items():
        chronicle.hear(Author(client).put("score", value))
    lost = [(client, value) for client, value in clients.items() if client != max(clients)]
    told = chronicle.attempts(SCORE)
    assert sorted((each.client, each.value) for each in told) == sorted(lost)


def test_attempts_end_with_the_value_that_they_lost_against() -> None:
    chronicle, alice, bob = Reader(), Author(7), Author(8)
    chronicle.hear(alice.put("score", 1))
    chronicle.hear(bob.put("score", 2))
    assert chronicle.attempts(SCORE) == [Attempt(0, 7, 1)]
    chronicle.hear(bob.drop("score"))
    assert chronicle.attempts(SCORE) == []
    assert chronicle.attempts(Place("form", "unknown")) == []


def test_what_was_there_before_the_first_entry() -> None:
    alice = Author(7)
    alice.put("score", 1)
    chronicle = Reader(alice.everything())
    assert chronicle.hear(alice.put("score", 2)) == {SCORE: Touch((7,), whole=True)}
    assert list(chronicle.writers(7, 0, 2)) == [(0, 1, BASE), (1, 2, 0)]


def test_an_entry_that_is_skipped_keeps_its_index() -> None:
    chronicle, alice = Reader(), Author(7)
    chronicle.skip()
    chronicle.hear(alice.put("score", 2))
    assert list(chronicle.writers(7, 0, 1)) == [(0, 1, 1)]


def test_what_is_no_update_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        Reader().hear(b"\xff")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        *[(each, each) for each in (None, True, False, 0, -70, 2**40, 1.5, "ä😀", [1, {"a": []}])],
        (b"\x00\xff", "AP8="),
        (3.0, 3),
        (pycrdt.Map({"a": 1}), {}),
        (pycrdt.Array([1]), []),
        (pycrdt.Text("a"), ""),
        (pycrdt.Doc(guid="annex"), {"subdocument": "annex"}),
    ],
)
def test_the_value_that_an_item_holds(value: object, told: object) -> None:
    update = Author(7).put("score", value)
    first = read_items(update).clients[7][0]
    found = value_of(update, first)
    assert (found, type(found)) == (told, type(told))


def test_integers_as_javascript_writes_them() -> None:
    head = bytes.fromhex("010107002801") + b"\x04form" + b"\x01k" + b"\x01\x7d"
    for written, value in ((b"\x05", 5), (b"\x45", -5), (b"\x86\x01", 70), (b"\xc6\x01", -70)):
        update = head + written + b"\x00"
        assert value_of(update, read_items(update).clients[7][0]) == value


def test_nothing_is_left_of_a_value_that_was_replaced() -> None:
    alice = Author(7)
    alice.put("score", 1)
    alice.put("score", 2)
    update = alice.everything()
    first, *_ = read_items(update).clients[7]
    with pytest.raises(ValueError, match="nothing is left"):
        value_of(update, first)


def test_the_stretches_of_a_text() -> None:
    alice = Author(9)
    alice.write("hello w😀rld")
    bob = Author(8, alice.everything())
    bob.edit(lambda: bob.text.insert(5, " dear"))
    bob.edit(lambda: bob.text.__delitem__(slice(0, 2)))
    bob.edit(lambda: bob.text.insert_embed(0, {"image": "x"}))
    (row,) = stretches(bob.everything()).values()
    assert [(each.client, each.text) for each in row] == [
        (9, "llo"),
        (8, " dear"),
        (9, " w😀rld"),
    ]


def test_the_stretches_of_a_text_whose_items_are_parted_twice() -> None:
    alice = Author(9)
    updates = [alice.write("abcdef")]
    for at, client in ((4, 8), (2, 7)):
        author = Author(client, *updates)
        updates.append(author.edit(lambda a=author, at=at: a.text.insert(at, "-")))  # type: ignore[misc]  # mypy: bound lambda
    (row,) = stretches(merge(updates)).values()
    assert [each.text for each in row] == ["ab", "-", "cd", "-", "ef"]
