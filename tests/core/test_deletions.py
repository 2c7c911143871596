"""Ranges of clocks as sets, against sets."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.deletions import Deletions, contains, joined

ranges = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 12), st.integers(1, 5)).map(
        lambda r: (r[0], r[1], r[1] + r[2])
    ),
    max_size=8,
)


def clocks(deleted: list[tuple[int, int, int]]) -> set[tuple[int, int]]:
    return {(client, clock) for client, start, end in deleted for clock in range(start, end)}


@given(ranges)
def test_joining_keeps_the_clocks_and_leaves_gaps_between(
    deleted: list[tuple[int, int, int]],
) -> None:
    known = joined(deleted)
    assert clocks([(c, *r) for c, rs in known.items() for r in rs]) == clocks(deleted)
    for each in known.values():
        assert all(end < start for (_, end), (start, _) in pairwise(each))


@given(ranges, ranges)
def test_containment_is_that_of_sets(
    whole: list[tuple[int, int, int]], part: list[tuple[int, int, int]]
) -> None:
    assert contains(joined(whole), joined(part)) == (clocks(part) <= clocks(whole))


@settings(max_examples=40)
@given(ranges)
def test_what_becomes_more_is_a_set(deleted: list[tuple[int, int, int]]) -> None:
    so_far, known = Deletions(), set[tuple[int, int]]()
    for client, start, end in deleted:
        news = clocks([(client, *each) for each in so_far.add(client, start, end)])
        assert news == clocks([(client, start, end)]) - known
        known |= news
    for client, start, end in (
        (c, s, e) for c in (1, 2) for s in range(18) for e in range(s + 1, 18)
    ):
        assert so_far.holds(client, start, end) == (clocks([(client, start, end)]) <= known)
