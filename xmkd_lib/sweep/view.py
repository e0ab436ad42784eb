"""The live view of a sweep: a bar and the runs under way on a terminal, plain lines elsewhere."""

import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from xmkd_lib.errors import UserError
from xmkd_lib.records import Result
from xmkd_lib.sweep.attempt import Outcome
from xmkd_lib.sweep.progress import progress
from xmkd_lib.sweep.timing import clock

SILENCE = 60.0  # seconds without a line, after which a plain view says what is under way


class View:
    """Counts runs that end, prints a line for each, and shows those under way with their last figures."""

    def __init__(self, console: Console, folder: Path, total: int, metric: str | None = None):
        self.console, self.folder, self.total, self.metric = console, folder, total, metric
        self.ended, self.failed, self.seconds = 0, 0, list[float]()
        self.begun = self.spoke = time.monotonic()
        self.since: dict[str, float] = {}
        self.bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self.task = self.bar.add_task("runs", total=total, left="time left: known after the first run")
        self.live = Live(self.bar, console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "View":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.update(self.bar, refresh=True)
            self.live.stop()

    def finished(self, outcome: Outcome, again: bool) -> None:
        """Count a run and print its line; the first line of its failure where it failed."""
        self.since.pop(outcome.name, None)
        said = f"[red]{outcome.state}: {escape(outcome.reason or '')}[/]"
        if again:
            self._say(f"{escape(outcome.name)}  {outcome.seconds:.0f} s  {said} (to be tried again)")
            return
        self.ended += 1
        if outcome.state == "ok":
            self.seconds.append(outcome.seconds)
            said = self._headline(outcome.name)
        else:
            self.failed += 1
            said += f"  see {escape(str(self.folder / outcome.name / 'log.txt'))}"
        left = f"about {clock((time.monotonic() - self.begun) / self.ended * (self.total - self.ended))} left"
        if self.failed:
            left += f", {self.failed} failed"
        self.bar.update(self.task, completed=self.ended, left=left)
        line = f"[{self.ended}/{self.total}] {outcome.name}  {outcome.seconds:.0f} s  "
        self._say(escape(line) + said + ("" if self.live else f"  ({left})"))

    def tick(self, under_way: list[str]) -> None:
        """Show how far the runs under way are."""
        now = time.monotonic()
        for name in under_way:
            self.since.setdefault(name, now)
        if self.live:
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
            for name in under_way:
                table.add_row(escape(name), clock(now - self.since[name]), escape(progress(self.folder / name)))
            self.live.update(Group(table, self.bar), refresh=True)
        elif now - self.spoke > SILENCE and under_way:
            far = ((name, progress(self.folder / name)) for name in under_way)
            self._say("under way: " + escape("; ".join(f"{name} {text}".strip() for name, text in far)))

    def _say(self, line: str) -> None:
        self.spoke = time.monotonic()
        self.console.print(line, highlight=False, soft_wrap=True)

    def _headline(self, name: str) -> str:
        try:
            metrics = Result.load(self.folder / name / "result.json").metrics
        except UserError:
            return "ok"
        metric = self.metric or ("test_accuracy" if "test_accuracy" in metrics else "test_eer")
        chosen = f", at the chosen epoch {metrics[f'{metric}_best']:.3f}" if f"{metric}_best" in metrics else ""
        return f"{metric} {metrics[metric]:.3f}{chosen}" if metric in metrics else "ok"
