"""What fuzzing begins from: real traffic, in order, and the reproducers of `tests.support.hostile`.

A history is a list of updates as a server received them. `recorded` are those of real editors, in
`tests/wire/corpus`; `edited` makes some with pycrdt, by seed, so that there is always something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import pycrdt

from tests.support import hostile
from tests.support.corpus import recordings
from tests.support.hostile import ANY, GC, SKIP, Run, item, nested_types, update, value

History = list[bytes]


def edited(seed: int, authors: int = 3, edits: int = 24) -> History:
    """A few authors with small client ids edit maps, lists, texts, XML, and meet now and then."""
    random = Random(seed)
    log: History = []
    docs = [_author(client, log) for client in range(1, authors + 1)]
    for _ in range(edits):
        doc = random.choice(docs)
        if random.random() < 0.5:
            _meet(doc, log)
        random.choice(_EDITS)(random, doc)
    return log


def handmade() -> Iterator[History]:
    """What pycrdt does not write by itself: Skip blocks, collected structs, deep types; attacks."""
    keyed = partial(item, ANY, value(), key="k")
    yield [update(Run(1, 0, [bytes([GC, 5]), keyed()])), update(deletes={1: [(0, 3), (5, 1)]})]
    yield [
        update(Run(1, 0, [keyed(), keyed()])),
        update(Run(1, 0, [keyed(), bytes([SKIP, 1]), keyed()])),
    ]
    yield [nested_types(8, at) for at in range(0, 64, 8)] + [nested_types(0, deletes=[0])]
    yield [hostile.crowd(8), hostile.crowd(8, 10_008)]
    yield list(hostile.shattered_text(64))
    for attack in hostile.attacks():
        if sum(map(len, attack.updates)) < 4_096:
            yield list(attack.updates)


def recorded(length: int, every: int) -> Iterator[History]:
    """Stretches of the recordings. Those that do not begin one stand on what is not there.

    Emoji are made two letters of the same size: that yrs loses what is split inside one is known
    (`tests/fuzz/test_genuine.py`), and would hide everything else.
    """
    for recording in recordings():
        updates = [_ASTRAL.sub("éé".encode(), update) for update in recording.updates]
        for start in range(0, len(updates), every):
            yield updates[start : start + length]


_ASTRAL = re.compile(rb"\xf0[\x90-\xbf][\x80-\xbf]{2}")


def _author(client: int, log: History) -> pycrdt.Doc[Any]:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    doc["map"], doc["list"] = pycrdt.Map(), pycrdt.Array()
    doc["text"], doc["rich"], doc["xml"] = pycrdt.Text(), pycrdt.Text(), pycrdt.XmlFragment()
    doc.observe(lambda event: log.append(event.update))
    return doc


def _meet(doc: pycrdt.Doc[Any], log: History) -> None:
    """See what all others wrote. What is heard is observed too, and is not the author's own."""
    known = len(log)
    for each in log[:known]:
        doc.apply_update(each)
    del log[known:]


def _set(random: Random, doc: pycrdt.Doc[Any]) -> None:
    values = (1, -2.5, True, None, "é", {"a": [1, {"b": "c"}]}, b"\x00\xff", "x" * 80)
    doc["map"][random.choice("abc")] = random.choice(values)


def _nest(random: Random, doc: pycrdt.Doc[Any]) -> None:
    inside: Any = pycrdt.Map({"x": pycrdt.Array([pycrdt.Text("deep")])})
    doc["map"][random.choice("abc")] = inside


def _remove(random: Random, doc: pycrdt.Doc[Any]) -> None:
    shared = doc["map"]
    if keys := sorted(shared.keys()):
        del shared[random.choice(keys)]


def _list(random: Random, doc: pycrdt.Doc[Any]) -> None:
    shared = doc["list"]
    if len(shared) > 3 and random.random() < 0.4:
        del shared[random.randrange(len(shared))]
    else:
        shared.insert(random.randint(0, len(shared)), random.choice((1, "two", [3])))


def _type_text(random: Random, doc: pycrdt.Doc[Any]) -> None:
    """ASCII alone: pycrdt counts bytes, and an index inside a character breaks what it writes."""
    text = doc["text"]
    if len(text) > 8 and random.random() < 0.3:
        start = random.randrange(len(text) - 2)
        del text[start : start + 2]
    else:
        text.insert(random.randint(0, len(text)), random.choice(("a", "hello ", "world")))


def _shape_text(random: Random, doc: pycrdt.Doc[Any]) -> None:
    text = doc["text"]
    if len(text) > 4:
        start = random.randrange(len(text) - 2)
        text.format(start, start + 2, {random.choice(("bold", "link")): random.choice((True, "x"))})
    doc["rich"].insert_embed(0, {"image": "x.png"})


def _xml(random: Random, doc: pycrdt.Doc[Any]) -> None:
    children = doc["xml"].children
    if len(children) > 2 and random.random() < 0.4:
        del children[random.randrange(len(children))]
    else:
        children.append(pycrdt.XmlElement("p", {"a": "b"}, [pycrdt.XmlText("t")]))


_EDITS: tuple[Callable[[Random, pycrdt.Doc[Any]], None], ...] = (
    _set,
    _set,
    _nest,
    _remove,
    _list,
    _list,
    _type_text,
    _type_text,
    _shape_text,
    _xml,
)
