"""Ranges of clocks as sets, against sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sync.core.deletions import contains, joined

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
