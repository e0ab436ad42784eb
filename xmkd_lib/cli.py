"""The `xmkd` command: thin calls into the library."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xmkd_lib.errors import UserError

app = typer.Typer(
    help="Cross-modal knowledge distillation: a study kit.\n\nStart with: xmkd sweep run notebooks/sweeps/quick.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
sweeps = typer.Typer(
    help="Run and report sweeps: methods x seeds, each run an executed notebook.", no_args_is_help=True
)
datasets = typer.Typer(help="What data sets there are, and where real data is looked for.", no_args_is_help=True)
app.add_typer(sweeps, name="sweep")
books = typer.Typer(help="The notebooks for a class: with solutions, or without.", no_args_is_help=True)
app.add_typer(datasets, name="data")
app.add_typer(books, name="notebooks")
console = Console()


def main() -> None:
    """Entry point: a user's mistake ends with its text and exit code 2, Ctrl-C with 130."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that cannot show a minus sign
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped sweep ends its workers, as with Ctrl-C
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever reads our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename2 or error.filename or 'standard output'}: {error.strerror}. What is finished is kept.")
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.")
        sys.exit(130)


def _fail(text: str) -> None:
    Console(stderr=True).print(f"[bold red]Error:[/] {escape(text)}", highlight=False)
    sys.exit(2)


@app.command(epilog="Example: xmkd doctor")
def doctor() -> None:
    """Say what is installed, which device is used, and what is wrong, with the remedy."""
    from xmkd_lib.doctor import examine

    findings = examine()
    table = Table("", "what", "found", box=None)
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]wrong[/]" if finding.required else "[yellow]note[/]"
        table.add_row(mark, escape(finding.what), escape(finding.found))
    console.print(table)
    for finding in findings:
        if finding.remedy:
            console.print(f"• {escape(finding.what)}: {escape(finding.remedy)}")
    if any(finding.required and not finding.ok for finding in findings):
        raise typer.Exit(1)
    console.print("All that the kit needs is there.")


@app.command(epilog="Example: xmkd run --dataset people --method soft_feature --seed 1 --set epochs=30 --out runs/one")
def run(
    dataset: Annotated[str, typer.Option(help="people, digits, emoji (see: xmkd data list)")] = "people",
    method: Annotated[
        str, typer.Option(help="none, soft_feature, ..., a loss's name, or a list of terms as JSON")
    ] = "soft",
    seed: Annotated[int, typer.Option(help="data, initial weights, batch order")] = 0,
    preset: Annotated[str, typer.Option(help="smoke, demo or full")] = "demo",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="any other setting, value as JSON; repeatable"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for result.json and the student's weights")] = None,
) -> None:
    """Train one student by one method and print its metrics at the last and the validation-chosen epoch."""
    from xmkd_lib import Experiment
    from xmkd_lib import run as run_experiment
    from xmkd_lib.objective import describe

    named = _assignments([f"method={method}"]) if method.startswith("[") else {"method": method}
    chosen = {"dataset": dataset, **named, "seed": seed, **_assignments(assignments or [])}
    experiment = Experiment.preset(preset, **chosen)
    console.print(describe(experiment.terms()), highlight=False)
    if not console.is_terminal:  # which shows no spinner
        console.print("data, teacher, reference ...")
    with console.status("data, teacher, reference ..."):
        result = run_experiment(experiment, out, on_epoch=_print_epoch(experiment.epochs))
    table = Table("metric", "last epoch", f"epoch {int(result.metrics['best_epoch'])}, chosen on validation", box=None)
    for name, value in result.metrics.items():
        if f"{name}_best" in result.metrics:
            table.add_row(name, f"{value:.4f}", f"{result.metrics[f'{name}_best']:.4f}")
        elif name.startswith(("margin", "teacher_test")):
            table.add_row(name, f"{value:.4f}", "")
    console.print(table)
    if "auto_margin_seconds" in result.timings:
        seconds = {name: result.timings.get(f"{name}_seconds", 0) for name in ("auto_margin", "reference")}
        console.print(
            "Auto margin: measured in {auto_margin:.1f} s, from a reference student of {reference:.1f} s "
            "(0.0: cached).".format(**seconds),
            highlight=False,
        )
    if experiment.dataset == "people":
        console.print("These people are synthetic: generated faces and voices.")
    if out is not None:
        console.print(f"Written: {out / 'result.json'} and {out / 'checkpoint'}", highlight=False)


@app.command(epilog="Example: xmkd settings")
def settings() -> None:
    """List every setting of an experiment with its default: what --set, a sweep's grid and Experiment take."""
    from xmkd_lib import Experiment

    table = Table("setting", "default", "", box=None)
    for name, field in Experiment.model_fields.items():
        table.add_row(name, escape(json.dumps(field.default)), escape(field.description or ""))
    console.print(table)


@app.command(epilog="Example: xmkd losses --markdown")
def losses(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="formulas, cost and sources too, as in xmkd_lib/losses/README.md")
    ] = False,
) -> None:
    """List every loss: what it compares, whether it takes a margin, and what it needs."""
    from xmkd_lib.losses import table

    if markdown:
        print(table.markdown())
        return
    columns = [table.COLUMNS.index(name) for name in ("loss", "level", "constraint", "needs")]
    shown = Table(*(table.COLUMNS[column] for column in columns), box=None)
    for row in table.rows():
        shown.add_row(*(escape(row[column]) for column in columns))
    console.print(shown)


@sweeps.command("run", epilog="Example: xmkd sweep run notebooks/sweeps/quick.yaml --workers 2")
def sweep_run(
    spec: Annotated[Path, typer.Argument(help="a YAML specification, see notebooks/sweeps/")],
    workers: Annotated[int | None, typer.Option(min=1, help="runs at a time")] = None,
    preset: Annotated[str | None, typer.Option(help="smoke, demo or full, instead of the specification's")] = None,
    out: Annotated[Path | None, typer.Option(help="the sweep's folder; runs/<name> if not given")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan and how long it may take")] = False,
    timeout: Annotated[float | None, typer.Option(min=0, help="seconds that a run may take")] = None,
    retry_failed: Annotated[
        int, typer.Option(min=0, metavar="N", help="try each failed run up to N times more, after the others")
    ] = 0,
    max_failures: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="start no further run after N failures")
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="the same as --max-failures 1")] = False,
    force: Annotated[bool, typer.Option("--force", help="run everything again; old attempts are kept")] = False,
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="keep finished runs of other code or another notebook")
    ] = False,
    rerun_changed: Annotated[bool, typer.Option("--rerun-changed", help="run those again")] = False,
    runs_per_gpu: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N runs at a time on each CUDA device")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="tcp://host:port or the scheduler file of a dask cluster")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="local:N", help="start a dask cluster of N workers here")
    ] = None,
) -> None:
    """Run what is missing of a sweep, then print its table and write report.html and results.csv.

    Ctrl-C keeps finished runs; the same command goes on where it stopped: failed, killed and damaged runs are run
    again, valid ones never.
    """
    from xmkd_lib.sweep.live import Options, run_sweep, show_plan
    from xmkd_lib.sweep.spec import Sweep

    if accept_changed and rerun_changed:
        raise UserError("--accept-changed and --rerun-changed exclude each other. Give one.")
    if scheduler and cluster:
        raise UserError("--scheduler and --cluster exclude each other. Give one.")
    if cluster and not cluster.startswith("local:"):
        raise UserError(f"--cluster {cluster}: write local:N; for a cluster that runs already give --scheduler.")
    instead = {name: value for name, value in (("preset", preset), ("timeout", timeout)) if value is not None}
    sweep = Sweep.read(spec, **instead)
    folder = out or Path("runs") / sweep.name
    options = Options(
        workers=workers,
        runs_per_gpu=runs_per_gpu,
        force=force,
        accept_changed=accept_changed,
        rerun_changed=rerun_changed,
        retry_failed=retry_failed,
        max_failures=1 if fail_fast else max_failures,
        cluster=scheduler or cluster,
    )
    if dry_run:
        show_plan(sweep, folder, console, options)
        return
    if not run_sweep(sweep, folder, console, options):
        raise typer.Exit(1)


@sweeps.command("status", epilog="Example: xmkd sweep status runs/quick --watch")
def sweep_status(
    folder: Annotated[Path, typer.Argument(help="a sweep's folder")],
    watch: Annotated[bool, typer.Option("--watch", help="go on until the sweep has ended")] = False,
) -> None:
    """Say what a sweep is doing, from another terminal: done, running with the last figures, failed, time left."""
    from xmkd_lib.sweep.status import show

    show(folder, console, watch)


@sweeps.command("report", epilog="Example: xmkd sweep report runs/quick")
def sweep_report(folder: Annotated[Path, typer.Argument(help="a sweep's folder")]) -> None:
    """Write report.html and results.csv from the runs that are finished, and print the table; also in mid-sweep."""
    from xmkd_lib.sweep.live import report_sweep

    report_sweep(folder, console)


@datasets.command("list", epilog="Example: XMKD_DATA=~/data xmkd data list")
def data_list() -> None:
    """List the data sets and whether the real data they read is there."""
    from xmkd_lib import data
    from xmkd_lib.data import sources

    for name in data.names():
        console.print(
            f"[bold]{name}[/]  {escape((data.registry[name].__doc__ or '').splitlines()[0])}", highlight=False
        )
    console.print(f"Real data is looked for in: {', '.join(map(str, sources.folders()))}", highlight=False)
    for name in sources.SOURCES:
        try:
            console.print(f"  {name}: {sources.find(name)}", highlight=False)
        except UserError as error:
            console.print(f"  {name}: {escape(str(error))}", highlight=False)


Notebooks = Annotated[Path | None, typer.Option("--notebooks", help="their folder, if not the clone's")]


@books.command("solutions", epilog="Example: xmkd notebooks solutions --out solved")
def notebooks_solutions(
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("solved"), source: Notebooks = None
) -> None:
    """Write all notebooks with their exercises solved, for the lecturer."""
    _write_notebooks(source, out, solved=True)


@books.command("students", epilog="Example: xmkd notebooks students --out class")
def notebooks_students(
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("class"), source: Notebooks = None
) -> None:
    """Write all notebooks with stubs to fill in and no solution anywhere in the file, for the class."""
    _write_notebooks(source, out, solved=False)


def _write_notebooks(source: Path | None, out: Path, solved: bool) -> None:
    from xmkd_lib import notebooks

    for path, count in notebooks.write_version(source or notebooks.folder(), out, solved):
        console.print(f"{path}: {count} exercise{'' if count == 1 else 's'}", highlight=False, soft_wrap=True)


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as settings; a value that is no JSON is taken as text."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair!r}: write NAME=VALUE, for example --set epochs=30.")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def _print_epoch(epochs: int) -> Any:
    def show(row: dict[str, float]) -> None:
        name = "accuracy" if "val_accuracy" in row else "EER"
        console.print(
            f"epoch {row['epoch']:>3.0f}/{epochs}  cross-entropy {row['loss_ce']:.3f}  "
            f"{name}: train {row[f'train_{name.lower()}']:.3f}, val {row[f'val_{name.lower()}']:.3f}  "
            f"distance to teacher: train {row['train_distance']:.2f}, val {row['val_distance']:.2f}",
            highlight=False,
        )

    return show


if __name__ == "__main__":
    main()
