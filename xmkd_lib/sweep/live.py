"""A sweep as a person sees it: progress with time left, failures as they happen, the table at the end."""

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xmkd_lib.sweep.plan import plan, read_plan, write_plan
from xmkd_lib.sweep.report import write_report
from xmkd_lib.sweep.runner import Finished, execute
from xmkd_lib.sweep.spec import Sweep
from xmkd_lib.sweep.table import collect, print_summary


def run_sweep(sweep: Sweep, folder: Path, console: Console, workers: int | None = None) -> bool:
    """Run what is missing, show progress, report. Returns whether every planned run is now done."""
    found = plan(sweep, folder)
    if found.todo:
        sweep.check_data()
    write_plan(sweep, folder)
    console.print(f"[bold]{escape(sweep.title)}[/]: {len(found.todo)} runs to do, {len(found.done)} done before.")
    if found.other_code:
        console.print(
            f"[yellow]{found.other_code} of the finished runs come from other code of this library.[/] "
            f"Delete {escape(str(folder))} to run all anew."
        )
    failures: list[Finished] = []
    started = time.perf_counter()
    try:
        if found.todo:
            with _Progress(console, len(found.todo)) as progress:
                execute(sweep, folder, found.todo, lambda run: _note(run, failures, progress), workers)
    except KeyboardInterrupt:
        report_sweep(folder, console)
        console.print("Interrupted. Finished runs are kept; the same command goes on from here.")
        raise
    if found.todo:
        console.print(f"{len(found.todo)} runs in {_clock(time.perf_counter() - started)}.", highlight=False)
    report_sweep(folder, console)
    if failures:
        console.print(f"[red]{len(failures)} of {len(found.todo)} runs failed:[/] the same command tries them again.")
        for failed in failures:
            console.print(f"  {escape(failed.run.name)}: {escape(failed.reason or '')}", highlight=False)
    return not failures


def report_sweep(folder: Path, console: Console) -> None:
    """Write the page and the table of a sweep's folder, and print the table. Works in mid-sweep."""
    plan = read_plan(folder)
    page = write_report(folder, plan["title"], plan["baselines"], metric=plan["metric"])
    frame = collect(folder)
    print_summary(console, frame, plan["metric"], plan["baselines"])
    if plan["dataset"] == "people":
        console.print("These people are synthetic: generated faces and voices.")
    console.print(f"Report: {page}\nTable:  {page.parent / 'results.csv'}", highlight=False, soft_wrap=True)


class _Progress(Progress):
    """A bar with time left on a terminal; elsewhere only the line that each finished run prints."""

    def __init__(self, console: Console, total: int):
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("runs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        super().__init__(*columns, console=console, disable=not console.is_terminal)
        self.total, self.ended, self.started = total, 0, time.perf_counter()
        self.bar = self.add_task("runs", total=total, left="time left: known after the first run")

    def show(self, finished: Finished, failed: int) -> None:
        """Count one more run and print its line."""
        self.ended += 1
        elapsed = time.perf_counter() - self.started
        left = f"about {_clock(elapsed / self.ended * (self.total - self.ended))} left"
        self.update(self.bar, completed=self.ended, left=left + (f", {failed} failed" if failed else ""))
        found = f"[red]failed: {escape(finished.reason or '')}[/]" if finished.result is None else _headline(finished)
        line = f"[{self.ended}/{self.total}] {finished.run.name}  {finished.seconds:.0f} s  "
        self.console.print(
            f"{escape(line)}{found}" + ("" if self.console.is_terminal else f"  ({left})"), highlight=False
        )


def _note(finished: Finished, failures: list[Finished], progress: _Progress) -> None:
    if finished.state != "ok":
        failures.append(finished)
    progress.show(finished, len(failures))


def _headline(finished: Finished) -> str:
    metrics = finished.result.metrics
    name = "test_accuracy" if "test_accuracy" in metrics else "test_eer"
    return f"{name} {metrics[name]:.3f}, at the chosen epoch {metrics[name + '_best']:.3f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
