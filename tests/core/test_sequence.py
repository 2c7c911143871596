"""The order of items, against that of the library."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.core.stretches import stretches
from tests.core.authors import Author

CLIENTS = (20, 10, 30)
LETTERS = "abc"

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
    reader = Author(2**31, *(author.everything() for author in authors))
    rows = stretches(reader.everything())
    assert "".join(each.text for each in rows.get("notes", [])) == str(reader.text)
    for row in rows.values():
        for each in row:
            assert set(each.text) & set(LETTERS) <= {LETTERS[CLIENTS.index(each.client)]}
