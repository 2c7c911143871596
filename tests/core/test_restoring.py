"""Bringing back what a document held, by edits that merge with those of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.content import filled
from sync.core.footprint import missing
from sync.core.guard import inspect
from sync.core.restoring import restoration
from sync.core.yprotocol import decode_state_vector
from tests.core.authors import EMPTY, Author


def restored(author: Author, wanted: bytes) -> bytes:
    """Restore on the author's own replica; return the update."""
    before = author.state_vector
    update = restoration(author.everything(), wanted)
    assert update is not None
    footprint = inspect(update)
    assert not missing(footprint, decode_state_vector(before))
    assert not set(footprint.writes) & set(decode_state_vector(before))
    author.hear(update)
    assert filled(author.everything()) == filled(wanted)
    assert restoration(author.everything(), wanted) is None
    return update


def marks(author: Author) -> list[Any]:
    """Of each character, and of what is embedded, how it is formatted."""
    return [
        (each, marks or {})
        for piece, marks in author.text.diff()
        for each in (piece if isinstance(piece, str) else [piece])
    ]


def test_what_does_not_differ_needs_no_edit() -> None:
    author = Author(7)
    author.put("a", 1)
    author.write("hello")
    assert restoration(author.everything(), author.everything()) is None
    assert restoration(EMPTY, EMPTY) is None


@pytest.mark.parametrize("value", [1, 2.5, None, True, "ä😀", [1, {"k": None}], {"k": 2}, b"\x00"])
def test_a_value_comes_back(value: object) -> None:
    author = Author(7)
    author.put("a", value)
    wanted = author.everything()
    author.put("a", "other")
    restored(author, wanted)
    author.drop("a")
    restored(author, wanted)


def test_one_and_true_are_two_values() -> None:
    author = Author(7)
    author.put("a", True)
    wanted = author.everything()
    author.put("a", 1)
    restored(author, wanted)


def test_only_what_differs_is_touched() -> None:
    author = Author(7)
    author.put("a", 1)
    author.put("b", 1)
    wanted = author.everything()
    author.put("b", 2)
    (writes,) = inspect(restored(author, wanted)).writes.values()
    assert writes == (0, 1)


def test_roots_that_were_not_there_are_emptied() -> None:
    author = Author(7)
    author.put("a", 1)
    wanted = author.everything()
    author.write("hello")
    author.edit(lambda: author.array.extend([1, 2]))
    restored(author, wanted)


def test_an_emptied_text_comes_back() -> None:
    author = Author(7)
    author.write("hello 😀 wörld")
    wanted = author.everything()
    author.edit(lambda: author.text.clear())
    restored(author, wanted)


def test_what_others_write_elsewhere_in_a_text_stays() -> None:
    alice = Author(7)
    alice.write("one two three")
    wanted = alice.everything()
    alice.edit(lambda: alice.text.__delitem__(slice(4, 8)))
    alice.write(" four")
    bob = Author(8, alice.everything())
    live = bob.edit(lambda: bob.text.insert(0, "zero "))
    update = restored(alice, wanted)
    alice.hear(live)
    bob.hear(update)
    assert str(alice.text) == str(bob.text) == "zero one two three"


def test_all_of_a_long_text_stays_but_what_differs() -> None:
    alice = Author(7)
    alice.write("one two " * 1_000)
    wanted = alice.everything()
    alice.edit(lambda: alice.text.__delitem__(slice(7_990, 7_995)))
    alice.edit(lambda: alice.text.insert(4_000, "😀"))
    alice.edit(lambda: alice.text.__delitem__(slice(10, 12)))
    bob = Author(8, alice.everything())
    live = bob.edit(lambda: bob.text.insert(2_000, " meanwhile "))
    update = restored(alice, wanted)
    footprint = inspect(update)
    assert sum(end - start for start, end in footprint.writes.values()) == 7
    assert sum(end - start for _, start, end in footprint.deleted) == 2
    alice.hear(live)
    bob.hear(update)
    assert str(alice.text) == str(bob.text)
    assert str(bob.text).replace(" meanwhile ", "") == "one two " * 1_000


@given(st.text("ab😀", max_size=9), st.text("ab😀", max_size=9))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(one: str, other: str) -> None:
    author = Author(7)
    author.write(one)
    wanted = author.everything()
    author.edit(lambda: author.text.clear())
    author.write(other)
    update = restoration(author.everything(), wanted)
    author.hear(*([] if update is None else [update]))
    assert str(author.text) == one


def test_formats_and_embeds_come_back() -> None:
    author = Author(7)
    author.write("hello world")
    author.edit(lambda: author.text.format(0, 5, {"bold": True}))
    author.edit(lambda: author.text.insert_embed(5, {"image": "x"}))
    wanted, was = author.everything(), marks(author)
    author.edit(lambda: author.text.format(0, 8, {"bold": None, "italic": True}))
    author.edit(lambda: author.text.__delitem__(slice(3, 7)))
    author.write("😀")
    restored(author, wanted)
    assert marks(author) == was


def test_text_written_back_beside_bold_is_not_bold() -> None:
    author = Author(7)
    author.write("bold plain")
    author.edit(lambda: author.text.format(0, 4, {"bold": True}))
    wanted, was = author.everything(), marks(author)
    author.edit(lambda: author.text.__delitem__(slice(4, 10)))
    restored(author, wanted)
    assert marks(author) == was


def test_formats_alone_come_back() -> None:
    author = Author(7)
    author.write("hello world")
    wanted, was = author.everything(), marks(author)
    author.edit(lambda: author.text.format(2, 7, {"bold": True}))
    restored(author, wanted)
    assert marks(author) == was


def test_nested_types_are_changed_inside_where_they_still_stand() -> None:
    alice = Author(7)
    inner = alice.map
    alice.put("inner", pycrdt.Map({"list": pycrdt.Array([1, 2, 3]), "text": pycrdt.Text("deep")}))
    wanted = alice.everything()
    nested: pycrdt.Map[Any] = inner["inner"]
    alice.edit(lambda: nested["list"].__delitem__(1))
    alice.edit(lambda: nested["text"].insert(4, "er"))
    bob = Author(8, alice.everything())
    live = bob.edit(lambda: bob.map["inner"].__setitem__("new", 1))
    update = restored(alice, wanted)
    alice.hear(live)
    bob.hear(update)
    assert alice.content == bob.content
    assert bob.map.to_py() == {"inner": {"list": [1.0, 2.0, 3.0], "text": "deep", "new": 1.0}}


def test_nested_types_that_are_gone_come_back() -> None:
    author = Author(7)
    author.put("inner", pycrdt.Map({"list": pycrdt.Array([pycrdt.Text("deep"), 1])}))
    author.edit(lambda: author.array.append(pycrdt.Map({"a": pycrdt.Array([])})))
    wanted = author.everything()
    author.put("inner", 1)
    author.edit(lambda: author.array.clear())
    restored(author, wanted)


def test_an_array_is_spliced() -> None:
    author = Author(7)
    author.edit(lambda: author.array.extend([1, 2, 3, 4, 5, 6]))
    wanted = author.everything()
    author.edit(lambda: author.array.__delitem__(4))
    author.edit(lambda: author.array.__delitem__(1))
    author.edit(lambda: author.array.insert(2, "new"))
    (writes,) = inspect(restored(author, wanted)).writes.values()
    assert writes == (0, 2)


def test_what_stands_in_an_array_is_changed_inside() -> None:
    alice = Author(7)
    alice.edit(lambda: alice.array.extend([pycrdt.Map({"a": 1}), pycrdt.Map({"a": 2}), 3]))
    wanted = alice.everything()
    inner: Any = alice.array[1]
    alice.edit(lambda: inner.__setitem__("a", 4))
    bob = Author(8, alice.everything())
    theirs: Any = bob.array[1]
    live = bob.edit(lambda: theirs.__setitem__("b", 5))
    restored(alice, wanted)
    alice.hear(live)
    assert alice.array.to_py() == [{"a": 1.0}, {"a": 2.0, "b": 5.0}, 3.0]


def test_subdocuments_are_kept_by_their_name() -> None:
    author = Author(7)
    author.put("sub", pycrdt.Doc(guid="annex"))
    wanted = author.everything()
    assert restoration(wanted, wanted) is None
    author.drop("sub")
    restored(author, wanted)


def page(change: Callable[[pycrdt.XmlFragment], object]) -> tuple[bytes, bytes]:
    """A page before and after a change."""
    author = Author(7)
    root = author.doc.get("page", type=pycrdt.XmlFragment)
    words: list[Any] = [
        pycrdt.XmlText("hello "),
        pycrdt.XmlElement("b", {}, [pycrdt.XmlText("you")]),
    ]
    author.edit(lambda: root.children.append(pycrdt.XmlElement("p", {"class": "x"}, words)))
    author.edit(lambda: root.children.append(pycrdt.XmlElement("hr")))
    before = author.everything()
    author.edit(lambda: change(root))
    return before, author.everything()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: root.children.__delitem__(0),
        lambda root: root.children.__delitem__(slice(0, 2)),
        lambda root: root.children.insert(0, pycrdt.XmlText("new")),
        lambda root: root.children[0].attributes.__setitem__("class", "y"),
        lambda root: root.children[0].attributes.__delitem__("class"),
        lambda root: root.children[0].children[0].insert(5, " 😀"),
        lambda root: root.children[0].children[0].format(0, 5, {"i": True}),
        lambda root: root.children[0].children.__delitem__(1),
    ],
)
def test_xml_comes_back(change: Callable[[pycrdt.XmlFragment], object]) -> None:
    before, after = page(change)
    restored(Author(9, after), before)
    restored(Author(9, before), after)


def test_a_text_that_is_quite_another_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.core.restoring._MOST_DIFFERING", 10)
    author = Author(7)
    author.write("=" + "ab" * 6 + "=")
    wanted = author.everything()
    author.edit(lambda: author.text.__delitem__(slice(1, 13)))
    author.edit(lambda: author.text.insert(1, "cd" * 6))
    (writes,) = inspect(restored(author, wanted)).writes.values()
    assert writes == (0, 12)


def test_a_text_that_was_empty_is_emptied() -> None:
    author = Author(7)
    author.write("hello")
    author.edit(lambda: author.text.clear())
    wanted = author.everything()
    author.write("again")
    restored(author, wanted)
