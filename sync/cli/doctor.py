"""``draftsync doctor``: is the database whole, and what can be made whole again?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.padding import Padding
from rich.text import Text

from persistence.sqlite import checkup, repair
from persistence.sqlite.checkup_documents import Opened
from persistence.sqlite.checkup_findings import Finding, Progress, Severity, some
from persistence.store import Snapshot, StoreError, StoreInUse, StoreTooNew
from sync.cli import options, progress, screen
from sync.cli.docs.asked import complete_names
from sync.inspection.examination import Examination, examine, remade
from sync.server.deep_stack import run_deep

_MOST_SHOWN = 20
"""Findings of one kind that the screen shows; ``--json`` has all."""

_WORST_FIRST: tuple[Severity, ...] = ("damage", "warning")

_COLOURS: dict[Severity, str] = {"damage": "bold red", "warning": "yellow", "info": "dim"}


def doctor(
    config: options.Config = None,
    database: options.Database = None,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Repair what can be repaired; the service must be stopped."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Checksums only: no document is replayed.")
    ] = False,
    json_output: options.Json = False,
) -> None:
    """Look over the whole database, with the service up or down.

    Ends with exit code 1 where there is damage. For example: draftsync doctor --fix
    """
    path = Path(options.database_file(config, database))
    look = None if quick else _look
    repaired: list[Finding] = []
    try:
        with _bars() as tell:
            report = run_deep(lambda: checkup.examine(path, look, tell, quick=quick))
        if fix and any(finding.fixable for finding in report.findings):
            found = report
            with _bars() as tell:
                repaired = run_deep(
                    lambda: repair.repair(path, found, replace(DEEP, look=look), tell)
                )
                report = run_deep(lambda: checkup.examine(path, look, tell, quick=quick))
    except StoreError as error:
        _fail(error, path, json_output)
    if json_output:
        screen.echo_json(_report_json(path, report, repaired))
    else:
        _show(path, report, repaired)
    if report.damaged:
        raise typer.Exit(options.FAILED)


def verify(
    name: Annotated[
        str,
        typer.Argument(help="A document, or what names begin with.", autocompletion=complete_names),
    ] = "",
    config: options.Config = None,
    database: options.Database = None,
    json_output: options.Json = False,
) -> None:
    """Check every entry of documents, and replay them against their snapshots.

    For example: draftsync docs verify drafts/42
    """
    path = Path(options.database_file(config, database))
    try:
        chosen = checkup.names_of(path, name)
        if name and not chosen:
            options.failed(f"no document's name begins with {name!r}")
        with _bars() as tell:
            report = run_deep(lambda: checkup.examine_documents(path, _look, chosen, tell))
    except StoreError as error:
        options.failed(str(error))
    if json_output:
        screen.echo_json(_verified_json(chosen, report))
    else:
        _show_verified(chosen, report)
    if report.damaged:
        raise typer.Exit(options.FAILED)


@contextmanager
def _bars() -> Iterator[Progress]:
    """One bar, for what is being done at the moment."""
    with progress.bar("Checking") as report:
        yield lambda _, done, total: report(done, total)


# Looking deeper


def _look(document: Opened) -> Sequence[Finding]:
    found = examine(
        document.snapshot,
        document.base,
        document.thinned,
        whole=document.whole,
        entries=document.entries,
    )
    return list(_findings(document, found))


def _findings(document: Opened, found: Examination) -> Iterator[Finding]:
    if found.snapshot is not None:
        yield Finding(
            "snapshot.unusable" if found.unusable else "snapshot.wrong",
            "damage",
            f"{document.name}: its snapshot is wrong: {found.snapshot}",
            "the document cannot be served"
            if found.unusable
            else "the document is served as the snapshot has it",
            "`--fix` merges it with the entries, and keeps the old one in quarantine",
            document=document.name,
            positions=(document.snapshot.position,) if document.snapshot else (),
            fixable=True,
        )
    if found.lacking:
        yield Finding(
            "entry.lacking",
            "damage",
            f"{document.name}: its snapshot has edits that are not among its entries",
            "nothing of the content is lost, only history: entries went missing",
            "`--fix` takes note of it",
            document=document.name,
            positions=(document.snapshot.position,) if document.snapshot else (),
            fixable=True,
        )
    if found.base is not None:
        yield Finding(
            "base.wrong",
            "damage",
            f"{document.name}: what its history begins with is wrong: {found.base}",
            "nothing of the content is lost; its history cannot be read from its beginning",
            "`--fix` moves it into quarantine",
            document=document.name,
            fixable=True,
        )
    if found.pending:
        yield _left_out(
            "entry.pending",
            "warning",
            document.name,
            found.pending,
            "they wait in the log: whoever still has the document open brings what is missing",
        )
    if found.unread:
        yield _left_out(
            "entry.unread",
            "info",
            document.name,
            found.unread,
            "only history is incomplete: the snapshot has what they say",
        )


def _left_out(
    code: str, severity: Severity, name: str, reasons: dict[int, str], means: str
) -> Finding:
    first = next(iter(reasons))
    return Finding(
        code,
        severity,
        f"{name}: {some(len(reasons), 'edit')} cannot be applied, the first at {first}: "
        f"{reasons[first]}",
        means,
        document=name,
        positions=tuple(sorted(reasons)[:100]),
        count=len(reasons),
    )


def _remake(document: Opened) -> Snapshot | None:
    made = remade(document.snapshot, document.base, document.thinned, document.entries)
    if made is None:
        return None
    position, update, state_vector = made
    return repair.snapshot(document.name, position, update, state_vector)


DEEP = repair.Deep(_look, _remake)
"""What replays documents, for a checkup and a repair."""


# Telling


def _fail(error: StoreError, path: Path, json_output: bool) -> NoReturn:
    """What kept the doctor from looking is told as a finding, too."""
    codes = {StoreTooNew: "file.newer", StoreInUse: "file.in_use"}
    if json_output:
        finding = Finding(codes.get(type(error), "file.unreadable"), "damage", str(error), "", "")
        told = {"database": str(path), "damaged": True, "findings": [finding.to_json()]}
        screen.echo_json(told)
    options.failed(str(error))


def _report_json(
    path: Path, report: checkup.Report, repaired: Sequence[Finding]
) -> dict[str, object]:
    return {
        "database": str(path),
        "damaged": report.damaged,
        "documents": report.documents,
        "entries": report.entries,
        "findings": [finding.to_json() for finding in report.findings],
        "repaired": [finding.to_json() for finding in repaired],
    }


def _show(path: Path, report: checkup.Report, repaired: Sequence[Finding]) -> None:
    counted = f"{some(report.documents, 'document')}, {some(report.entries, 'edit')}"
    screen.show(screen.heading(str(path), counted))
    if repaired:
        screen.show(screen.heading("repaired"))
        _show_findings(repaired)
    for severity in ("damage", "warning", "info"):
        findings = [each for each in report.findings if each.severity == severity]
        if findings:
            screen.show(Text(severity, _COLOURS[severity]))
            _show_findings(findings)
    damage = sum(finding.severity == "damage" for finding in report.findings)
    if damage:
        screen.show(Text(f"{some(damage, 'damage', 'damages')} found", "bold red"))
    else:
        screen.show(Text("no damage found", "bold green"))


def _show_findings(findings: Iterable[Finding]) -> None:
    by_code: dict[str, list[Finding]] = {}
    for each in findings:
        by_code.setdefault(each.code, []).append(each)
    for code, several in by_code.items():
        for each in several[:_MOST_SHOWN]:
            screen.show(Padding(screen.safe(each.text), (0, 0, 0, 2), expand=False))
            for word, text in (("it means", each.means), ("what to do", each.do)):
                if text and text != "nothing":
                    line = Text.assemble((f"{word}: ", "dim"), screen.safe(text))
                    screen.show(Padding(line, (0, 0, 0, 4), expand=False))
        if len(several) > _MOST_SHOWN:
            more = f"… and {len(several) - _MOST_SHOWN} more of {code}: --json has all"
            screen.show(Padding(more, (0, 0, 0, 2), expand=False))


def _verified_json(chosen: Sequence[str], report: checkup.Report) -> dict[str, object]:
    findings = _by_document(report)
    return {
        "damaged": report.damaged,
        "documents": [
            {"name": name, "findings": [each.to_json() for each in findings[name]]}
            for name in chosen
        ],
    }


def _show_verified(chosen: Sequence[str], report: checkup.Report) -> None:
    grid = screen.Grid("document", "state", "found", whole=("state",))
    findings = _by_document(report)
    for name in chosen:
        severities = {each.severity for each in findings[name]}
        worst = next((each for each in _WORST_FIRST if each in severities), "sound")
        said = "; ".join(each.text.removeprefix(f"{name}: ") for each in findings[name])
        grid.add(name, worst, said)
    screen.page(grid)


def _by_document(report: checkup.Report) -> defaultdict[str | None, list[Finding]]:
    found = defaultdict[str | None, list[Finding]](list)
    for each in report.findings:
        found[each.document].append(each)
    return found
