"""What a token does not allow is refused with a reason, and without a storm of reconnections."""

import anyio

from tests.support.edits import put
from tests.support.service import ServiceProcess
from tests.wire.party import Party


async def test_a_reader_reads_and_is_told_that_it_may_not_write(party: Party) -> None:
    writer = await party.join("alice")
    reader = await party.join("bob", docs={"drafts/*": "read"})
    await writer.edit(put("map", "from", "alice"))
    await reader.shows(map={"from": "alice"})
    await reader.edit(put("map", "by", "bob"))
    denied = await reader.event("denied")
    assert denied.data["reason"]
    await writer.edit(put("map", "more", 1))
    await reader.shows(map={"from": "alice", "more": 1, "by": "bob"})
    await writer.saved()
    await writer.shows(map={"from": "alice", "more": 1})
    assert (await reader.counts()).connections == 1
    await writer.sees(reader)


async def test_a_reader_that_comes_back_with_edits_still_only_reads(party: Party) -> None:
    """Its step2 on reconnection carries what was refused before."""
    writer = await party.join("alice")
    reader = await party.join("bob", docs={"drafts/*": "read"})
    await reader.edit(put("map", "by", "bob"))
    await reader.event("denied")
    await reader.drop()
    await reader.connected(False)
    await reader.synced()
    await writer.edit(put("map", "from", "alice"))
    await reader.shows(map={"from": "alice", "by": "bob"})
    await writer.shows(map={"from": "alice"})
    newcomer = await party.join("carol")
    await newcomer.shows(map={"from": "alice"})


async def test_a_bad_token_ends_the_newest_provider_at_once(
    party: Party, service: ServiceProcess
) -> None:
    """4400–4499 are final for y-websocket 3.1: it says `closed` and stays away."""
    cases = {
        "nonsense": ("nonsense", 4401),
        "missing": ("", 4401),
        "expired": (service.token(ttl=-60), 4401),
        "foreign": (service.token(docs={"elsewhere/*": "write"}), 4403),
    }
    clients = {name: await party.invite(name, token=token) for name, (token, _) in cases.items()}
    for name, client in clients.items():
        closed = await client.event("closed", code=cases[name][1])
        assert closed.data["reason"], name
        assert (await client.event("denied")).data["reason"], name
    assert clients["expired"].happened("closed")[0].data["reason"] == "token-expired"
    await anyio.sleep(0.5)  # its first retry would come after 0.2 s
    assert {(await client.counts()).connections for client in clients.values()} == {1}
    assert not any(client.happened("sync") for client in clients.values())


async def test_a_bad_token_does_not_make_the_old_provider_storm(party: Party) -> None:
    """3.0.0 retries after every close, ten times a second: it is held about 2 s per try."""
    client = await party.invite("mallory", token="nonsense", version="3.0")
    start = await party.node.now()
    await anyio.sleep(6)
    assert 2 <= (await client.counts()).connections <= 4
    closes = client.happened("connection-close", since=start)
    assert {close.data["code"] for close in closes} == {4401}
    assert client.happened("denied")
