"""A sweep's figures with their captions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from xmkd_lib.sweep.margins import margin_curves
from xmkd_lib.sweep.reading import Reading
from xmkd_lib.sweep.table import Condition, by_seed, counterpart, lower_is_better, split, unit
from xmkd_lib.sweep.words import epochs_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawn = list[tuple["Figure", str]]
MOST = 40  # conditions that a figure can still show
SECTIONS = ("paired", "margin", "gap", "curves")
GAP = (
    "Open marker: training. Filled marker: test. The pale bar between them is the gap, thin lines are 95 % intervals "
    "over seeds. A constraint that overfits pulls the open marker of the distance far to the left, not the filled one."
)
CURVES = "Mean over seeds with its 95 % band."
BEHIND = " Grey: the same lines without distillation."


def draw(found: Reading, metric: str) -> dict[str, Drawn]:
    """Figures with captions by section: paired, margin, gap, curves. Empty lists where there is nothing to show.

    More than `MOST` conditions are for the tables alone. Figures show finished runs.
    """
    frame = found.finished
    groups = split(frame)
    if not groups or len(groups) > MOST:
        return {section: [] for section in SECTIONS}
    epochs = epochs_in(frame, metric)
    return {
        "paired": _paired(groups, metric, found.plan.baselines, epochs),
        "margin": _margin(frame, metric, epochs),
        "gap": _gap(groups, metric, epochs),
        "curves": _curves(found.curves, groups, metric),
    }


def _paired(
    groups: dict[Condition, pd.DataFrame], metric: str, baselines: Sequence[str], epochs: dict[str, str]
) -> Drawn:
    from xmkd_lib import plots

    how, lower, drawn = unit(metric), lower_is_better(metric), []
    changed = {
        (baseline, suffix): differences
        for baseline in baselines
        for suffix in epochs
        if (differences := _differences(groups, metric + suffix, baseline, how.factor))
    }
    step = f" ({how.step})" if how.step else ""
    for baseline in dict.fromkeys(name for name, _ in changed):
        panels = {
            name: {label: list(values.values()) for label, values in changed.get((baseline, suffix), {}).items()}
            for suffix, name in epochs.items()
        }
        caption = f"Minus {baseline}. Small dots: one seed each. Large marker and bar: mean and 95 % interval."
        drawn.append((plots.paired(panels, baseline, f"difference in {how.label}{step}", lower), caption))
    if changed:
        (baseline, suffix), cells = next(iter(changed.items()))
        table = pd.DataFrame.from_dict(cells, orient="index").sort_index(axis=1)
        figure = plots.seed_map(table, f"{how.label} − {baseline}{step}", lower)
        caption = f"Every seed at the {epochs[suffix]}, minus {baseline}. Orange: worse. Violet: better."
        drawn.append((figure, caption))
    return drawn


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


def _margin(frame: pd.DataFrame, metric: str, epochs: dict[str, str]) -> Drawn:
    from xmkd_lib import plots

    how = unit(metric)
    return [
        (
            plots.margin_curve(curve.panels, curve.auto, curve.measured, how.axis, curve.method, curve.setting),
            curve.verdict(how, lower_is_better(metric)),
        )
        for curve in margin_curves(frame, metric, epochs)
    ]


def _gap(groups: dict[Condition, pd.DataFrame], metric: str, epochs: dict[str, str]) -> Drawn:
    """Training beside test, of metrics that have both."""
    from xmkd_lib import plots

    panels = {}
    for suffix, epoch in epochs.items():
        for test in dict.fromkeys((metric, "test_distance")):
            how = unit(test.removeprefix("test_"))
            pairs = {}
            for condition, rows in groups.items():
                names = (test.replace("test_", "train_", 1), test)
                sides = [by_seed(rows, name + suffix) for name in names]
                if names[0] != test and all(sides):
                    pairs[str(condition)] = tuple([how.factor * v for v in side.values()] for side in sides)
            if pairs:
                panels[epoch, how.axis] = pairs
    return [(plots.gap(panels), GAP)] if panels else []


def _curves(curves: pd.DataFrame, groups: Mapping[Condition, pd.DataFrame], metric: str) -> Drawn:
    from xmkd_lib import plots

    behind = {key: counterpart(key, "none", groups) for key in groups}
    behind = {str(key): str(other) for key, other in behind.items() if other not in (None, key)}
    caption = CURVES + (BEHIND if behind else "")
    return [(plots.curves(series, axis, behind), caption) for axis, series in _series(curves, metric).items()]


def _series(curves: pd.DataFrame, metric: str) -> dict[str, dict]:
    """Axis -> condition -> line -> (epoch x seed) table."""
    stem = metric.removeprefix("test_")
    wanted = [
        (unit(stem), {"validation": f"val_{stem}", "training": f"train_{stem}"}),
        (unit("distance"), {"validation": "val_distance", "training": "train_distance"}),
    ]
    groups, found = split(curves), {}
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
