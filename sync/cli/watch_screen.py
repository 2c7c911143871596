"""How ``draftsync sessions watch`` looks: one frame, or one line, of a session's status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sync.cli.screen import NOTHING, percent, printable, safe, span, table
from sync.cli.session_tables import WIDE, event_line, state_text
from sync.cli.watched import Watched

Json = Mapping[str, Any]

LEAST_ROWS = 3
"""Members, and test cases, that a frame shows in any case. The rest is said to be there."""

_LINES = 8  # of a frame, but for members, test cases and events


def frame(watched: Watched, size: ConsoleDimensions) -> RenderableType:
    """Everything, for a terminal of a size."""
    status = watched.status or {}
    wide, left = size.width >= WIDE, size.height - _LINES
    events = list(watched.events)[-max(LEAST_ROWS, left // 3) :]
    left -= len(events)
    members, cases = _shares(left, len(status["members"]), len(status["test_cases"]))
    return Group(
        _headline(status, watched),
        "",
        _members(status, members, wide=wide),
        "",
        _cases(status, cases, wide=wide),
        "",
        *(_line(event) for event in events),
    )


def _shares(left: int, one: int, other: int) -> tuple[int, int]:
    """So many lines for two tables: half of them for each, and what one does not need, too."""
    half = left // 2
    first = min(one, max(half, left - other))
    return max(LEAST_ROWS, first), max(LEAST_ROWS, left - first)


def _headline(status: Json, watched: Watched) -> Text:
    rate = NOTHING if watched.rate is None else f"{watched.rate:.1f}/s"
    head = Text.assemble(
        (status["session"], "bold"),
        "   ",
        state_text(status["state"]),
        f"   active {span(status['active_seconds'])}   {_online(status)} online",
        f"   {status['top']:,} events, {rate}   ",
        _delivery(status["delivery"]),
    )
    if watched.trouble is not None:
        head.append(f"\nthis is of {_clock(status['time'])} UTC: {watched.trouble}", "yellow")
    return head


def _online(status: Json) -> int:
    return sum(member["online"] for member in status["members"])


def _delivery(delivery: Json | None) -> str:
    """How events get to subscribers; nothing where nobody subscribes."""
    if delivery is None:
        return ""
    latency = "/".join(_number(delivery["latency_ms"][each]) for each in ("p50", "p95", "p99"))
    return f"delivery {latency} ms, {percent(delivery['success'])}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


# -- who


def _members(status: Json, most: int, *, wide: bool) -> Table:
    right = ("unsaved", "latency", "filled", "received")
    columns = ["draft", "unsaved", "latency", "filled"]
    columns += ["received", "seen", "last edit"] if wide else ["last edit"]
    whole = ("seen", "last edit")
    found = table("", "member", "role", *columns, right=right, whole=whole)
    for member in _first(status["members"], most):
        cells = _member_cells(member, status)
        lamp = Text("●", "green") if member["online"] else Text("○", "dim")
        name = Text(printable(member["subject"]), "bold" if member["online"] else "")
        found.add_row(lamp, name, _role(member), *(cells[each] for each in columns))
    _rest(found, len(status["members"]), most, 1)
    return found


def _role(member: Json) -> str:
    if member["role"] is None:
        return "guest"
    return str(member["role"]) if member["joined_at"] else f"{member['role']}, invited"


def _member_cells(member: Json, status: Json) -> dict[str, Text | str]:
    connections = member["connections"]
    drafts = [each["document"] for each in connections if each["document"]]
    prefix = f"drafts/{status['session']}/"
    last = member["last_committed"]
    latencies = [each["latency_ms"] for each in connections if each["latency_ms"] is not None]
    seen = max((each["last_seen"] for each in connections), default=None)
    unsaved = sum(each["unsaved"] for each in connections)
    return {
        "draft": safe(", ".join(sorted({each.removeprefix(prefix) for each in drafts})) or NOTHING),
        "unsaved": Text(str(unsaved), "bold yellow" if unsaved else "") if connections else NOTHING,
        "latency": f"{_number(max(latencies))} ms" if latencies else NOTHING,
        "filled": percent(_mean(_progress_of(member["subject"], status))),
        "received": f"{member['acknowledged']:,}",
        "seen": _clock(seen),
        "last edit": _clock(last["at"] if last else None),
    }


def _progress_of(subject: str, status: Json) -> Iterable[Json]:
    return (
        evaluator["progress"]
        for case in status["test_cases"]
        for evaluator in case["evaluators"]
        if evaluator["subject"] == subject and evaluator["progress"] is not None
    )


def _mean(progress: Iterable[Json]) -> float | None:
    """Of several forms, how far they are filled in; None of none."""
    shares = [float(each["share"]) for each in progress]
    return sum(shares) / len(shares) if shares else None


# -- what


def _cases(status: Json, most: int, *, wide: bool) -> Table:
    columns = ["title"] if wide else []
    columns += ["edits", "filled", "complete", "open", "last edit"]
    right = ("edits", "filled", "complete")
    found = table("case", *columns, right=right, whole=("last edit",))
    for case in _first(status["test_cases"], most):
        cells = _case_cells(case)
        found.add_row(safe(case["id"]), *(cells[each] for each in columns))
    _rest(found, len(status["test_cases"]), most, 0)
    return found


def _case_cells(case: Json) -> dict[str, Text | str]:
    evaluators = case["evaluators"]
    done = sum(each["completed"] for each in evaluators)
    last = case["last_edit"]
    return {
        "title": safe(case["title"]),
        "edits": f"{case['edits']:,}",
        "filled": percent(_mean(e["progress"] for e in evaluators if e["progress"] is not None)),
        "complete": f"{done} of {len(evaluators)}",
        "open": safe(", ".join(case["open"]) or NOTHING),
        "last edit": f"{_clock(last['at'])} {printable(last['by'])}" if last else NOTHING,
    }


def _first(rows: Sequence[Json], most: int) -> Sequence[Json]:
    """The first of them; the last line is for saying how many more there are."""
    return rows if len(rows) <= most else rows[: most - 1]


def _rest(found: Table, rows: int, most: int, column: int) -> None:
    if rows > most:
        found.add_row(*[""] * column, Text(f"… {rows - most + 1} more", "dim"))


def _clock(moment: str | None) -> str:
    """The time of day, of one in ISO 8601."""
    return NOTHING if moment is None else moment[11:19]


# -- lines


def event_text(event: Json) -> Text:
    """One event, whole."""
    return event_line(*(event[each] for each in ("offset", "time", "kind", "actor", "data")))


def _line(event: Json) -> Text:
    """One event, in one line of the terminal."""
    text = event_text(event)
    text.overflow = "ellipsis"
    return text


def summary(status: Json | None, trouble: str | None) -> Text:
    """What of a status is worth a line of its own when it changes."""
    if trouble is not None or status is None:
        return Text(f"trouble: {trouble}")
    connections = [each for member in status["members"] for each in member["connections"]]
    filled = _mean(
        each["progress"]
        for case in status["test_cases"]
        for each in case["evaluators"]
        if each["progress"] is not None
    )
    done = sum(each["completed"] for case in status["test_cases"] for each in case["evaluators"])
    return Text(
        f"status: {status['state']}, {_online(status)} online, "
        f"{sum(case['edits'] for case in status['test_cases']):,} edits, "
        f"{sum(each['unsaved'] for each in connections)} unsaved, "
        f"{percent(filled)} filled, {done} complete"
    )
