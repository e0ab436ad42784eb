"""A sweep as a person sees it: the plan, progress with time left, failures as they happen, the table at the end."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from xmkd_lib.errors import UserError
from xmkd_lib.records import check_writable
from xmkd_lib.sweep import joint
from xmkd_lib.sweep.owner import owning
from xmkd_lib.sweep.plan import Plan, keep_notebook, plan, tasks, write_plan
from xmkd_lib.sweep.reading import read_folder
from xmkd_lib.sweep.report import write_report
from xmkd_lib.sweep.runner import Crew, Seats, execute, visible_devices
from xmkd_lib.sweep.spec import PlannedRun, Sweep
from xmkd_lib.sweep.terminal import print_summary
from xmkd_lib.sweep.timing import clock, recall, remember
from xmkd_lib.sweep.view import View

SHOWN_RUNS = 40


@dataclass(frozen=True)
class Options:
    """How a sweep is run.

    workers: runs at a time, None for the specification's. runs_per_gpu: instead, so many on each CUDA device. force:
    also what is done already. accept_changed, rerun_changed: what becomes of valid runs of other code or of another
    notebook; neither: the sweep does not start. retry_failed: further tries for each failure. max_failures: after so
    many no further run is started. cluster: a dask scheduler's address or file, or local:N.
    """

    workers: int | None = None
    runs_per_gpu: int | None = None
    force: bool = False
    accept_changed: bool = False
    rerun_changed: bool = False
    retry_failed: int = 0
    max_failures: int | None = None
    cluster: str | None = None


def run_sweep(sweep: Sweep, folder: str | Path, console: Console | None = None, options: Options | None = None) -> bool:
    """Run what is missing, show progress, report. Returns whether every planned run is now done.

    UserError on what is wrong before the first run, where another sweep is at work in the folder, and where valid runs
    are of other code and neither of the two options says what to do.
    """
    if not isinstance(sweep, Sweep):
        raise UserError(f"run_sweep: {sweep!r} is no Sweep. Give Sweep.read(path), or Sweep(...).")
    console, options, folder = console or Console(), options or Options(), Path(folder)
    check_writable(folder)
    with owning(folder):
        found = plan(sweep, folder)
        todo = _chosen(found, options)
        if todo:
            sweep.check_kernel()
            sweep.check_data()
            keep_notebook(sweep, folder)
        write_plan(sweep, folder)
        kept = sum(map(len, (found.done, found.changed, found.todo))) - len(todo)
        console.print(f"[bold]{escape(sweep.title)}[/]: {len(todo)} runs to do, {kept} done before.{_causes(found)}")
        failed = _execute(sweep, folder, todo, console, options) if todo else 0
        report_sweep(folder, console)
    if failed:
        console.print(f"[red]{failed} of {len(todo)} runs failed.[/] The same command tries them again.")
    return not failed


def show_plan(sweep: Sweep, folder: str | Path, console: Console, options: Options) -> None:
    """Print what `run_sweep` would do, and how long it may take; nothing is started."""
    folder = Path(folder)
    found = plan(sweep, folder)
    todo = _chosen(found, options)
    total = sum(map(len, (found.done, found.changed, found.todo)))
    console.print(
        f"[bold]{escape(sweep.title)}[/]: {len(sweep.chosen)} conditions × {len(sweep.seeds)} seeds = {total} runs of "
        f"{escape(sweep.notebook_file.path.name)}, preset {sweep.preset}, in {escape(str(folder))}.{_causes(found)}"
    )
    for run in todo[:SHOWN_RUNS]:
        console.print(f"  {escape(run.name)}", highlight=False)
    if len(todo) > SHOWN_RUNS:
        console.print(f"  ... and {len(todo) - SHOWN_RUNS} more")
    workers = _workers(sweep, options)
    seconds = found.typical_seconds or recall(sweep)
    if not todo:
        console.print("Nothing is to do: every run has a valid result.")
    elif options.cluster:
        each = f"{clock(seconds)} each, as timed here" if seconds else "of unknown length"
        console.print(f"{len(todo)} runs to do, {each}, on the cluster.", highlight=False)
    elif seconds is None:
        console.print(f"{len(todo)} runs to do, {workers} at a time. No such run has been timed on this machine yet.")
    else:
        left = seconds * -(-len(todo) // workers)
        console.print(
            f"{len(todo)} runs to do, {workers} at a time: about {clock(left)}, at {clock(seconds)} a run.",
            highlight=False,
        )


def report_sweep(folder: Path, console: Console) -> None:
    """Write the page and the tables of a sweep's folder, and print the table. Works in mid-sweep."""
    found = read_folder(folder)
    page = write_report(found)
    print_summary(console, found)
    console.print(f"Report: {page}\nTable:  {page.parent / 'results.csv'}", highlight=False, soft_wrap=True)


def _chosen(found: Plan, options: Options) -> list[PlannedRun]:
    """The runs to do."""
    if found.changed and not (options.accept_changed or options.rerun_changed or options.force):
        raise UserError(
            f"{len(found.changed)} finished runs were made by other code of this library or another version of the "
            "notebook. Say --accept-changed to keep them beside new ones, or --rerun-changed to run them again (what "
            "they left is kept in attempts/)."
        )
    again = [*found.done, *found.changed] if options.force else found.changed if options.rerun_changed else []
    return [*found.todo, *again]


def _execute(sweep: Sweep, folder: Path, todo: list[PlannedRun], console: Console, options: Options) -> int:
    """Execute runs with a view of them; returns how many failed."""
    begun = time.monotonic()
    view = View(console, folder, len(todo), sweep.metric)
    try:
        if sweep.notebook_file.is_experiment and not options.cluster and joint.worthwhile():
            joint.train_jointly(list(tasks(sweep, folder, todo)), lambda line: console.print(escape(line)))
        with _crew(sweep, folder, len(todo), options, console) as crew, view:
            execute(crew, tasks(sweep, folder, todo), view, options.retry_failed, options.max_failures)
    except KeyboardInterrupt:
        report_sweep(folder, console)
        console.print("Interrupted. Finished runs are kept; the same command goes on from here.")
        raise
    if view.seconds:
        remember(sweep, view.seconds)
    console.print(f"{view.ended} runs in {clock(time.monotonic() - begun)}.", highlight=False)
    if view.ended < len(todo):
        console.print(
            f"[yellow]Stopped after {view.failed} failures; {len(todo) - view.ended} runs were not started.[/]"
        )
    return view.failed


def _crew(sweep: Sweep, folder: Path, runs: int, options: Options, console: Console) -> Crew:
    if options.cluster:
        from xmkd_lib.sweep.cluster import Cluster

        return Cluster(options.cluster, folder, console.print)
    return Seats(min(_workers(sweep, options), runs))


def _workers(sweep: Sweep, options: Options) -> int:
    if options.runs_per_gpu is None:
        return options.workers or sweep.workers
    devices = len(visible_devices())
    if not devices:
        raise UserError("--runs-per-gpu: torch sees no CUDA device. Give --workers instead.")
    return options.runs_per_gpu * devices


def _causes(found: Plan) -> str:
    """Why runs are to do, where any other reason than that they are missing is among them."""
    if not found.causes.keys() - {"missing"}:
        return ""
    return " To do: " + ", ".join(f"{count} {cause}" for cause, count in found.causes.most_common()) + "."
