"""Reading a document without its schema."""

from __future__ import annotations

import json

import pycrdt
import pytest

from sync.core.content import content, maps_and_texts, root_kinds
from sync.core.crdt import ARRAY, MAP, TEXT, XML, Replica
from tests.core.authors import EMPTY, Author


def test_an_empty_document_has_no_roots() -> None:
    assert content(EMPTY) == {}


def test_kinds_are_told_by_what_stands_inside() -> None:
    author = Author(7)
    author.put("a", 1)
    author.write("hi")
    author.edit(lambda: author.array.append(1))
    fragment = author.doc.get("page", type=pycrdt.XmlFragment)
    author.edit(lambda: fragment.children.append(pycrdt.XmlElement("p")))
    kinds = {"form": MAP, "notes": TEXT, "list": ARRAY, "page": XML}
    assert root_kinds(author.everything()) == kinds


def test_content_is_json() -> None:
    author = Author(7)
    values = [1, 2.5, None, True, "ä", [1], {"k": 2}]
    for number, value in enumerate(values):
        author.put(f"k{number}", value)
    author.put("bytes", b"\x00\xff")
    read = content(author.everything())
    assert read["form"] == {f"k{n}": v for n, v in enumerate(values)} | {"bytes": "AP8="}
    assert json.loads(json.dumps(read)) == read


def test_whole_numbers_are_integers_as_in_javascript() -> None:
    author = Author(7)
    author.put("n", 3.0)
    assert json.dumps(content(author.everything())["form"]) == '{"n": 3}'


def test_nested_types_come_inside_their_root() -> None:
    author = Author(7)
    author.put("inner", pycrdt.Map({"list": pycrdt.Array([pycrdt.Text("deep")])}))
    assert content(author.everything()) == {"form": {"inner": {"list": ["deep"]}}}


def test_a_subdocument_comes_as_its_name() -> None:
    author = Author(7)
    author.put("sub", pycrdt.Doc(guid="annex"))
    read = content(author.everything())
    assert read == {"form": {"sub": {"subdocument": "annex"}}}
    assert content(author.everything()) == read


def test_a_page_inside_of_a_map_comes_as_text() -> None:
    author = Author(7)
    words = pycrdt.XmlText("you")
    element = pycrdt.XmlElement("p", {"b": "1", "a": "2"}, [words])
    author.put("page", pycrdt.Map({"text": pycrdt.XmlFragment([element])}))
    expected = {"form": {"page": {"text": '<p a="2" b="1">you</p>'}}}
    assert content(author.everything()) == expected
    assert Replica(author.everything()).value("form", "page") == (True, expected["form"]["page"])


def test_what_is_embedded_comes_as_json() -> None:
    author = Author(7)
    author.write("ab")
    author.edit(lambda: author.text.insert_embed(1, {"image": "x", "alt": [1, None]}))
    author.put("nested", pycrdt.Text(""))
    author.edit(lambda: author.map["nested"].insert_embed(0, {"width": 3}))
    told = {"form": {"nested": '{"width": 3}'}, "notes": 'a{"alt": [1, null], "image": "x"}b'}
    assert content(author.everything()) == told


def test_roots_come_by_name() -> None:
    author = Author(7)
    for name in "cab":
        root = author.doc.get(name, type=pycrdt.Map)
        author.edit(lambda root=root: root.__setitem__("k", 1))  # type: ignore[misc]  # mypy: bound lambda
    assert list(content(author.everything())) == ["a", "b", "c"]


@pytest.mark.parametrize("letters", ["x", "xyz" * 50])
def test_a_text_is_known_by_what_is_left_of_it(letters: str) -> None:
    author = Author(7)
    author.write(letters + "end")
    author.edit(lambda: author.text.__delitem__(slice(0, len(letters))))
    assert content(author.everything()) == {"notes": "end"}


def test_what_two_people_wrote_into_one_root_is_one_root() -> None:
    alice = Author(7)
    bob = Author(8, alice.write("hello "))
    bob.write("world")
    assert content(Replica(bob.everything()).encode()) == {"notes": "hello world"}


def test_roots_whose_kind_is_known() -> None:
    author = Author(7)
    author.put("k", 1)
    author.put("nested", pycrdt.Map({"a": [1]}))
    author.write("hello")
    author.edit(lambda: author.array.append(1))
    read = maps_and_texts(author.everything(), ["form", "missing"], ["notes", "nothing"])
    assert read == {"form": {"k": 1, "nested": {"a": [1]}}, "notes": "hello"}


def test_a_root_of_another_kind_than_was_thought_is_no_harm() -> None:
    author = Author(7)
    author.put("k", 1)
    author.write("hello")
    author.edit(lambda: author.array.append(1))
    read = maps_and_texts(author.everything(), ["list", "notes"], ["form"])
    assert not any(read.values())
    assert content(author.everything()) == {"form": {"k": 1}, "list": [1], "notes": "hello"}
