"""What a sweep is doing, read from its folder: from another terminal, or after it has ended."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from xmkd_lib.errors import UserError
from xmkd_lib.sweep.folder import finished, read_status
from xmkd_lib.sweep.owner import owner
from xmkd_lib.sweep.progress import progress
from xmkd_lib.sweep.reading import PlanFile
from xmkd_lib.sweep.timing import clock

LOOK_EVERY = 1.0  # seconds
SHOWN_FAILURES = 20


@dataclass
class Overview:
    """A sweep at one moment. states: how many runs are ok, running, failed, queued, ...; running: name -> how far."""

    title: str
    owner: str | None
    states: Counter[str] = field(default_factory=Counter)
    running: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end, at the pace of the finished runs; None where nothing is at work or finished."""
        todo = self.states["queued"] + self.states["running"]
        if self.owner is None or not self.states["ok"] or not self.states["running"]:
            return None
        return self.seconds / self.states["ok"] * todo / self.states["running"]


def overview(folder: Path) -> Overview:
    """Read a sweep's folder. UserError where it is none."""
    plan, at_work = PlanFile.read(folder), owner(folder)
    found = Overview(plan.title, f"process {at_work['pid']} on {at_work['host']}" if at_work else None)
    for name in (run.name for run in plan.runs):
        state, reason, seconds = _state(folder / name, found.owner is not None)
        found.states[state] += 1
        if state == "ok":
            found.seconds += seconds
        elif state == "running":
            found.running[name] = ", ".join(filter(None, [reason, progress(folder / name)]))
        elif state != "queued":
            found.failures[name] = f"{state}: {reason}" if reason else state
    return found


def show(folder: Path, console: Console, watch: bool) -> None:
    """Print the overview; with `watch` again every second, until nothing is at work in the folder any more."""
    found = overview(folder)
    if not watch:
        console.print(_drawn(found))
        return
    with Live(_drawn(found), console=console, auto_refresh=False) as live:
        while found.owner is not None:
            time.sleep(LOOK_EVERY)
            found = overview(folder)
            live.update(_drawn(found), refresh=True)


def _state(run: Path, at_work: bool) -> tuple[str, str, float]:
    """State, reason (of a running one: for how long), seconds."""
    try:
        status = read_status(run)
    except UserError as error:
        return "damaged", str(error), 0.0
    if status is None:
        return "queued", "", 0.0
    state, reason = status.state, status.reason or ""
    if state == "running" and not at_work:
        return "stale", "its sweep was killed", 0.0
    if state == "running":
        return state, _since(status.started), 0.0
    if state == "ok" and finished(run) is None:
        return "invalid", "result.json is not the one that was found valid", 0.0
    return state, reason, status.seconds or 0.0


def _since(started: str | None) -> str:
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds()
    except (TypeError, ValueError):
        return ""
    return clock(seconds) if seconds >= 0 else ""  # another machine's clock, or one that was set back


def _drawn(found: Overview) -> RenderableType:
    total = found.states.total()
    others = ", ".join(f"{count} {state}" for state, count in found.states.most_common() if state != "ok")
    left = f", about {clock(found.left)} left" if found.left is not None else ""
    lines: list[RenderableType] = [
        f"[bold]{escape(found.title)}[/]: {found.states['ok']} of {total} runs done"
        + (f"; {others}" if others else "")
        + left
        + ".",
        f"At work: {escape(found.owner)}." if found.owner else "Nothing is at work in this folder.",
    ]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, far in found.running.items():
        table.add_row(escape(name), escape(far))
    if found.running:
        lines.append(table)
    lines += [f"[red]{escape(name)}[/]  {escape(why)}" for name, why in list(found.failures.items())[:SHOWN_FAILURES]]
    if len(found.failures) > SHOWN_FAILURES:
        lines.append(f"... and {len(found.failures) - SHOWN_FAILURES} more; the report lists all.")
    return Group(*lines)
