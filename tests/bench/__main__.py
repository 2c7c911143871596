"""``python -m tests.bench``: run the benchmark, show the tables, keep them where asked."""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import uvloop
from rich.console import Console

from tests.bench import machine, report
from tests.bench.catalogue import full, quick
from tests.bench.process import Cores
from tests.bench.running import Run, rounds
from tests.bench.scenario import Scenario
from tests.bench.servers import DRAFTSYNC, PEERS, ROOT, Peer, Unavailable

README = ROOT / "README.md"
MARKED = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)


def main() -> int:
    """Exit code 0 if every run counted, 1 if any failed; targets that are missed are only told."""
    console = Console()
    options = _parser().parse_args()
    if options.update_readme and not MARKED.search(README.read_text()):
        console.print("README.md has no <!-- bench --> … <!-- /bench --> to put the table between")
        return 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    cores = Cores.here()
    if not cores.apart:
        console.print("[yellow]one core only: load and server share it, the figures are worth less")
    catalogue = quick() if options.quick else full()
    scenarios = [each for each in catalogue if each.name in options.scenario]
    peers = _available(console, options)
    runs = uvloop.run(_run(console, scenarios, peers, options, cores))
    return _conclude(console, scenarios, peers, runs, options)


def _parser() -> argparse.ArgumentParser:
    names, peers = [each.name for each in full()], [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--scenario", nargs="+", choices=names, default=names, help="which (default: all)")
    add("--peer", nargs="+", choices=peers, default=peers, help="which servers (default: all)")
    add("--rounds", type=int, help="turns of each server (default: 3; with --quick 1)")
    add("--quick", action="store_true", help="everything smaller: for a first look")
    add("--seed", type=int, default=1, help="of the edits; round n adds n (default: 1)")
    add("--checkout", type=Path, default=ROOT, help="run draftsync from another working tree")
    add("--json", type=Path, metavar="FILE", help="every run, with its conditions")
    add("--markdown", type=Path, metavar="FILE", help="the tables")
    add("--update-readme", action="store_true", help="put them between the markers in README.md")
    return parser


def _available(console: Console, options: argparse.Namespace) -> list[Peer]:
    """The peers that can run here; of the others it is said why they cannot."""
    found = []
    for peer in PEERS:
        if peer.name not in options.peer:
            continue
        try:
            peer.prepare()
        except Unavailable as missing:
            console.print(f"[yellow]without {peer.title}: {missing}")
        else:
            ours = peer.name == DRAFTSYNC.name
            found.append(replace(peer, folder=options.checkout) if ours else peer)
    return found


async def _run(
    console: Console,
    scenarios: Sequence[Scenario],
    peers: Sequence[Peer],
    options: argparse.Namespace,
    cores: Cores,
) -> list[Run]:
    count = options.rounds or (1 if options.quick else 3)
    runs = []
    for scenario in scenarios:
        asked = [peer for peer in peers if peer.saves or not scenario.ours_only]
        if asked:
            console.rule(scenario.title, align="left")
            runs += await rounds(
                scenario,
                asked,
                min(count, scenario.most_rounds),
                cores=cores,
                seed=options.seed,
                quiet=0.2 if options.quick else 0.5,
                tell=lambda run, scenario=scenario: _tell(console, scenario, run),  # type: ignore[misc]
            )
    return runs


def _tell(console: Console, scenario: Scenario, run: Run) -> None:
    head = f"{run.round + 1}  {run.peer:<17}"
    if run.failure:
        console.print(f"{head} [red]failed: {run.failure}", highlight=False)
        return
    told = (
        f"{run.figures[measure.key]:,.{measure.digits}f} {measure.heading}"
        for measure in scenario.measures
    )
    load, foreign = (run.figures.get(key, 0.0) * 100 for key in ("load_share", "foreign"))
    console.print(
        f"{head} {' · '.join(told)}  [dim]load {load:.0f} %, others {foreign:.0f} %, "
        f"{run.seconds:.0f} s",
        highlight=False,
    )


def _conclude(
    console: Console,
    scenarios: Sequence[Scenario],
    peers: Sequence[Peer],
    runs: Sequence[Run],
    options: argparse.Namespace,
) -> int:
    found = report.lines([each for each in scenarios if _was_run(each, runs)], runs)
    report.show(console, found, peers)
    kind = machine.described()
    count = max((run.round + 1 for run in runs), default=0)
    tables = report.markdown(found, peers, kind, count)
    console.print(f"\n{tables}", markup=False, highlight=False, soft_wrap=True)
    if options.markdown:
        options.markdown.write_text(tables)
    if options.json:
        kept = {"machine": kind, "runs": [asdict(run) for run in runs]}
        options.json.write_text(json.dumps(kept, indent=1))
    if options.update_readme:
        README.write_text(MARKED.sub(lambda _: tables, README.read_text(), count=1))
    failures = report.failures(runs)
    for failure in failures:
        console.print(f"[red]failed: {failure}", highlight=False)
    return 1 if failures else 0


def _was_run(scenario: Scenario, runs: Sequence[Run]) -> bool:
    return any(run.scenario == scenario.name for run in runs)


if __name__ == "__main__":
    sys.exit(main())
