"""A sweep's page: one HTML file that opens offline, and the tables behind it."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from xmkd_lib.evaluation import bootstrap_interval
from xmkd_lib.records import write_atomically
from xmkd_lib.sweep.claims import EPOCHS, Finding, examine
from xmkd_lib.sweep.pictures import MOST, SECTIONS, draw
from xmkd_lib.sweep.reading import UNFINISHED, Reading, Run, read_folder
from xmkd_lib.sweep.table import Condition, Unit, by_seed, leaderboard, listed, split, unit
from xmkd_lib.sweep.words import caution, epochs_in, judged_by, notices, verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIN = ("train_eer", "test_eer", "train_accuracy", "test_accuracy", "train_distance", "test_distance")


def write_report(found: Reading | str | Path, metric: str | None = None) -> Path:
    """Write `report.html` and its tables into a sweep's folder, each whole or not at all; returns the page.

    `results.csv` and `results.parquet`: a row per finished run. `leaderboard.csv`: a row per condition and epoch. Works
    at any moment of a sweep: what is missing is left out and said. metric: what the verdict rests on, by default the
    plan's, else the data set's usual one. UserError on a folder without a valid plan, and on an unknown metric.
    """
    from jinja2 import Environment, StrictUndefined

    found = found if isinstance(found, Reading) else read_folder(found)
    metric = judged_by(found, metric)
    board = leaderboard(found.table, metric, found.plan.baselines) if len(found.finished) else pd.DataFrame()
    _write_tables(found, board)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    return write_atomically(found.folder / "report.html", template.render(_page(found, metric, board)))


def figures(found: Reading | str | Path, metric: str | None = None) -> dict[str, list[tuple["Figure", str]]]:
    """The page's figures with captions, by section: paired, margin, gap, curves. Empty while no run has finished."""
    found = found if isinstance(found, Reading) else read_folder(found)
    return draw(found, judged_by(found, metric))


def _write_tables(found: Reading, board: pd.DataFrame) -> None:
    results = found.finished.drop(columns="state")
    write_atomically(found.folder / "results.csv", results.to_csv(index=False))
    write_atomically(found.folder / "leaderboard.csv", board.to_csv(index=False))
    typed = results.infer_objects()
    for name in found.table.attrs["settings"]:
        if pd.api.types.infer_dtype(typed[name]).startswith("mixed"):  # such as 1.3 and "auto": Parquet wants one type
            typed[name] = typed[name].map(lambda value: value if value is None else str(value))
    buffer = io.BytesIO()
    typed.to_parquet(buffer, index=False)
    write_atomically(found.folder / "results.parquet", buffer.getvalue())


def _page(found: Reading, metric: str, board: pd.DataFrame) -> dict[str, Any]:
    """What the template shows."""
    runs, done = found.runs, len(found.finished)
    figures = draw(found, metric)
    page = {
        "title": found.plan.title,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "states": Counter(run.state for run in runs),
        "data": found.plan.dataset or found.plan.notebook,
        "notices": notices(found, metric),
        "smoke": found.plan.preset == "smoke",
        "own": found.plan.dataset is None,
        "eer": any("eer" in name.split("_") for name in found.table.attrs["metrics"]),
        "running": [run for run in runs if run.state == "running"],
        "failures": [_failure(run) for run in runs if run.state not in (*UNFINISHED, "ok")],
        "runs": _run_rows(found, metric),
        "metric": unit(metric),
        "finished": done,
        "too_many": MOST if len(split(found.table)) > MOST else 0,
        "figures": {
            section: [_picture(figure, caption) for figure, caption in figures[section]] for section in SECTIONS
        },
    }
    return page | _findings(found, metric, board) if done else page


def _findings(found: Reading, metric: str, board: pd.DataFrame) -> dict[str, Any]:
    frame, epochs = found.table, epochs_in(found.table, metric)
    judged = found.plan.dataset is not None and found.plan.preset != "smoke"
    findings = examine(frame, metric) if judged else []
    stems = _stems(found, metric)
    groups, seeds, finished = split(frame), set(frame.seed), set(found.finished.method)
    return {
        "verdict": verdict(findings, frame, metric) if judged else "",
        "caution": caution(findings),
        "claims": [_claim_row(finding, unit(metric)) for finding in _of_tested(findings)],
        "epochs": list(epochs.values()),
        "main_units": [unit(stem) for stem in stems],
        "main_rows": [_main_row(key, rows, seeds, stems, epochs, metric) for key, rows in groups.items()],
        "absent": [name for name in found.plan.baselines if name not in finished],
        "pairs": _pair_rows(board, list(groups), metric, found.plan.baselines, epochs),
        "settings": found.settings,
        "environment": found.environment,
    }


def _stems(found: Reading, metric: str) -> list[str]:
    """The metrics of the leaderboard: ours, or the judged one and a few others of a user's own notebook."""
    frame = found.table
    wanted = [stem for stem in dict.fromkeys((*MAIN, metric)) if "accuracy" not in stem or "test_accuracy" in frame]
    if found.plan.dataset is None:
        wanted = [metric, *(name for name in frame.attrs["metrics"] if not name.endswith("_best"))]
    present = dict.fromkeys(stem for stem in wanted if stem in frame or f"{stem}_best" in frame)
    return list(present)[: len(MAIN) + 1]


def _of_tested(findings: Sequence[Finding]) -> list[Finding]:
    """Both epochs of every claim and condition that was tested at one; the others are named in the verdict."""
    tested = {(f.claim, f.condition) for f in findings if f.verdict != "not tested"}
    return [f for f in findings if (f.claim, f.condition) in tested]


def _claim_row(finding: Finding, how: Unit) -> dict[str, Any]:
    d = finding.difference
    return {
        "text": finding.claim.text,
        "versus": f"{finding.condition} − {finding.claim.baseline}",
        "epoch": EPOCHS[finding.epoch],
        "verdict": finding.verdict,
        "change": _with_interval(how, d.mean, d.low, d.high),
        "n": d.n,
        "p": _p(finding.p),
        "holm": _p(finding.holm),
        "distances": [
            _with_interval(unit(name), distance.mean, distance.low, distance.high)
            for name, distance in finding.distances.items()
        ],
    }


def _main_row(
    condition: Condition,
    rows: pd.DataFrame,
    seeds: set[int],
    stems: Sequence[str],
    epochs: Iterable[str],
    metric: str,
) -> dict[str, Any]:
    cells = []
    for suffix in epochs:
        cells.append([])
        for stem in stems:
            values, how = list(by_seed(rows, stem + suffix).values()), unit(stem)
            mean = sum(values) / len(values) if values else float("nan")
            interval = how.interval(*bootstrap_interval(values))
            cells[-1].append({"mean": how.value(mean), "interval": interval, "primary": stem == metric})
    done = by_seed(rows, metric).keys()
    missing = listed(seeds - done)
    return {"condition": condition, "n": len(done), "planned": len(seeds), "missing": missing, "cells": cells}


def _pair_rows(
    board: pd.DataFrame, conditions: Sequence[Condition], metric: str, baselines: Sequence[str], epochs: Iterable[str]
) -> list[dict[str, Any]]:
    """A row per condition and baseline, with a group of cells per epoch."""
    how, rows = unit(metric), []
    tables = [board[board.metric == metric + suffix].reset_index(drop=True) for suffix in epochs]
    for key in (f"minus_{name}" for name in baselines if f"minus_{name}" in board):
        for place, condition in enumerate(conditions):
            found = [
                table.iloc[place].filter(like=key).rename(lambda name, key=key: name[len(key) :]) for table in tables
            ]
            if not any(row["_n"] > 0 for row in found):
                continue
            cells = [
                {
                    "change": _with_interval(how, row[""], row["_low"], row["_high"]),
                    "n": 0 if pd.isna(row["_n"]) else int(row["_n"]),
                    "p": _p(row["_p"]),
                    "holm": _p(row["_holm"]),
                }
                for row in found
            ]
            left_out, floor = found[0]["_unpaired"], _p(found[0]["_p_floor"])
            baseline = key.removeprefix("minus_")
            rows.append(
                {"condition": condition, "baseline": baseline, "cells": cells, "left_out": left_out, "floor": floor}
            )
    return rows


def _with_interval(how: Unit, mean: float, low: float, high: float) -> dict[str, str]:
    return {"mean": how.change(mean), "interval": how.interval(low, high, signed=True)}


def _p(p: float) -> str:
    return "–" if pd.isna(p) else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _picture(figure: "Figure", caption: str) -> dict[str, Any]:
    from xmkd_lib import plots
    from xmkd_lib.plots.theme import WIDTH

    share = figure.get_figwidth() / WIDTH
    return {"uri": plots.data_uri(figure), "alt": plots.alt_text(figure), "caption": caption, "share": share}


def _failure(run: Run) -> dict[str, Any]:
    attempts = run.folder / "attempts"
    numbers = range(1, run.attempt)
    earlier = [{"number": number, "links": _links(run, attempts / str(number))} for number in numbers]
    return {"run": run, "links": _links(run, run.folder), "earlier": [one for one in earlier if one["links"]]}


def _links(run: Run, folder: Path) -> list[dict[str, str]]:
    """Relative addresses of what a run, or an earlier attempt of it, left."""
    return [
        {"text": text, "href": quote((folder / name).relative_to(run.root).as_posix())}
        for text, name in (("notebook", "notebook.ipynb"), ("log", "log.txt"))
        if (folder / name).is_file()
    ]


def _run_rows(found: Reading, metric: str) -> Iterator[dict[str, Any]]:
    """A row per run, made as the page is written: there may be 10,000."""
    how = unit(metric)
    names = [metric + suffix for suffix in epochs_in(found.table, metric)]
    values = found.table.set_index("run")[names]
    for run, row in zip(found.runs, values.loc[[run.name for run in found.runs]].itertuples(index=False), strict=True):
        seconds = "–" if pd.isna(run.seconds) else f"{run.seconds:.0f}"
        memory = "–" if run.peak_memory is None else f"{run.peak_memory / 2**20:.0f}"
        cells = [how.value(value) for value in row]
        yield {"run": run, "values": cells, "seconds": seconds, "memory": memory, "links": _links(run, run.folder)}
