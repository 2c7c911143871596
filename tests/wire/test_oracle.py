"""The judge itself: the same seed gives the same history, and yrs reads it as npm yjs does."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pycrdt
from anyio.to_thread import run_sync

from tests.support.oracle import History, Oracle, Verdict

Result = TypeVar("Result")


async def asked(question: Callable[[Oracle], Result]) -> Result:
    """Ask in a thread: an oracle blocks."""

    def ask() -> Result:
        with Oracle() as oracle:
            return question(oracle)

    return await run_sync(ask)


async def test_a_seed_is_a_history() -> None:
    once, again = await asked(lambda oracle: (oracle.generate([7]), oracle.generate([7])))
    assert once == again
    (history,) = once
    assert sorted(history.log) == sorted(u for author in history.authors for u in author.updates)
    (verdict,) = await asked(lambda oracle: oracle.merge([history.log]))
    assert (verdict.roots, verdict.vector) == (history.final.roots, history.final.vector)


async def test_an_update_out_of_order_is_pending() -> None:
    (history,) = await asked(lambda oracle: oracle.generate([3], authors=1, formats=False))
    first, rest = await asked(lambda oracle: oracle.merge([history.log[:1], history.log[1:]]))
    assert not first.pending
    assert rest.pending


async def test_updates_combined_and_cut_apart_are_the_same() -> None:
    (history,) = await asked(lambda oracle: oracle.generate([5]))
    whole = await asked(lambda oracle: oracle.combine(history.log))
    (half,) = await asked(lambda oracle: oracle.merge([history.log[:5]]))
    rest = await asked(lambda oracle: oracle.diff(whole, half.vector))
    (verdict,) = await asked(lambda oracle: oracle.merge([[*history.log[:5], rest]]))
    assert verdict.vector == history.final.vector
    assert len(rest) < len(whole)


async def test_yrs_agrees_on_a_hundred_histories() -> None:
    """Without a server in between: if this fails, look at pycrdt first."""
    histories = await asked(lambda oracle: oracle.generate(range(100)))
    verdicts = await asked(partial(through_yrs, histories=histories))
    for history, verdict in zip(histories, verdicts, strict=True):
        assert verdict.roots == history.final.roots, f"seed {history.seed}"
        assert verdict.vector == history.final.vector, f"seed {history.seed}"


def through_yrs(oracle: Oracle, histories: list[History]) -> list[Verdict]:
    """What npm yjs reads of what yrs exports."""
    return oracle.merge([[exported(history)] for history in histories])


def exported(history: History) -> bytes:
    doc: pycrdt.Doc[pycrdt.Map[object]] = pycrdt.Doc()
    for update in history.log:
        doc.apply_update(update)
    return doc.get_update()
