"""``draftsync forms``: definitions checked, and made into types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sync.forms.definition import form_definition
from sync.forms.typescript import answer_types, definition_types
from tests.cli.conftest import Run

FORM = {
    "id": "agent-eval",
    "title": "How well did it do?",
    "sections": [
        {
            "id": "all",
            "title": "All",
            "questions": [
                {"id": "polite", "kind": "boolean", "label": "Polite?", "required": True},
                {"id": "remarks", "kind": "text", "label": "Bemerkungen, 备注"},
            ],
        }
    ],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "form.json"
    path.write_text(json.dumps(FORM, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_form_that_is_right(run: Run, file: Path) -> None:
    result = run("forms", "check", str(file))
    assert (result.exit_code, result.stdout) == (
        0,
        "agent-eval: 2 questions, 1 of them required\n",
    )
    told = json.loads(run("forms", "check", str(file), "--json").stdout)
    assert told == {"valid": True, "id": "agent-eval", "questions": 2, "required": 1}


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("{}", "sections", "a list of sections, not nothing"),
        (json.dumps(FORM | {"id": "a/b"}), "id", "1-64 of the characters"),
        (json.dumps(FORM | {"titel": "x"}), "titel", "none but these keys"),
        ("{", "", "JSON: Expecting property name"),
        ("[" * 100_000, "", "JSON: "),
        ("[1]", "", "an object, not a list"),
        ("\udcff", "", "JSON: "),
    ],
)
def test_a_form_that_is_not(run: Run, file: Path, text: str, path: str, expected: str) -> None:
    file.write_bytes(text.encode(errors="surrogateescape"))
    result = run("forms", "check", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{file}: {path or 'the form'}: expected {expected}")
    asked = run("forms", "check", str(file), "--json")
    told = json.loads(asked.stdout)
    assert (asked.exit_code, told["valid"], told["path"]) == (1, False, path)
    assert told["expected"].startswith(expected)
    types = run("forms", "types", str(file))
    assert (types.exit_code, types.stdout, types.stderr) == (1, "", result.stderr)


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    assert run("forms", "check", str(tmp_path / "none.json")).exit_code == 2


def test_types(run: Run, file: Path) -> None:
    assert run("forms", "types").stdout == definition_types()
    form = form_definition(FORM)
    assert run("forms", "types", str(file)).stdout == answer_types(form, file.as_posix())
    other = run("forms", "types", str(file), "--import", "./types").stdout
    assert "import type { FormDefinition } from './types'\n" in other
