"""Who is there: no flicker for those who come back, no ghosts of those who do not."""

import anyio

from tests.support.node import NodeClient
from tests.support.service import ServiceProcess
from tests.wire.party import Party


def removals(watcher: NodeClient, client: NodeClient) -> int:
    """How often the watcher was told that the client is gone."""
    changes = watcher.happened("presence")
    return sum(client.client_id in change.data["removed"] for change in changes)


def last_connection(client: NodeClient) -> float:
    """When the client's present connection opened, on Node's clock."""
    return [event.at for event in client.happened("status") if event.data["status"] == "connected"][
        -1
    ]


async def test_presence_is_shared_and_goodbye_is_at_once(party: Party) -> None:
    a, b = await party.join("alice"), await party.join("bob", version="3.0")
    await a.set_presence({"user": {"name": "Älice 🙂"}, "cursor": None})
    await b.sees_state(a, {"user": {"name": "Älice 🙂"}, "cursor": None})
    leaving = await party.node.now()
    await a.disconnect()
    assert await b.misses(a, within=2) - leaving < 1


async def test_a_blip_is_unseen_and_a_killed_client_is_gone_in_seconds(party: Party) -> None:
    """Both lose their sockets at once; only one comes back, on its provider's own schedule."""
    watcher = await party.join("watcher")
    blips = [await party.join("alice"), await party.join("bob", version="3.0")]
    killed = await party.join("carol")
    await watcher.sees(*blips, killed)
    start = await party.node.now()
    for client in (*blips, killed):
        await client.drop(stay=client is killed)
    for client in blips:
        await client.synced()
        assert last_connection(client) - start < 1
    assert 3 <= await watcher.misses(killed) - start <= 8
    assert [removals(watcher, client) for client in blips] == [0, 0]
    await watcher.sees(*blips, within=0)


async def test_peers_see_each_other_at_once_after_an_absence(party: Party) -> None:
    """Alice is away for 5 s, so that all forget her and she forgets them."""
    a, b = await party.join("alice"), await party.join("bob", version="3.0")
    await a.sees(b)
    await b.sees(a)
    gone = await party.node.now()
    await a.drop(stay=True)
    await b.misses(a)
    await anyio.sleep(5 - (await party.node.now() - gone))
    await a.connect()
    await a.synced()
    assert await b.sees(a, within=3) - last_connection(a) < 1
    assert await a.sees(b, within=3) - last_connection(a) < 1


async def test_peers_see_each_other_at_once_after_a_restart(
    mortal_party: Party, mortal: ServiceProcess
) -> None:
    people = [
        await mortal_party.join(name, version=version)
        for name, version in (("alice", "3.1"), ("bob", "3.0"), ("carol", "3.1"))
    ]
    for one in people:
        await one.sees(*(other for other in people if other is not one))
    await mortal.kill()
    for one in people:
        await one.connected(False)
    await mortal.start()
    for one in people:
        await one.synced()
    reunion = max(last_connection(one) for one in people)
    for one in people:
        seen = await one.sees(*(other for other in people if other is not one), within=3)
        assert seen - reunion < 1
