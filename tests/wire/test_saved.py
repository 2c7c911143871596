"""Message 102: echoed when everything before it is on disk, and only to those who ask."""

from tests.support.edits import insert, put
from tests.wire.party import Party

SAVED = 102


async def test_the_echo_follows_the_edits(party: Party) -> None:
    a, b = await party.join("alice"), await party.join("bob", version="3.0")
    for number in range(20):
        await a.edit(insert("array", number, number))
        await a.saved(within=2)
        await b.edit(put("map", str(number), number))
        await b.saved(within=2)
    state = await party.node.equal(a, b)
    assert state.roots["array"] == list(range(20))


async def test_a_reader_is_answered_at_once(party: Party) -> None:
    reader = await party.join("bob", docs={"drafts/*": "read"})
    assert await reader.saved(within=2) < 0.5
    await reader.edit(put("map", "refused", True))
    await reader.event("denied")
    assert await reader.saved(within=2) < 0.5


async def test_who_does_not_ask_is_not_told(party: Party) -> None:
    """Stock clients log an error at a message that they do not know."""
    asking, silent = await party.join("alice"), await party.join("bob")
    await silent.edit(put("map", "by", "bob"))
    await asking.edit(put("map", "from", "alice"))
    await asking.saved()
    await party.node.equal(asking, silent)
    received = (await silent.counts()).received
    assert SAVED not in received
    assert received.keys() <= {0, 1}
    assert len(asking.happened("saved")) == 1
