"""Stock clients of both versions end with the same document, whatever they do at once."""

import pytest

from tests.support.edits import (
    UNDEFINED,
    Edit,
    attribute,
    delete,
    element,
    embed,
    insert,
    put,
    remove,
    run,
    shape,
    subdocument,
    text,
    write,
    xmltext,
    yarray,
    ymap,
    ytext,
)
from tests.support.node import VERSIONS, Version
from tests.wire.party import Party

FAMILY = "👩‍👩‍👧"

FIRST_EDITS = (
    put("map", "näme 🙂", f"ok {FAMILY}"),
    put("map", "nothing", None),
    put("map", "undefined", UNDEFINED),
    put("map", "large", {"$bigint": "9007199254740993"}),
    put("map", "bytes", {"$bytes": "AP/+"}),
    put("map", "nested", ymap(list=yarray(1, FAMILY), note=ytext("tëxt 🙂"))),
    write("text", 0, "a🙂b"),
    insert("array", 0, 1, 0.5, True, FAMILY, {"plain": [1, {"🙂": 2}]}, subdocument("sub-1")),
    insert("xml", 0, element("p", xmltext("hi 🙂"), title="🙂")),
)
"""One edit of each kind, by the first client."""

SECOND_EDITS = (
    remove("map", "nothing"),
    insert("map", 1, "in the list", path=("nested", "list")),
    write("map", 0, "🙂 ", path=("nested", "note")),
    shape("text", 1, 2, bold=True),
    write("text", 4, "end", color="#f00"),
    embed("text", 0, {"image": "🙂.png"}),
    delete("array", 1, 2),
    attribute("xml", "title", None, path=(0,)),
    attribute("xml", "id", "x1", path=(0,)),
    insert("xml", 1, element("ul", element("li", xmltext("one")))),
    write("xml", 3, "there ", path=(0, 0)),
)
"""Edits by the second client, most of them inside of what the first one made."""

BOTH = {
    "map": {
        "näme 🙂": f"ok {FAMILY}",
        "undefined": UNDEFINED,
        "large": {"$bigint": "9007199254740993"},
        "bytes": {"$bytes": "AP/+"},
        "nested": ymap(list=yarray(1, "in the list", FAMILY), note=ytext("🙂 tëxt 🙂")),
    },
    "text": [
        {"insert": {"$embed": {"image": "🙂.png"}}},
        *text("a", run("🙂", bold=True), "b", run("end", color="#f00")),
    ],
    "array": [1, FAMILY, {"plain": [1, {"🙂": 2}]}, subdocument("sub-1")],
    "xml": [
        element("p", xmltext("hi there 🙂"), id="x1"),
        element("ul", element("li", xmltext("one"))),
    ],
}


@pytest.mark.parametrize("one", VERSIONS)
@pytest.mark.parametrize("other", VERSIONS)
async def test_two_clients_agree_on_every_type(party: Party, one: Version, other: Version) -> None:
    a = await party.join("alice", version=one)
    b = await party.join("bob", version=other)
    await a.edit(*FIRST_EDITS)
    await a.saved()
    await b.shows(array=[1, 0.5, True, FAMILY, {"plain": [1, {"🙂": 2}]}, subdocument("sub-1")])
    await b.edit(*SECOND_EDITS)
    await a.shows(BOTH)
    newcomer = await party.join("carol")
    state = await party.node.equal(a, b, newcomer)
    assert state.roots == BOTH


async def test_edits_at_the_same_moment_are_all_kept(party: Party) -> None:
    a, b = await party.join("alice"), await party.join("bob")
    for number in range(50):
        await a.edit(insert("array", 0, f"a{number}"), write("text", 0, "🙂"))
        await b.edit(insert("array", 0, f"b{number}"), write("text", 0, "ß"))
    state = await party.node.equal(a, b)
    assert sorted(state.roots["array"]) == sorted(f"{who}{n}" for who in "ab" for n in range(50))
    assert sorted(state.roots["text"][0]["insert"]) == sorted("🙂ß" * 50)


async def test_thirty_clients_agree(party: Party) -> None:
    """Twenty random edits each, all at once; the client's number is the seed."""
    clients = [
        await party.invite(f"person-{number}", version=VERSIONS[number % 2]) for number in range(30)
    ]
    for client in clients:
        await client.synced()
    for seed, client in enumerate(clients):
        await client.random(seed, 20)
    for client in clients:
        await client.saved()
    state = await party.node.equal(*clients, within=20)
    newcomer = await party.join("newcomer")
    assert (await party.node.equal(newcomer, clients[0])).vector == state.vector


async def test_thirty_clients_who_come_and_go_agree(party: Party) -> None:
    """Half of them edit while their network is gone, and come back by themselves."""
    clients = [
        await party.join(f"person-{number}", version=VERSIONS[number % 2]) for number in range(30)
    ]
    for seed, client in enumerate(clients):
        await client.random(seed, 5)
        if seed % 2:
            await client.drop()
        await client.random(1000 + seed, 5)
    for client in clients:
        await client.synced()
        await client.saved()
    await party.node.equal(*clients, within=20)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (write("text", 0, "🙂"), delete("text", 0, 1)),
        (write("text", 0, "🙂"), delete("text", 1, 1)),
        (write("text", 0, "🙂"), write("text", 1, "x")),
        (write("text", 0, "🙂"), shape("text", 1, 1, bold=True)),
    ],
    ids=["first half gone", "second half gone", "written between", "half formatted"],
)
async def test_half_an_emoji_can_be_edited(party: Party, first: Edit, second: Edit) -> None:
    """JavaScript counts UTF-16 units: an editor may cut one in two, and Yjs shows U+FFFD."""
    a = await party.join("alice")
    await a.edit(first, second)
    await a.saved()
    newcomer = await party.join("bob")
    await newcomer.edit(write("text", 0, "after "))
    state = await party.node.equal(a, newcomer, within=3)
    assert "after " in state.roots["text"][0]["insert"]
    await a.edit(write("text", 0, "more "))
    await party.node.equal(a, newcomer, within=3)
