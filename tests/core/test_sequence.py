"""The order of items, against that of the library."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.items import read_items, text_of
from sync.core.sequence import Sequence
from sync.core.stretches import stretches
from tests.core.authors import Author

CLIENTS = (20, 10, 30)
LETTERS = "abc"


@pytest.mark.parametrize("clients", [*permutations((10, 20, 30))])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2)])
def test_the_order_in_which_edits_come_makes_no_difference(
    clients: tuple[int, int, int], order: tuple[int, int, int]
) -> None:
    """Two write behind the same letter, and a third one there who has seen what the first wrote."""
    base = Author(5)
    begun = base.write("<>")
    one, two, three = (Author(client, begun) for client in clients)
    first = one.edit(lambda: one.text.insert(1, "1"))
    second = two.edit(lambda: two.text.insert(1, "2"))
    three.hear(first)
    updates = [first, second, three.edit(lambda: three.text.insert(1, "3"))]
    row = Sequence()
    texts: list[str] = []
    for update in (begun, *(updates[index] for index in order)):
        (items,) = read_items(update).clients.values()
        for item in items:
            row.integrate(item)
    for unit in row:
        update = {5: begun, **dict(zip(clients, updates, strict=True))}[unit.item.client]
        start = unit.skipped
        texts.append(text_of(update, unit.item)[start : start + unit.end - unit.clock])
    assert "".join(texts) == str(Author(2**31, begun, *updates).text)


def expect_order(*authors: Author) -> None:
    """The order of all that they wrote is the library's."""
    reader = Author(2**31, *(author.everything() for author in authors))
    rows = stretches(reader.everything())
    assert "".join(each.text for each in rows.get("notes", [])) == str(reader.text)


steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=24
)


@settings(max_examples=120, deadline=None)
@given(steps)
def test_texts_written_at_once_stand_as_the_library_has_them(
    happened: list[tuple[int, int, int, bool]],
) -> None:
    """Whoever writes hears somebody before, or not."""
    authors = [Author(client) for client in CLIENTS]
    for number, (who, where, whom, forward) in enumerate(happened):
        author = authors[who]
        if whom < 3:
            author.hear(authors[whom].everything())
        at = where % (len(author.text) + 1)
        letters = f"{number % 10}{LETTERS[who]}"
        author.edit(lambda: author.text.insert(at, letters if forward else letters[::-1]))  # noqa: B023 - called at once
    expect_order(*authors)
