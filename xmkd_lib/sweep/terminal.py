"""A sweep's table on a terminal."""

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xmkd_lib.sweep.reading import Reading
from xmkd_lib.sweep.table import Unit, epochs_of, split, summary, unit
from xmkd_lib.sweep.words import judged_by, notices


def print_summary(console: Console, found: Reading) -> None:
    """Print the sweep's metric per condition at both epochs, with paired differences, and what to know before reading.

    Fits 100 columns. UserError where the metric is unknown.
    """
    if found.finished.empty:
        console.print("No run has finished yet.")
        return
    metric = judged_by(found)
    tables = {
        name: summary(found.table, column, found.plan.baselines)
        for name, column in epochs_of(metric).items()
        if column in found.table
    }
    baselines = [name for name in found.plan.baselines if any(f"minus_{name}" in table for table in tables.values())]
    console.print(_table(found.table, tables, unit(metric), baselines, "\n" if console.width < 100 else " "))
    absent = [name for name in found.plan.baselines if name not in baselines]
    if absent:
        console.print(f"No finished run of {', '.join(absent)}: differences to it are left out.", markup=False)
    for notice in notices(found, metric):
        console.print(f"{notice.head}. {notice.text}", markup=False, highlight=False)


def _table(frame: pd.DataFrame, tables: dict[str, pd.DataFrame], how: Unit, baselines: list[str], line: str) -> Table:
    """line: what stands between a mean and its interval."""
    shown = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=Text(f"{how.axis} with its 95 % interval over seeds, and paired differences"),
    )
    shown.add_column("condition", overflow="fold", min_width=min(15, max(len(name) for name in frame.method)))
    shown.add_column("epoch", no_wrap=True)
    shown.add_column("n", justify="right", no_wrap=True)
    for heading in (how.axis, *(f"− {name}" for name in baselines)):
        shown.add_column(Text(heading), justify="right", no_wrap=True)
    for place, condition in enumerate(split(frame)):
        for k, (name, table) in enumerate(tables.items()):
            row = table.iloc[place]
            n = str(row.n) if row.n == row.planned else f"{row.n}/{row.planned}"
            cells = ["" if k else str(condition), name, n, _written(how, row, "mean", "", line)]
            cells += [_written(how, row, f"minus_{base}", f"minus_{base}_", line, signed=True) for base in baselines]
            shown.add_row(*map(Text, cells), end_section=k == len(tables) - 1)
    return shown


def _written(how: Unit, row: pd.Series, key: str, prefix: str, line: str, signed: bool = False) -> str:
    if key not in row:
        return "–"
    mean = (how.change if signed else how.value)(row[key])
    return f"{mean}{line}{how.interval(row[f'{prefix}low'], row[f'{prefix}high'], signed)}".strip()
