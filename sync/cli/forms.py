"""``draftsync forms``: definitions of forms, checked, and as types for TypeScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sync.cli import options, screen
from sync.forms.definition import FormDefinition, InvalidForm, form_definition
from sync.forms.typescript import answer_types, definition_types

app = typer.Typer(
    help="Definitions of forms: check them, make types of them.", no_args_is_help=True
)

File = Annotated[
    Path, typer.Argument(help="A form's definition, JSON.", exists=True, dir_okay=False)
]


@app.command()
def check(file: File, json_output: options.Json = False) -> None:
    """Say whether a definition is right, and where it is not; exit code 1 when it is not.

    For example: draftsync forms check help-desk.json
    """
    try:
        form = _read(file)
    except InvalidForm as error:
        if json_output:
            told = {"valid": False, "path": error.path, "expected": error.expected}
            screen.echo_json(told)
            raise typer.Exit(options.FAILED) from None
        options.failed(f"{file}: {error}")
    questions, required = len(form.questions), form.required.bit_count()
    if json_output:
        told = {"valid": True, "id": form.id, "questions": questions, "required": required}
        screen.echo_json(told)
    else:
        screen.say(f"{form.id}: {questions} questions, {required} of them required")


@app.command()
def types(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A form's definition [default: none, the types of every form].",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    types_module: Annotated[
        str, typer.Option("--import", help="Where the types of every form are imported from.")
    ] = "../lib/form-types",
) -> None:
    """Print TypeScript: the types of every form, or with FILE those of one, and the form itself.

    For example: draftsync forms types help-desk.json > help-desk.ts
    """
    if file is None:
        typer.echo(definition_types(), nl=False)
        return
    try:
        form = _read(file)
    except InvalidForm as error:
        options.failed(f"{file}: {error}")
    typer.echo(answer_types(form, file.as_posix(), types_module), nl=False)


def _read(file: Path) -> FormDefinition:
    """Raises InvalidForm, for a file that is no JSON too."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        options.failed(f"{file}: {error.strerror}")
    except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 among them
        raise InvalidForm("", f"JSON: {error}") from None
    return form_definition(raw)
