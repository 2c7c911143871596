"""What was stored by somebody does nothing to the terminal of whoever looks at it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map
from rich.table import Table
from rich.text import Text

from persistence.store import Deletion, Edit, Record, SessionState, Store
from persistence.store import Event as StoreEvent
from sync.cli import screen
from sync.cli.safe_console import SafeConsole
from sync.core.session import Session, SessionId, TestCase, body
from tests.cli.conftest import Run
from tests.cli.databases import write

CONTROLS = {*map(chr, (*range(32), *range(0x7F, 0xA0))), "\u2028", "\u202e", "\u2066"} - {"\n"}
CLEAR = "\x1b[2J\x9b2J\u202e\r"
NAME = "drafts/s1/\x9b2J\u202e"  # a name may hold these
GONE = NAME + "gone"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "drafts.db"
    write(path, _fill)
    return path


async def _fill(store: Store) -> None:
    doc: Doc[Any] = Doc(client_id=7)
    doc.get(f"ratings{CLEAR}", type=Map)[CLEAR] = CLEAR
    update = doc.get_update()
    await store.append([Edit(each, update, CLEAR, (), 1.0) for each in (NAME, GONE)])
    await store.delete(Deletion(GONE, CLEAR, 1.0))
    cases = (TestCase(CLEAR, CLEAR),)
    session = Session(SessionId("s1"), "e1", CLEAR, CLEAR, cases, None, CLEAR, 1.0)
    created = StoreEvent("1", "session.created" + CLEAR, CLEAR, 1.0, json.dumps({CLEAR: CLEAR}))
    change = SessionState("e1", str(session.state), body(session))
    await store.record([Record("s1", created, change)])


@pytest.mark.parametrize(
    "words",
    [
        ("docs", "list", "--deleted"),
        ("docs", "show", NAME),
        ("docs", "show", GONE),
        ("docs", "show", NAME, "--raw"),
        ("docs", "history", NAME),
        ("docs", "history", NAME, "--edits"),
        ("docs", "blame", NAME),
        ("docs", "diff", NAME, "--from", "0"),
        ("docs", "verify"),
        ("docs", "restore", NAME, "--at", "1", "--dry-run"),
        ("docs", "export", NAME),
        ("sessions", "list"),
        ("sessions", "show", "s1"),
        ("sessions", "events", "s1"),
        ("sessions", "report", "s1"),
        ("doctor",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("as_json", [False, True], ids=["people", "json"])
def test_nothing_that_is_stored_acts(
    run: Run, hostile: Path, words: tuple[str, ...], as_json: bool
) -> None:
    more = ["--json"] if as_json and "export" not in words else []
    result = run(*words, "--database", str(hostile), *more)
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert not CONTROLS & set(result.output)


def test_deleting_and_restoring_name_what_they_did(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "drafts.db"
    write(path, _fill)
    for words in (("delete", NAME, "--yes"), ("restore", NAME), ("delete", GONE, "--yes")):
        result = run("docs", *words, "--database", str(path))
        assert "drafts/s1/" in result.output
        assert not CONTROLS & set(result.output)


def test_json_stays_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"a\x9b": ["\u2028\n\x00", "\ud800", "żółć 汉字 🎉", "\u200d"]}
    for indent in (2, None):
        screen.echo_json(told, indent)
        text = capsys.readouterr().out
        assert json.loads(text) == told
        assert not CONTROLS & set(text)
        assert "żółć 汉字 🎉" in text


def test_lines_and_letters_of_all_languages_stay() -> None:
    text = "one\ntwo: 汉字 żółć \xa0 👩\u200d🔬 عربي"
    assert screen.harmless(text) == text
    assert screen.printable("a\nb\x1b") == r"a\nb\x1b"


def test_a_console_does_nothing_that_a_text_says() -> None:
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, color_system="standard", width=60)
    table = Table("name")
    table.add_row(Text("\x1b]0;title\x07", "bold"))
    console.print(table, f"{CLEAR}x", Text(CLEAR))
    assert "\x1b[1m" in out.getvalue()  # ours are carried out
    plain = out.getvalue().replace("\x1b[", "")
    assert not CONTROLS & set(plain)


def test_a_file_is_itself_in_a_pipe_and_harmless_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert screen.file_text("a\r\n\x1b") == b"a\r\n\x1b"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert screen.file_text("a\r\n\x1b") == b"a\n\\x1b"


def test_columns_of_all_letters_stand_below_each_other() -> None:
    grid = screen.Grid("name", "n", "what", right=("n",))
    grid.add("汉字", "1", "wide")
    grid.add("cafe\u0301", "10", "an accent of its own")
    assert grid.lines() == ["name  n what", "汉字  1 wide", "cafe\u0301 10 an accent of its own"]
