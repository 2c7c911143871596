"""Work done offline arrives, once, whoever was reloaded or restarted in between."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.edits import insert, put, write
from tests.support.node import NodeClient
from tests.support.service import ServiceProcess
from tests.wire.party import Party


async def two_with_a_database(party: Party) -> tuple[NodeClient, NodeClient]:
    """Alice and Bob, whose pages keep the document in IndexedDB, agree on a beginning."""
    a = await party.join("alice", database=f"{party.room}-alice", version="3.1")
    b = await party.join("bob", database=f"{party.room}-bob", version="3.0")
    await a.edit(write("text", 0, "beginning"), insert("array", 0, "both"))
    await party.node.equal(a, b)
    return a, b


async def work_offline(client: NodeClient, who: str) -> None:
    await client.edit(
        write("text", 0, f"<{who} 🙂>"),
        insert("array", 1, f"{who} 1", f"{who} 2"),
        put("map", who, "was offline"),
        put("map", "who was last", who),
    )


@pytest.mark.parametrize("alice_is_first", [True, False])
async def test_two_reloaded_pages_meet_after_a_restart(
    mortal_party: Party, mortal: ServiceProcess, alice_is_first: bool
) -> None:
    a, b = await two_with_a_database(mortal_party)
    for client, who in ((a, "alice"), (b, "bob")):
        await client.disconnect()
        await work_offline(client, who)
        await client.reload(connect=False)
    await mortal.restart()
    for client in (a, b) if alice_is_first else (b, a):
        await client.connect()
        await client.synced()
        await client.saved()
    check_nothing_doubled((await mortal_party.node.equal(a, b)).roots)
    newcomer = await mortal_party.join("carol")
    check_nothing_doubled((await mortal_party.node.equal(a, newcomer)).roots)


def check_nothing_doubled(roots: Mapping[str, Any]) -> None:
    written = roots["text"][0]["insert"]
    assert sorted([written.count("<alice 🙂>"), written.count("<bob 🙂>")]) == [1, 1]
    assert len(written) == len("<alice 🙂><bob 🙂>beginning")
    assert written.endswith("beginning")
    assert sorted(roots["array"]) == ["alice 1", "alice 2", "bob 1", "bob 2", "both"]
    assert roots["map"].keys() == {"alice", "bob", "who was last"}


async def test_pages_reloaded_again_and_again_add_nothing(mortal_party: Party) -> None:
    """y-indexeddb tells the provider everything that it kept, at every load."""
    a, b = await two_with_a_database(mortal_party)
    for _ in range(5):
        await a.reload()
        await b.reload()
        await a.synced()
        await b.synced()
    state = await mortal_party.node.equal(a, b)
    assert state.roots["text"] == [{"insert": "beginning"}]
    assert state.roots["array"] == ["both"]


async def test_a_full_copy_heals_a_server_that_lost_its_file(
    mortal_party: Party, mortal: ServiceProcess
) -> None:
    """Both clients stay open; each holds the other's edits, too."""
    a, b = await mortal_party.join("alice"), await mortal_party.join("bob")
    await a.random(1, 40)
    await b.random(2, 40)
    await a.saved()
    await b.saved()
    before = await mortal_party.node.equal(a, b)
    await mortal.terminate()
    delete_files(Path(mortal.database))
    await mortal.start()
    await b.synced()
    await b.saved()
    await a.synced()
    await a.saved()
    newcomer = await mortal_party.join("carol")
    after = await mortal_party.node.equal(a, b, newcomer)
    assert after.roots == before.roots
    assert after.vector == before.vector


async def test_one_page_alone_heals_a_server_that_lost_its_file(
    mortal_party: Party, mortal: ServiceProcess
) -> None:
    """The author is gone; what heals is a reloaded page of someone who only read."""
    a, b = await two_with_a_database(mortal_party)
    await a.close()
    await b.disconnect()
    await mortal.terminate()
    delete_files(Path(mortal.database))
    await mortal.start()
    await b.reload()
    await b.synced()
    await b.saved()
    await b.close()
    newcomer = await mortal_party.join("carol")
    await newcomer.shows(text=[{"insert": "beginning"}], array=["both"])


def delete_files(database: Path) -> None:
    """The database with its write-ahead log and lock."""
    for path in database.parent.glob(f"{database.name}*"):
        if path.suffix != ".stderr":
            path.unlink()


async def test_saved_means_on_disk(mortal_party: Party, mortal: ServiceProcess) -> None:
    """SIGKILL right after the echo: the author never comes back, his edits are there."""
    a = await mortal_party.join("alice")
    await a.edit(*(insert("array", n, n) for n in range(100)))
    await a.saved()
    await mortal.kill()
    await a.close()
    await mortal.start()
    newcomer = await mortal_party.join("bob")
    await newcomer.shows(array=list(range(100)))


async def test_what_a_kill_took_comes_again(mortal_party: Party, mortal: ServiceProcess) -> None:
    """Killed in the middle of the work, with nothing confirmed: the clients resend."""
    a, b = await mortal_party.join("alice"), await mortal_party.join("bob", version="3.0")
    for number in range(2):
        await a.edit(insert("array", 0, f"a{number}"))
        await b.edit(insert("array", 0, f"b{number}"))
        await mortal.kill()
        await a.edit(insert("array", 0, f"a{number} down"))
        await mortal.start()
        for client in (a, b):
            await client.synced()
            await client.saved()
    state = await mortal_party.node.equal(a, b)
    expected = [f"{who}{n}" for who in "ab" for n in range(2)] + [f"a{n} down" for n in range(2)]
    assert sorted(state.roots["array"]) == sorted(expected)
