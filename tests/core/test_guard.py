"""The guard: what native code may never see; and the causal gate, against a naive oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.core.crdt import Replica
from sync.core.errors import MalformedMessage
from sync.core.footprint import Footprint, missing
from sync.core.guard import MAX_CLIENTS_STEP2, inspect
from sync.core.wire import encode_bytes, encode_uint
from tests.core.authors import Author


def expect_refused(update: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        inspect(update)


def expect_taken(*updates: bytes) -> None:
    """The guard takes them, and so does the library, all of it."""
    replica = Replica()
    for update in updates:
        inspect(update)
        replica.apply(update)
    inspect(replica.encode(), MAX_CLIENTS_STEP2)
    Replica(replica.encode())


def one_struct(body: str | bytes, client: int = 1001, clock: int = 0) -> bytes:
    """An update of one struct and no deletions."""
    content = bytes.fromhex(body) if isinstance(body, str) else body
    return b"\x01\x01" + encode_uint(client) + encode_uint(clock) + content + b"\x00"


def any_value(encoded: bytes) -> bytes:
    return one_struct(bytes.fromhex("2801016d0161") + b"\x01" + encoded)


def embed(json: bytes) -> bytes:
    return one_struct(bytes.fromhex("05010174") + encode_bytes(json))


def formatted(json: bytes) -> bytes:
    return one_struct(bytes.fromhex("0601017401") + b"b" + encode_bytes(json))


# -- reliability.md, section 1


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ("0100050700", "a client with 0 structs"),
        ("0102e907000701017200000000", "length 0"),
        ("0102e907002701016d0361727200000000", "length 0"),
        ("0101b1bc2fffffffff0f04010570726f62650550524f424500", r"above 2\^31"),
        ("010181d1acf30e0002010174010174017800", "JSON content"),
        ("84dfc74b", "158461828 clients"),
        ("0101e907ffffffff0f040101740568656c6c6f00", r"above 2\^31"),
    ],
)
def test_what_breaks_the_library_is_refused(update: str, reason: str) -> None:
    expect_refused(bytes.fromhex(update), reason)


@pytest.mark.parametrize(
    ("update", "lacking"),
    [
        ("0101e907092801016d0161017d0100", {1001: 9}),
        ("0101e907412801016d0162017601017875037d017d02760101797e00", {1001: 65}),
    ],
)
def test_what_breaks_it_out_of_order_meets_the_gate(update: str, lacking: dict[int, int]) -> None:
    assert missing(inspect(bytes.fromhex(update)), {}) == lacking


@pytest.mark.parametrize("depth", [65, 1_000, 26_523])
def test_deep_values_are_refused(depth: int) -> None:
    expect_refused(any_value(b"\x75\x01" * depth + b"\x7e"), "nested deeper than 64")
    expect_refused(any_value(b"\x76\x01\x01k" * depth + b"\x7e"), "nested deeper than 64")
    expect_refused(embed(b"[" * depth + b"]" * depth), "deeper than 64|not JSON")


def test_values_as_deep_as_forms_need_are_taken() -> None:
    expect_taken(any_value(b"\x75\x01" * 64 + b"\x7e"), embed(b"[" * 64 + b"]" * 64))


def test_counts_that_claim_memory_are_refused() -> None:
    claim = encode_uint(2**31 - 1)
    expect_refused(any_value(b"\x76" + claim), "more values than bytes")
    expect_refused(any_value(b"\x75" + claim), "more values than bytes")
    expect_refused(any_value(b"\x74" + claim), "too early")
    expect_refused(any_value(b"\x77" + claim), "middle of a string")
    expect_refused(one_struct(bytes.fromhex("2801016d0161") + claim), "more values than bytes")
    expect_refused(b"\x01" + claim + b"\x01\x00", f"{2**31 - 1} structs")
    expect_refused(b"\x00\x01\x01" + claim, "delete set")


@pytest.mark.parametrize(("clients", "taken"), [(64, True), (65, False), (30_000, False)])
def test_an_update_has_so_many_clients(clients: int, taken: bool) -> None:
    structs = b"".join(
        b"\x01" + encode_uint(n) + b"\x00\x08\x01\x01m\x01\x7e" for n in range(clients)
    )
    update = encode_uint(clients) + structs + b"\x00"
    if taken:
        assert inspect(update).structs == clients
    else:
        expect_refused(update, f"{clients} clients")


@pytest.mark.parametrize(
    "json", [b"NaN", b"-Infinity", b"1e999", b"1" * 400, b"1\x00", b"\xef\xbb\xbf1"]
)
@pytest.mark.parametrize("content", [embed, formatted])
def test_json_is_what_the_library_calls_json(
    content: Callable[[bytes], bytes], json: bytes
) -> None:
    """Python's json reads more than JSON: each of these makes the library fail."""
    expect_refused(content(json), "not JSON")


@pytest.mark.parametrize("json", [b'"\\ud800"', b'{"a": "\\udc00x"}', b'"\\ud800\\u0041"'])
def test_json_with_half_a_character_is_refused(json: bytes) -> None:
    expect_refused(embed(json), "not JSON")


@pytest.mark.parametrize(
    "json", [b'"\\ud83d\\ude00"', b"1.5e3", b"-0", b" 1 ", b'{"a":[null,true]}']
)
def test_json_of_any_taste_is_taken(json: bytes) -> None:
    expect_taken(embed(json), formatted(json))


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (b"", "middle of an integer"),
        (b"\x00", "middle of an integer"),
        (b"\x00\x00\x00", "1 bytes follow"),
        (b"\x80" * 200_000, "longer than 8 bytes"),
        (one_struct("84e90700 0161".replace(" ", "")), "refers to itself"),
        (one_struct("44e90705 0161".replace(" ", "")), "refers to itself"),
        (one_struct("0402"), "neither a name nor an id"),
        (one_struct("0b01016d"), "unknown kind 11"),
        (one_struct("0701017207"), "unknown kind 7"),
        (one_struct("0801016d0173"), "unknown tag 115"),
        (one_struct("0401017402fffe"), "not UTF-8"),
        (one_struct("04010174056162"), "middle of a string"),
        (one_struct("0001"), None),
        (b"\x02" + b"\x01\x05\x00\x00\x01" * 2 + b"\x00", "stands twice"),
        (b"\x00\x02\x05\x01\x00\x01\x05\x01\x01\x01", "or twice"),
        (b"\x00\x01\x05\x01\x00\x00", "empty"),
        (b"\x00\x01\x05\x01\x00" + encode_uint(2**31), r"2\^31"),
        (one_struct("0001", client=2**53 - 1), None),
    ],
)
def test_structure(update: bytes, reason: str | None) -> None:
    if reason is None:
        inspect(update)
    else:
        expect_refused(update, reason)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(update: bytes) -> None:
    with suppress(MalformedMessage):
        inspect(update)


# -- what real clients send


def everything() -> dict[str, list[bytes]]:
    """Updates of every content kind, made by the library, by name."""
    made: dict[str, list[bytes]] = {}

    def author(kind: str) -> tuple[Author, list[bytes]]:
        return Author(1000 + len(made)), made.setdefault(kind, [])

    map_author, updates = author("map")
    values: list[object] = [
        None,
        True,
        1,
        -5,
        2.5,
        2**40,
        "ä😀",
        b"\x00\xff",
        [1, [2]],
        {"a": {"b": 1}},
    ]
    updates += [map_author.put(f"k{n}", value) for n, value in enumerate(values)]
    updates += [map_author.put("k1", "again"), map_author.drop("k2")]
    text_author, updates = author("text")
    text = text_author.text
    updates += [
        text_author.write("hällo 😀"),
        text_author.edit(lambda: text.format(0, 3, {"bold": True, "link": {"href": "x"}})),
        text_author.edit(lambda: text.insert_embed(1, {"image": "x.png"})),
        text_author.edit(lambda: text.insert(0, "x", {"em": None})),
        text_author.edit(lambda: text.__delitem__(slice(0, 2))),
    ]
    array_author, updates = author("array")
    updates += [
        array_author.edit(lambda: array_author.array.extend([1, "x", None, {"a": 1}, b"bytes"])),
        array_author.edit(lambda: array_author.array.pop(1)),
    ]
    nested_author, updates = author("nested")
    updates += [
        nested_author.put("map", pycrdt.Map({"in": pycrdt.Array([pycrdt.Text("deep")])})),
        nested_author.edit(lambda: nested_author.array.append(pycrdt.Map({"x": 1}))),
        nested_author.drop("map"),
    ]
    xml_author, updates = author("xml")
    fragment = xml_author.doc.get("xml", type=pycrdt.XmlFragment)
    element = pycrdt.XmlElement("p", {"class": "c"})
    updates += [
        xml_author.edit(lambda: fragment.children.append(element)),
        xml_author.edit(lambda: element.children.append(pycrdt.XmlText("hi"))),
        xml_author.edit(lambda: fragment.children.__delitem__(0)),
    ]
    subdoc_author, updates = author("subdocument")
    updates += [subdoc_author.put("sub", pycrdt.Doc())]
    return made


TRAFFIC = everything()


@pytest.mark.parametrize("kind", list(TRAFFIC))
def test_real_traffic_is_taken(kind: str) -> None:
    assert all(len(update) > 2 for update in TRAFFIC[kind])
    expect_taken(*TRAFFIC[kind])


JAVASCRIPT = {"bigint": "7a000000000000000f", "float32": "7c3f800000", "undefined": "7f"}


@pytest.mark.parametrize("encoded", JAVASCRIPT.values(), ids=JAVASCRIPT)
def test_values_that_javascript_alone_sends_are_taken(encoded: str) -> None:
    expect_taken(any_value(bytes.fromhex(encoded)))


def test_merged_updates_are_taken() -> None:
    for updates in (TRAFFIC["map"], TRAFFIC["text"], TRAFFIC["nested"]):
        expect_taken(pycrdt.merge_updates(*updates))


def test_an_update_with_a_gap_stands_on_what_is_in_it() -> None:
    updates = TRAFFIC["map"]
    merged = pycrdt.merge_updates(updates[0], updates[5])
    assert 10 in merged  # the info byte of a Skip block
    footprint = inspect(merged)
    assert footprint.writes == {1000: (5, 6)}
    assert missing(footprint, {}) == {1000: 5}
    assert missing(footprint, {1000: 5}) == {}


# -- the footprint


def letters(count: int) -> tuple[Author, bytes]:
    author = Author(7)
    return author, author.write("x" * count)


def test_writes_and_news() -> None:
    author, _ = letters(3)
    footprint = inspect(author.write("yy"))
    assert footprint.writes == {7: (3, 5)}
    assert footprint.news({7: 3}) == {7: (3, 5)}
    assert footprint.news({7: 4}) == {7: (4, 5)}
    assert footprint.news({7: 5}) == {}
    assert not footprint.deletes
    assert not footprint.empty


def test_length_is_counted_in_utf16() -> None:
    assert inspect(Author(7).write("a😀ä")).writes == {7: (0, 4)}


def test_needs_name_what_others_must_have_brought() -> None:
    _, first = letters(3)
    footprint = inspect(Author(8, first).write("y"))
    assert footprint.needs == {7: 3}
    assert missing(footprint, {}) == {7: 3}
    assert missing(footprint, {7: 2}) == {7: 3}
    assert missing(footprint, {7: 3}) == {}


def test_deletions_are_needs_but_no_news() -> None:
    author = Author(7)
    author.put("a")
    footprint = inspect(author.drop("a"))
    assert footprint.deletes
    assert footprint.needs == {7: 1}
    assert footprint.news({}) == {}
    assert not footprint.empty


def test_what_an_update_brings_itself_is_not_missing() -> None:
    author, _ = letters(3)
    author.edit(lambda: author.text.__delitem__(slice(0, 2)))
    assert missing(inspect(author.everything()), {}) == {}


def test_the_empty_update() -> None:
    assert inspect(b"\x00\x00") == Footprint({}, {}, 0, (), astral=False, types=0)
    assert inspect(b"\x00\x00").empty


clocks = st.dictionaries(st.integers(1, 3), st.integers(1, 12), max_size=3)
spans = st.tuples(st.integers(0, 8), st.integers(1, 6)).map(lambda s: (s[0], s[0] + s[1]))
footprints = st.builds(
    Footprint,
    st.dictionaries(st.integers(1, 3), spans, max_size=3),
    clocks,
    st.just(0),
    st.just(True),
)


def oracle(footprint: Footprint, have: dict[int, int]) -> dict[int, int]:
    """By single clocks: those that must be there, that are not, and that the update has not."""
    lacking: dict[int, int] = {}
    for client in {*footprint.writes, *footprint.needs}:
        first, end = footprint.writes.get(client, (0, 0))
        there = set(range(have.get(client, 0)))
        gap = set(range(first)) - there
        brought = set() if gap else set(range(first, end))
        needed = set(range(footprint.needs.get(client, 0)))
        if lost := gap | (needed - there - brought):
            lacking[client] = max(lost) + 1
    return lacking


@given(footprints, clocks)
def test_missing_is_what_the_oracle_says(footprint: Footprint, have: dict[int, int]) -> None:
    found = missing(footprint, have)
    assert found.keys() == oracle(footprint, have).keys()
    assert all(found[client] >= end for client, end in oracle(footprint, have).items())


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20), st.randoms())
def test_what_the_gate_lets_pass_the_library_takes_whole(
    acts: Sequence[tuple[int, int]], choose: object
) -> None:
    """Histories of three people, in any order: applied where the gate is open, nothing is lost."""
    authors = [Author(client) for client in (1, 2, 3)]
    waiting = [update for act in acts for update in live(authors, *act)]
    getattr(choose, "shuffle")(waiting)  # noqa: B009
    replica, have = Replica(), dict[int, int]()
    while waiting:
        update = next(u for u in waiting if not missing(inspect(u), have))
        waiting.remove(update)
        replica.apply(update)
        have |= {client: end for client, (_, end) in inspect(update).news(have).items()}
    whole = Author(9, *(author.everything() for author in authors))
    assert Author(9, replica.encode()).content == whole.content


def live(authors: list[Author], who: int, what: int) -> list[bytes]:
    author, other = authors[who], authors[(who + 1) % 3]
    if what == 0:
        author.hear(other.everything())
        return []
    if what == 1 and "k" in set(author.map.keys()):
        return [author.drop("k")]
    return [author.put("k", who) if what == 1 else author.write("z")]
