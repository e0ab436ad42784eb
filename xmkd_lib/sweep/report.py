"""A sweep's page: one HTML file that opens offline, and the table behind it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import bootstrap_interval, p_floor, paired_difference
from xmkd_lib.records import write_atomically
from xmkd_lib.sweep.claims import EPOCHS, Finding, examine
from xmkd_lib.sweep.table import (
    BASELINES,
    ORDER,
    Condition,
    Run,
    Unit,
    by_seed,
    counterpart,
    lower_is_better,
    read_runs,
    split,
    summary,
    tabulate,
    tabulate_curves,
    unit,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNFINISHED = ("queued", "running")
MAIN = ("train_eer", "test_eer", "train_accuracy", "test_accuracy", "train_distance", "test_distance")


def write_report(
    folder: str | Path,
    title: str | None = None,
    baselines: Sequence[str] = BASELINES,
    order: Sequence[str] = ORDER,
    primary_metric: str | None = None,
) -> Path:
    """Write `results.csv` and `report.html` into a sweep's folder, each whole or not at all; returns the page.

    Works at any moment of a sweep: what is missing is left out and said. primary_metric: a test metric at the
    last epoch, `test_eer` where there is one, else `test_accuracy`. UserError on an unknown folder or metric.
    """
    from jinja2 import Environment, StrictUndefined

    folder = Path(folder)
    runs = read_runs(folder)
    frame = tabulate(runs)
    metric = _primary(frame, primary_metric)
    curves = tabulate_curves(runs)
    write_atomically(folder / "results.csv", frame.to_csv(index=False))
    page = {
        "title": title or folder.resolve().name,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "states": Counter(run.state for run in runs),
        "synthetic": any(run.settings.get("dataset") == "people" for run in runs),
        "datasets": sorted({str(run.settings["dataset"]) for run in runs if "dataset" in run.settings}),
        "unfinished": [run for run in runs if run.state in UNFINISHED],
        "failures": [run for run in runs if run.result is None and run.state not in UNFINISHED],
        "runs": [_run_row(run, metric) for run in runs],
        "metric": unit(metric),
        "finished": len(frame),
    }
    if len(frame):
        page |= _findings(frame, curves, metric, baselines, order) | _circumstances(runs)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    return write_atomically(folder / "report.html", template.render(page))


def verdict(findings: Sequence[Finding], frame: pd.DataFrame, metric: str) -> list[str]:
    """The sweep in plain sentences, made from the numbers: what the claims came to, and how sure that is."""
    how, sentences = unit(metric), []
    for epoch, name in EPOCHS.items():
        tested = [f for f in findings if f.epoch == epoch and f.verdict != "not tested"]
        if not tested:
            continue
        found = Counter(f.verdict for f in tested)
        start = f"At the {name}, {found['supported']} of {len(tested)} tested claims are supported"
        parts = [
            f"{found[word]} {word} ({'; '.join(_clause(f, how) for f in tested if f.verdict == word)})"
            for word in ("supported", "contradicted", "not shown")
            if found[word]
        ]
        sentences.append(f"{start}: {', '.join(parts)}." if found else f"{start}.")
    absent = sorted({f.claim.text for f in findings} - {f.claim.text for f in findings if f.verdict != "not tested"})
    if absent:
        sentences.append(f"Not tested for want of finished runs on common seeds: {'; '.join(absent)}.")
    return [*sentences, *_early_stopping(frame, metric), *_caution(findings, frame)]


def _clause(finding: Finding, how: Unit) -> str:
    d = finding.difference
    where = f" [{', '.join(f'{k}={v}' for k, v in finding.condition.settings)}]" if finding.condition.settings else ""
    return f"{finding.claim.text}{where}, {how.change(d.mean)} {how.step}".rstrip()


def _early_stopping(frame: pd.DataFrame, metric: str) -> list[str]:
    """What choosing the epoch alone gives without distillation: every regulariser must be measured against it."""
    how, sentences = unit(metric), []
    for condition, rows in split(frame).items():
        d = paired_difference(by_seed(rows, f"{metric}_best"), by_seed(rows, metric))
        if condition.method == "none" and d.n:
            sentences.append(
                f"Without distillation ({condition}), choosing the epoch on validation data alone changes {how.label} by "
                f"{how.change(d.mean)} {how.step} {how.interval(d.low, d.high, signed=True)}: hold the differences at "
                "the last epoch against that."
            )
    return sentences


def _caution(findings: Sequence[Finding], frame: pd.DataFrame) -> list[str]:
    counts = sorted({f.difference.n for f in findings if f.difference.n})
    if not counts:
        return []
    n = counts[0]
    if n == 1:
        return ["One common seed gives no interval: nothing can be shown yet."]
    weak = sum(f.verdict in ("supported", "contradicted") and f.holm > 0.05 for f in findings)
    text = [f"Intervals are 95 % over seeds. With {n} common seeds no p value can fall below {p_floor(n):.2g}."]
    if n < 10:
        text.append("With fewer than 10 seeds these intervals are too narrow: read them as a first look.")
    if weak:
        text.append(f"{weak} of the verdicts rest on the interval alone: their Holm-corrected p exceeds 0.05.")
    return text


def _primary(frame: pd.DataFrame, wanted: str | None) -> str:
    if wanted is None:
        return next((name for name in ("test_eer", "test_accuracy") if name in frame), "test_eer")
    lower_is_better(wanted)
    if len(frame) and wanted not in frame:
        raise UserError(f"No finished run has the metric {wanted!r}. There are: {', '.join(_metrics(frame))}.")
    return wanted


def _metrics(frame: pd.DataFrame) -> list[str]:
    others = {"method", "seed", "seconds", "run", *frame.attrs["settings"]}
    return [name for name in frame if name not in others]


def _findings(
    frame: pd.DataFrame, curves: pd.DataFrame, metric: str, baselines: Sequence[str], order: Sequence[str]
) -> dict[str, Any]:
    groups = split(frame, order)
    findings = examine(frame, metric)
    epochs = {suffix: name for suffix, name in EPOCHS.items() if metric + suffix in frame}
    stems = [stem for stem in dict.fromkeys((*MAIN, metric)) if stem in frame or f"{stem}_best" in frame]
    return {
        "verdict": verdict(findings, frame, metric),
        "claims": [_claim_row(finding, unit(metric)) for finding in findings],
        "epochs": list(epochs.values()),
        "main_units": [unit(stem) for stem in stems],
        "main_rows": [_main_row(condition, rows, stems, epochs, metric) for condition, rows in groups.items()],
        "absent": [name for name in baselines if not (frame.method == name).any()],
        "pairs": _pair_rows(frame, metric, baselines, order, epochs),
        "figures": _figures(frame, curves, metric, baselines, order, epochs),
    }


def _claim_row(finding: Finding, how: Unit) -> dict[str, Any]:
    d, distance = finding.difference, finding.distance
    row = {
        "text": finding.claim.text,
        "versus": f"{finding.condition} − {finding.claim.baseline}",
        "epoch": EPOCHS[finding.epoch],
        "verdict": finding.verdict,
        "change": _with_interval(how, d.mean, d.low, d.high),
        "n": d.n,
        "p": _p(finding.p),
        "holm": _p(finding.holm),
        "distance": None,
    }
    if distance is not None and distance.n:
        row["distance"] = _with_interval(unit("train_distance"), distance.mean, distance.low, distance.high)
    return row


def _main_row(
    condition: Condition, rows: pd.DataFrame, stems: Sequence[str], epochs: Iterable[str], metric: str
) -> dict[str, Any]:
    cells = []
    for suffix in epochs:
        for place, stem in enumerate(stems):
            values, how = list(by_seed(rows, stem + suffix).values()), unit(stem)
            mean = sum(values) / len(values) if values else float("nan")
            interval = how.interval(*bootstrap_interval(values))
            cells.append({"mean": how.value(mean), "interval": interval, "first": place == 0, "primary": stem == metric})
    return {"condition": condition, "n": len(rows), "cells": cells}


def _pair_rows(
    frame: pd.DataFrame, metric: str, baselines: Sequence[str], order: Sequence[str], epochs: dict[str, str]
) -> list[dict[str, Any]]:
    how, rows = unit(metric), []
    tables = {name: summary(frame, metric + suffix, baselines, order) for suffix, name in epochs.items()}
    for baseline in baselines:
        for place, condition in enumerate(split(frame, order)):
            for epoch, table in tables.items():
                row, key = table.iloc[place], f"minus_{baseline}"
                if key not in table or not row[f"{key}_n"] > 0:
                    continue
                rows.append(
                    {
                        "condition": condition,
                        "baseline": baseline,
                        "epoch": epoch,
                        "change": _with_interval(how, row[key], row[f"{key}_low"], row[f"{key}_high"]),
                        "n": int(row[f"{key}_n"]),
                        "unpaired": row[f"{key}_unpaired"],
                        "p": _p(row[f"{key}_p"]),
                        "holm": _p(row[f"{key}_holm"]),
                        "floor": _p(row[f"{key}_p_floor"]),
                    }
                )
    return rows


def _with_interval(how: Unit, mean: float, low: float, high: float) -> dict[str, str]:
    return {"mean": how.change(mean), "interval": how.interval(low, high, signed=True)}


def _p(p: float) -> str:
    return "–" if pd.isna(p) else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _figures(
    frame: pd.DataFrame,
    curves: pd.DataFrame,
    metric: str,
    baselines: Sequence[str],
    order: Sequence[str],
    epochs: dict[str, str],
) -> dict[str, list[dict[str, str]]]:
    """Figures by section, each as a data address with its alternative text."""
    from xmkd_lib import plots

    groups, how = split(frame, order), unit(metric)
    found: dict[str, list[Figure]] = {"paired": [], "gap": [], "curves": []}
    for baseline in baselines:
        panels = {
            name: {
                label: list(values.values())
                for label, values in _differences(groups, metric + suffix, baseline, how.factor).items()
            }
            for suffix, name in epochs.items()
        }
        if any(panels.values()):
            axis = f"difference in {how.label} ({how.step})" if how.step else f"difference in {how.label}"
            found["paired"].append(plots.paired(panels, baseline, axis, lower_is_better(metric)))
    first = next((base for base in baselines if (frame.method == base).any()), None)
    if first and (cells := _differences(groups, metric, first, how.factor)):
        table = pd.DataFrame.from_dict({str(label): values for label, values in cells.items()}, orient="index")
        axis = f"{how.label} − {first}, last epoch"
        found["paired"].append(plots.seed_map(table.sort_index(axis=1), axis, lower_is_better(metric)))
    if gaps := _gaps(groups, metric, epochs):
        found["gap"].append(plots.gap(gaps))
    found["curves"] = [
        plots.curves(series, axis, reference="none") for axis, series in _series(curves, metric, order).items()
    ]
    return {
        name: [{"uri": plots.data_uri(figure), "alt": plots.alt_text(figure)} for figure in figures]
        for name, figures in found.items()
    }


def _differences(
    groups: dict[Condition, pd.DataFrame], metric: str, baseline: str, factor: float
) -> dict[str, dict[int, float]]:
    """Per condition, seed to difference from the baseline in the metric's unit."""
    found = {}
    for condition, rows in groups.items():
        other = counterpart(condition, baseline, groups)
        if other in (None, condition):
            continue
        values, base = by_seed(rows, metric), by_seed(groups[other], metric)
        differences = {seed: factor * (values[seed] - base[seed]) for seed in sorted(values.keys() & base.keys())}
        if differences:
            found[str(condition)] = differences
    return found


def _gaps(groups: dict[Condition, pd.DataFrame], metric: str, epochs: dict[str, str]) -> dict:
    panels = {}
    for suffix, epoch in epochs.items():
        for test in (metric, "test_distance"):
            how = unit(test.removeprefix("test_"))
            pairs = {}
            for condition, rows in groups.items():
                sides = [by_seed(rows, name + suffix) for name in (test.replace("test_", "train_", 1), test)]
                if all(sides):
                    pairs[str(condition)] = tuple([how.factor * v for v in side.values()] for side in sides)
            if pairs:
                panels[epoch, how.axis] = pairs
    return panels


def _series(curves: pd.DataFrame, metric: str, order: Sequence[str]) -> dict[str, dict]:
    """Axis -> condition -> line -> (epoch x seed) table."""
    stem = metric.removeprefix("test_")
    wanted = [
        (unit(stem), {"validation": f"val_{stem}", "training": f"train_{stem}"}),
        (unit("distance"), {"validation": "val_distance", "training": "train_distance"}),
    ]
    groups, found = split(curves, order), {}
    for how, lines in wanted:
        series = {}
        for condition, rows in groups.items():
            tables = {
                line: rows.pivot_table(index="epoch", columns="seed", values=name) * how.factor
                for line, name in lines.items()
                if name in rows and rows[name].notna().any()
            }
            if tables:
                series[str(condition)] = tables
        if series:
            found[how.axis] = series
    return found


def _circumstances(runs: Sequence[Run]) -> dict[str, Any]:
    """Settings and environment of the finished runs: one value where all agree, else every value."""
    done = [run.result for run in runs if run.result]
    return {
        "settings": _shared([result.settings for result in done]),
        "environment": _shared([result.environment for result in done]),
    }


def _shared(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    names = sorted({name for row in rows for name in row})
    return [(name, ", ".join(dict.fromkeys(str(row.get(name, "–")) for row in rows))) for name in names]


def _run_row(run: Run, metric: str) -> dict[str, Any]:
    metrics = run.result.metrics if run.result else {}
    links = [
        {"text": text, "href": f"{quote(run.folder.name)}/{name}"}
        for text, name in (("notebook", "notebook.ipynb"), ("log", "log.txt"))
        if (run.folder / name).is_file()
    ]
    values = [unit(metric).value(metrics.get(name, float("nan"))) for name in (metric, f"{metric}_best")]
    seconds = f"{run.result.timings['seconds']:.0f}" if run.result and "seconds" in run.result.timings else "–"
    return {"run": run, "values": values, "seconds": seconds, "links": links}
