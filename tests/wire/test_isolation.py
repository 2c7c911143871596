"""Two documents have nothing to do with each other, however alike their names are."""

import pytest

from tests.support.edits import put
from tests.wire.party import Party


@pytest.mark.parametrize(
    "suffix", ["2", "/inner", "%20", "A", "🙂"], ids=["longer", "below", "escaped", "case", "emoji"]
)
async def test_documents_do_not_leak(party: Party, suffix: str) -> None:
    a = await party.join("alice", room=f"{party.room}/a")
    b = await party.join("bob", room=f"{party.room}/a{suffix}")
    await a.set_presence({"secret": "here"})
    await a.edit(put("map", "secret", "alice's"))
    await a.saved()
    await b.edit(put("map", "own", "bob's"))
    await b.saved()
    assert (await b.state()).roots["map"] == {"own": "bob's"}
    assert (await a.state()).roots["map"] == {"secret": "alice's"}
    assert (await b.presence()).keys() == {b.client_id}
    assert (await a.presence()).keys() == {a.client_id}


async def test_an_escaped_name_is_the_same_document(party: Party) -> None:
    a = await party.join("alice", room=f"{party.room}/a b+c")
    b = await party.join("bob", room=f"{party.room}/a%20b%2Bc")
    await a.edit(put("map", "key", "value"))
    await b.shows(map={"key": "value"})
    await b.sees(a)
