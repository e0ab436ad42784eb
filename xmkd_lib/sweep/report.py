"""A sweep's page: one HTML file that opens offline, and the table behind it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from xmkd_lib.errors import unknown_name
from xmkd_lib.evaluation import bootstrap_interval, p_floor, paired_difference
from xmkd_lib.records import write_atomically
from xmkd_lib.sweep.claims import EPOCHS, Finding, examine
from xmkd_lib.sweep.margins import margin_curves
from xmkd_lib.sweep.table import (
    BASELINES,
    ORDER,
    Condition,
    Run,
    Unit,
    by_seed,
    counterpart,
    lower_is_better,
    primary_metric,
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
GAP = (
    "Open marker: training. Filled marker: test. The pale bar between them is the gap, thin lines are 95 % intervals "
    "over seeds. A constraint that overfits pulls the open marker of the distance far to the left, not the filled one."
)
SUPPORTED = " tested claims of the paper are supported"
CURVES = "Mean over seeds with its 95 % band."
BEHIND = " Grey: the same lines without distillation."
MAIN = ("train_eer", "test_eer", "train_accuracy", "test_accuracy", "train_distance", "test_distance")


def write_report(
    folder: str | Path,
    title: str | None = None,
    baselines: Sequence[str] = BASELINES,
    order: Sequence[str] = ORDER,
    metric: str | None = None,
) -> Path:
    """Write `results.csv` and `report.html` into a sweep's folder, each whole or not at all; returns the page.

    Works at any moment of a sweep: what is missing is left out and said. metric: what the verdict rests on, a
    test metric at the last epoch; by default `primary_metric`'s choice. UserError on an unknown folder or metric.
    """
    from jinja2 import Environment, StrictUndefined

    folder = Path(folder)
    runs = read_runs(folder)
    frame = tabulate(runs)
    metric = _primary(frame, metric)
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


def figures(
    folder: str | Path,
    baselines: Sequence[str] = BASELINES,
    order: Sequence[str] = ORDER,
    metric: str | None = None,
) -> dict[str, list[tuple["Figure", str]]]:
    """The page's figures with captions, by section: paired, margin, gap, curves. Empty while no run has finished."""
    runs = read_runs(folder)
    frame = tabulate(runs)
    if frame.empty:
        return {}
    metric = _primary(frame, metric)
    return _figures(frame, tabulate_curves(runs), metric, baselines, order, _epochs(frame, metric))


def verdict(findings: Sequence[Finding], frame: pd.DataFrame, metric: str) -> str:
    """The sweep in one paragraph of plain words, made from the numbers: what became of the paper's claims."""
    tested = [f for f in findings if f.verdict != "not tested"]
    groups = {name: [f for f in tested if f.epoch == epoch] for epoch, name in EPOCHS.items()}
    groups = {name: group for name, group in groups.items() if group}
    counts = [(sum(f.verdict == "supported" for f in group), len(group), name) for name, group in groups.items()]
    tally = [f"{k} of {n}{SUPPORTED if place == 0 else ''} at the {name}" for place, (k, n, name) in enumerate(counts)]
    sentences = [f"Judged by {unit(metric).label}, {', '.join(tally)}."] if tally else []
    sentences += [_at(name, group, unit(metric)) for name, group in groups.items()]
    absent = dict.fromkeys(f.claim.text for f in findings if f.claim not in {f.claim for f in tested})
    if absent:
        sentences.append(f"Not tested, for want of finished runs on common seeds: {'; '.join(absent)}.")
    return " ".join([*sentences, *_early_stopping(frame, metric)])


def _at(epoch: str, tested: Sequence[Finding], how: Unit) -> str:
    parts = [
        f"{word}: {', '.join(clauses)}"
        for word in ("supported", "contradicted", "not shown")
        if (clauses := _clauses([f for f in tested if f.verdict == word], how))
    ]
    return f"At the {epoch}, {'; '.join(parts)}."


def _clauses(findings: Sequence[Finding], how: Unit) -> list[str]:
    """A claim each, with its difference, or the range of differences where it was tested in several conditions."""
    clauses = []
    for claim in dict.fromkeys(finding.claim for finding in findings):
        of = [finding for finding in findings if finding.claim == claim]
        changes = f"{_range(how, [f.difference.mean for f in of])} {how.step}".rstrip()
        if of[0].distance is not None:
            changes += f", train distance {_range(unit('train_distance'), [f.distance.mean for f in of])}"
        where = f" in {len(of)} conditions" if len(of) > 1 else f" with {of[0].condition.where}"
        clauses.append(f"“{claim.text}”{where if of[0].condition.settings else ''} ({changes})")
    return clauses


def _range(how: Unit, values: Sequence[float]) -> str:
    ends = dict.fromkeys(how.change(value) for value in (min(values), max(values)))
    return " to ".join(ends)


def _early_stopping(frame: pd.DataFrame, metric: str) -> list[str]:
    """What choosing the epoch alone gives without distillation: every regulariser must be measured against it."""
    how = unit(metric)
    found = [
        paired_difference(by_seed(rows, f"{metric}_best"), by_seed(rows, metric))
        for condition, rows in split(frame).items()
        if condition.method == "none"
    ]
    found = [difference for difference in found if difference.n]
    if not found:
        return []
    interval = how.interval(found[0].low, found[0].high, signed=True) if len(found) == 1 else ""
    change = " ".join(filter(None, [_range(how, [d.mean for d in found]), how.step, interval]))
    return [f"For scale: choosing the epoch alone, without distillation, changes {how.label} by {change}."]


def caution(findings: Sequence[Finding]) -> str:
    """How sure the verdict can be with these seeds."""
    counts = sorted({f.difference.n for f in findings if f.difference.n})
    if not counts:
        return ""
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts[-1] == 1:
        return "One common seed gives no interval: nothing can be shown yet."
    floor = f"{p_floor(counts[0]):.2g}"
    text = f"Intervals are over seeds; with {seeds} common seeds p cannot go below {floor}, before correction."
    if counts[0] < 10:
        text += " With fewer than 10 seeds the intervals are too narrow: take them as a first look."
    weak = sum(f.verdict in ("supported", "contradicted") and f.holm > 0.05 for f in findings)
    if weak:
        text += f" Verdicts that rest on the interval alone, with a Holm p above 0.05: {weak}."
    return text


def _primary(frame: pd.DataFrame, wanted: str | None) -> str:
    if wanted is None:
        return primary_metric(frame)
    lower_is_better(wanted)
    if len(frame) and wanted not in frame:
        others = {"method", "seed", "seconds", "run", *frame.attrs["settings"]}
        raise unknown_name("metric", wanted, (name for name in frame if name not in others))
    return wanted


def _epochs(frame: pd.DataFrame, metric: str) -> dict[str, str]:
    return {suffix: name for suffix, name in EPOCHS.items() if metric + suffix in frame}


def _picture(figure: "Figure", caption: str) -> dict[str, Any]:
    from xmkd_lib import plots
    from xmkd_lib.plots.theme import WIDTH

    share = figure.get_figwidth() / WIDTH
    return {"uri": plots.data_uri(figure), "alt": plots.alt_text(figure), "caption": caption, "share": share}


def _findings(
    frame: pd.DataFrame, curves: pd.DataFrame, metric: str, baselines: Sequence[str], order: Sequence[str]
) -> dict[str, Any]:
    groups = split(frame, order)
    findings = examine(frame, metric)
    epochs = _epochs(frame, metric)
    wanted = [stem for stem in dict.fromkeys((*MAIN, metric)) if "accuracy" not in stem or "test_accuracy" in frame]
    stems = [stem for stem in wanted if stem in frame or f"{stem}_best" in frame]
    return {
        "verdict": verdict(findings, frame, metric),
        "caution": caution(findings),
        "claims": [_claim_row(finding, unit(metric)) for finding in _of_tested(findings)],
        "epochs": list(epochs.values()),
        "main_units": [unit(stem) for stem in stems],
        "main_rows": [_main_row(condition, rows, stems, epochs, metric) for condition, rows in groups.items()],
        "absent": [name for name in baselines if not (frame.method == name).any()],
        "pairs": _pair_rows(frame, metric, baselines, order, epochs),
        "figures": {
            section: [_picture(figure, caption) for figure, caption in drawn]
            for section, drawn in _figures(frame, curves, metric, baselines, order, epochs).items()
        },
    }


def _of_tested(findings: Sequence[Finding]) -> list[Finding]:
    """Both epochs of every claim and condition that was tested at one; the others are named in the verdict."""
    tested = {(f.claim, f.condition) for f in findings if f.verdict != "not tested"}
    return [f for f in findings if (f.claim, f.condition) in tested]


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
        cells.append([])
        for stem in stems:
            values, how = list(by_seed(rows, stem + suffix).values()), unit(stem)
            mean = sum(values) / len(values) if values else float("nan")
            interval = how.interval(*bootstrap_interval(values))
            cells[-1].append({"mean": how.value(mean), "interval": interval, "primary": stem == metric})
    return {"condition": condition, "n": len(rows), "cells": cells}


def _pair_rows(
    frame: pd.DataFrame, metric: str, baselines: Sequence[str], order: Sequence[str], epochs: Iterable[str]
) -> list[dict[str, Any]]:
    """A row per condition and baseline, with a group of cells per epoch."""
    how, rows = unit(metric), []
    tables = [summary(frame, metric + suffix, baselines, order) for suffix in epochs]
    for key in (f"minus_{name}" for name in baselines if f"minus_{name}" in tables[0]):
        for place, condition in enumerate(split(frame, order)):
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


def _figures(
    frame: pd.DataFrame,
    curves: pd.DataFrame,
    metric: str,
    baselines: Sequence[str],
    order: Sequence[str],
    epochs: dict[str, str],
) -> dict[str, list[tuple["Figure", str]]]:
    """Figures by section, each with its caption."""
    from xmkd_lib import plots

    groups, how, lower = split(frame, order), unit(metric), lower_is_better(metric)
    found: dict[str, list[tuple[Figure, str]]] = {"paired": [], "margin": [], "gap": [], "curves": []}
    changed = {
        (baseline, suffix): differences
        for baseline in baselines
        for suffix in epochs
        if (differences := _differences(groups, metric + suffix, baseline, how.factor))
    }
    for baseline in dict.fromkeys(name for name, _ in changed):
        panels = {
            name: {label: list(values.values()) for label, values in changed.get((baseline, suffix), {}).items()}
            for suffix, name in epochs.items()
        }
        axis = f"difference in {how.label}" + (f" ({how.step})" if how.step else "")
        caption = f"Minus {baseline}. Small dots: one seed each. Large marker and bar: mean and 95 % interval."
        found["paired"].append((plots.paired(panels, baseline, axis, lower), caption))
    if changed:
        (baseline, suffix), cells = next(iter(changed.items()))
        table = pd.DataFrame.from_dict(cells, orient="index").sort_index(axis=1)
        figure = plots.seed_map(table, f"{how.label} − {baseline}" + (f" ({how.step})" if how.step else ""), lower)
        caption = f"Every seed at the {epochs[suffix]}, minus {baseline}. Orange: worse. Violet: better."
        found["paired"].append((figure, caption))
    for curve in margin_curves(frame, metric, epochs):
        figure = plots.margin_curve(curve.panels, curve.auto, curve.measured, how.axis, curve.method, curve.setting)
        found["margin"].append((figure, curve.verdict(how, lower)))
    if gaps := _gaps(groups, metric, epochs):
        found["gap"].append((plots.gap(gaps), GAP))
    behind = {key: counterpart(key, "none", groups) for key in groups}
    behind = {str(key): str(other) for key, other in behind.items() if other not in (None, key)}
    caption = CURVES + (BEHIND if behind else "")
    found["curves"] = [
        (plots.curves(series, axis, behind), caption) for axis, series in _series(curves, metric, order).items()
    ]
    return found


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
