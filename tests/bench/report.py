"""What came out: medians, ratios to the best peer, targets; as tables to look at and to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench.running import Run
from tests.bench.scenario import Better, Measure, Scenario
from tests.bench.servers import DRAFTSYNC, Peer

LOAD_BOUND = 0.9
"""The share of its core at which the load, and not the server, is what was measured."""

DISTURBED = 0.15
"""The share of a core that went to others at which a figure is worth less."""


@dataclass(frozen=True)
class Line:
    """One measure of one scenario over all rounds: the median of each server that has one."""

    scenario: Scenario
    measure: Measure
    medians: dict[str, float]
    notes: dict[str, str]

    @property
    def ours(self) -> float | None:
        return self.medians.get(DRAFTSYNC.name)

    @property
    def best(self) -> float | None:
        """The best peer's; a server that did not do all that was asked has none."""
        others = [value for name, value in self.medians.items() if name != DRAFTSYNC.name]
        choose = max if self.measure.better is Better.MORE else min
        return choose(others, default=None)

    @property
    def ratio(self) -> float | None:
        """Ours to the best peer's."""
        if self.ours is None or not self.best:
            return None
        return self.ours / self.best

    @property
    def target(self) -> str:
        sign = "≥" if self.measure.better is Better.MORE else "≤"
        if self.measure.ratio is not None:
            return f"{sign} {self.measure.ratio:g}×"
        if self.measure.limit is not None:
            return f"{sign} {self.measure.limit:,g}"
        return ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none, or nothing to hold against it."""
        if self.measure.ratio is not None:
            return _within(self.ratio, self.measure.ratio, self.measure.better)
        if self.measure.limit is not None:
            return _within(self.ours, self.measure.limit, self.measure.better)
        return None

    def shown(self, peer: Peer) -> str:
        """The peer's median and its notes; a dash where it has none."""
        if (value := self.medians.get(peer.name)) is None:
            return self.notes.get(peer.name, "–")
        return f"{value:,.{self.measure.digits}f}{self.notes.get(peer.name, '')}"


def lines(scenarios: Sequence[Scenario], runs: Sequence[Run]) -> list[Line]:
    """Every measure of every scenario that was run."""
    return [
        _line(scenario, measure, [run for run in runs if run.scenario == scenario.name])
        for scenario in scenarios
        for measure in scenario.measures
    ]


def failures(runs: Sequence[Run]) -> list[str]:
    """Every run that did not count, named, and why."""
    return [
        f"{run.scenario}, {run.peer}, round {run.round + 1}: {run.failure}"
        for run in runs
        if run.failure
    ]


def show(console: Console, found: Sequence[Line], peers: Sequence[Peer]) -> None:
    """A table for the terminal."""
    table = Table(title="Medians", title_justify="left")
    for heading in ("scenario", "measure"):
        table.add_column(heading)
    for heading in (*(peer.name for peer in peers), "ratio", "target", ""):
        table.add_column(heading, justify="right")
    for line in found:
        _, *cells = _cells(line, peers)
        table.add_row(line.scenario.name, *cells, {True: "✓", False: "✗", None: ""}[line.met])
    console.print(table)


def markdown(found: Sequence[Line], peers: Sequence[Peer], machine: str, count: int) -> str:
    """The tables for the README: side by side, then what is asked of ours only."""
    return "\n".join(_markdown(found, peers, machine, count)) + "\n"


def _markdown(
    found: Sequence[Line], peers: Sequence[Peer], machine: str, count: int
) -> Iterator[str]:
    rounds = "One round" if count == 1 else f"Medians of {count} rounds"
    yield f"{rounds}; server on one core, load on another. {machine}."
    if side := [line for line in found if not line.scenario.ours_only]:
        yield ""
        yield from _row("", "", *(peer.title for peer in peers), "ours to the best", "target")
        yield from _rule(2, len(peers) + 2)
        for line in side:
            yield from _row(*_cells(line, peers))
    if alone := [line for line in found if line.scenario.ours_only]:
        yield ""
        yield from _row("", "", DRAFTSYNC.title, "target")
        yield from _rule(2, 2)
        for line in alone:
            yield from _row(
                line.scenario.title, line.measure.heading, line.shown(DRAFTSYNC), line.target
            )
    yield ""
    yield "⁺ the load was the limit · ° other programs were using the cores · – failed"


def _row(*cells: str) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def _rule(left: int, right: int) -> Iterator[str]:
    yield f"|{'---|' * left}{'---:|' * right}"


def _cells(line: Line, peers: Sequence[Peer]) -> tuple[str, ...]:
    ratio = f"{line.ratio:.2f}×" if line.ratio is not None else ""
    names = line.scenario.title, line.measure.heading
    return (*names, *(line.shown(peer) for peer in peers), ratio, line.target)


def _line(scenario: Scenario, measure: Measure, runs: Sequence[Run]) -> Line:
    medians, notes = {}, {}
    for peer in dict.fromkeys(run.peer for run in runs):
        its = [run for run in runs if run.peer == peer]
        good = [run for run in its if measure.key in run.figures]
        if len(good) == len(its):
            medians[peer] = median(run.figures[measure.key] for run in good)
        notes[peer] = _notes(good) if peer in medians else "–"
    return Line(scenario, measure, medians, notes)


def _notes(runs: Sequence[Run]) -> str:
    load = median(run.figures.get("load_share", 0.0) for run in runs)
    foreign = median(run.figures.get("foreign", 0.0) for run in runs)
    return ("⁺" if load > LOAD_BOUND else "") + ("°" if foreign > DISTURBED else "")


def _within(value: float | None, bound: float, better: Better) -> bool | None:
    if value is None:
        return None
    return value >= bound if better is Better.MORE else value <= bound
