"""Forms in TypeScript: what is checked in is what would be made, and is as Biome would have it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from sync.forms.definition import FormDefinition, form_definition
from sync.forms.typescript import answer_types, definition_types
from sync.forms.validation import IssueCode

HOUSE = Path(__file__).parents[2]
WEBAPP = HOUSE / "examples/webapp"
HELP_DESK = "examples/webapp/forms/help-desk.json"
BIOME = WEBAPP / "node_modules/.bin/biome"


def help_desk() -> FormDefinition:
    return form_definition(json.loads((HOUSE / HELP_DESK).read_text()))


def form(*questions: dict[str, Any], name: str = "f") -> FormDefinition:
    listed = [{"label": "?"} | each for each in questions]
    section = {"id": "s", "title": "s", "questions": listed}
    return form_definition({"id": name, "title": "f", "sections": [section]})


@pytest.mark.parametrize(
    ("path", "made", "argument"),
    [
        ("src/lib/form-types.ts", definition_types(), ""),
        ("src/forms/help-desk.ts", answer_types(help_desk(), HELP_DESK), f" {HELP_DESK}"),
    ],
)
def test_what_is_checked_in_is_what_would_be_made(path: str, made: str, argument: str) -> None:
    command = f"draftsync forms types{argument} > examples/webapp/{path}"
    found = (WEBAPP / path).read_text(encoding="utf-8")
    assert found == made, f"the definition has changed, or this file: run `{command}`"


def test_every_issue_code_is_there() -> None:
    for code in get_args(IssueCode):
        assert f"  | '{code}'\n" in definition_types()


def score(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"id": "q", "kind": "score", "min": low, "max": high} | more


def choice(*options: str, **more: Any) -> dict[str, Any]:
    return {"id": "q", "kind": "choice", "options": list(options)} | more


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (score(1, 5, step=1), "1 | 2 | 3 | 4 | 5"),
        (score(-2, 2, step=2), "-2 | 0 | 2"),
        (score(1.0, 3.0, step=1.0), "1 | 2 | 3"),
        (score(1, 5), "number"),
        (score(0, 1, step=0.5), "number"),
        (score(0.5, 2.5, step=1), "number"),
        (score(1, 21, step=1), "number"),
        (choice("pass", "fail"), "'pass' | 'fail'"),
        (choice("it's"), '"it\'s"'),
        (choice('"it\'s"'), "'\"it\\'s\"'"),
        (choice("a\\b"), "'a\\\\b'"),
        (choice("a\nb"), "'a\\nb'"),
        (choice("a\u202eb"), "'a\\u202eb'"),
        (choice("a", "b", multiple=True), "readonly ('a' | 'b')[]"),
        (choice("a", multiple=True), "readonly 'a'[]"),
        ({"id": "q", "kind": "boolean"}, "boolean"),
        ({"id": "q", "kind": "tags"}, "readonly string[]"),
        ({"id": "q", "kind": "text"}, "string"),
    ],
)
def test_the_type_of_an_answer(question: dict[str, Any], expected: str) -> None:
    assert f"  readonly q: {expected}\n" in answer_types(form(question))


def test_up_to_twenty_scores_have_names() -> None:
    assert "  readonly q:\n    | 1\n" in answer_types(form(score(1, 20, step=1)))
    assert "    | 20\n}\n" in answer_types(form(score(1, 20, step=1)))


@pytest.mark.parametrize(
    ("form_id", "interface", "constant"),
    [
        ("help-desk", "HelpDesk", "helpDesk"),
        ("class", "Class", "class"),
        ("a.b_c", "ABC", "aBC"),
        ("2026-evaluation", "Form2026Evaluation", "form2026Evaluation"),
    ],
)
def test_names(form_id: str, interface: str, constant: str) -> None:
    made = answer_types(form({"id": "q", "kind": "text"}, name=form_id))
    assert f"export interface {interface}Answers {{\n" in made
    assert f"export const {constant}Form: FormDefinition = {{\n" in made


LONG = "eine sehr lange Beschriftung " * 5
HARD = form(
    score(1, 20, step=1) | {"id": "an-id-that-is-so-long-that-the-line-is-too-long-for-one-line"},
    score(-1e9, 0.1, weight=0.5) | {"id": "n", "help": 'it\'s "so"\n' + LONG},
    choice(*(f"option {n} of many" for n in range(9))) | {"id": "one", "label": LONG[:85]},
    choice(*(f"option {n} of many" for n in range(9)), multiple=True) | {"id": "several"},
    choice("x" * 120, multiple=True) | {"id": "single", "label": "长" * 42},
    choice(*(f"o{n:02}" for n in range(11))) | {"id": "exactly-fits-or-not", "label": "长" * 38},
    {"id": "constructor", "kind": "tags", "shared": True, "label": "\"'"},
    {"id": "1.5", "kind": "text", "label": "'"},
    name="9-hard.cases",
)


@pytest.mark.node
@pytest.mark.parametrize(
    "made",
    [definition_types(), answer_types(help_desk()), answer_types(HARD)],
    ids=["definition", "help-desk", "hard cases"],
)
def test_biome_has_nothing_to_change(made: str) -> None:
    if not BIOME.exists() or shutil.which("node") is None:
        pytest.skip("Biome was not found: run `npm ci` in examples/webapp (Node 20)")
    formatted = subprocess.run(
        [BIOME, "format", "--stdin-file-path=src/forms/made.ts"],
        cwd=WEBAPP,
        input=made,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert formatted.stdout == made
