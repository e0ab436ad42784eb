"""What a sweep's table says about each condition: means, intervals, paired differences, seeds that are missing."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.evaluation import bootstrap_interval, holm, paired_difference

BASELINES = ("none", "hard_feature")
ORDER = (
    "none",
    "hard_feature",
    "soft_feature",
    "hard_classifier",
    "soft_classifier",
    "soft",
    "soft_quality",
    "soft_permuted",
    "soft_inverted",
    "soft_oracle",
)
# Settings of the constraint alone: a baseline that ignores them need not be run again for each of their values.
METHOD_SETTINGS = ("feature_", "classifier_", "margin_", "quality", "ce_quality", "kd_quality")
# Columns of a table that no setting and no metric may take.
RUN_COLUMNS = ("method", "seed", "state", "seconds", "run", "epoch")
SUMMARY_COLUMNS = ("metric", "n", "planned", "missing", "mean", "low", "high")
RESERVED = frozenset(RUN_COLUMNS + SUMMARY_COLUMNS)
LOWER = frozenset(
    ("eer", "error", "dcf", "distance", "loss", "seconds", "perplexity", "mse", "rmse", "mae", "nll", "wer", "cer")
)
HIGHER = frozenset(
    ("accuracy", "score", "f1", "auc", "auroc", "recall", "precision", "map", "r2", "bleu", "correlation")
)


class Condition(NamedTuple):
    """What is averaged over seeds: a method, at one value of every setting that the sweep varies."""

    method: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def where(self) -> str:
        """The settings in words, without the method and what is not set."""
        return " · ".join(f"{name.rpartition('.')[2]}={value}" for name, value in self.settings if value is not None)

    def __str__(self) -> str:
        return " · ".join(filter(None, [self.method, self.where]))


def split(frame: pd.DataFrame) -> dict[Condition, pd.DataFrame]:
    """The table's rows by condition; presets in their usual order, other methods behind by name."""
    varying = frame.attrs.get("settings", [])
    values = frame[["method", *varying]].itertuples(index=False, name=None)
    keys = [Condition(method, tuple(zip(varying, settings, strict=True))) for method, *settings in values]
    ranks = {method: rank for rank, method in enumerate(ORDER)}

    def rank(key: Condition) -> tuple:
        return ranks.get(key.method, len(ranks)), key.method, [_sortable(value) for _, value in key.settings]

    rows: dict[Condition, list[int]] = {key: [] for key in sorted(set(keys), key=rank)}
    for row, key in enumerate(keys):
        rows[key].append(row)
    bare = frame.copy(deep=False)
    bare.attrs = {}  # pandas copies them with every part, which takes its time with 1,000 conditions
    return {key: bare.iloc[positions] for key, positions in rows.items()}


def by_seed(rows: pd.DataFrame, metric: str) -> dict[int, float]:
    """Seed to value, of the rows that have the metric."""
    if metric not in rows:
        return {}
    pairs = zip(rows["seed"].tolist(), rows[metric].tolist(), strict=True)
    return {seed: value for seed, value in pairs if not math.isnan(value)}


def counterpart(condition: Condition, method: str, known: Iterable[Condition]) -> Condition | None:
    """The condition of another method that `condition` may fairly be compared with, or None.

    Equal in every varying setting; failing that, the only one that differs in settings of the constraint alone.
    """

    def world(candidate: Condition) -> dict[str, Any]:
        return {name: value for name, value in candidate.settings if not name.startswith(METHOD_SETTINGS)}

    exact = Condition(method, condition.settings)
    alike = [other for other in known if other.method == method and world(other) == world(condition)]
    return exact if exact in alike else alike[0] if len(alike) == 1 else None


def summary(frame: pd.DataFrame, metric: str, baselines: Sequence[str] = BASELINES) -> pd.DataFrame:
    """A row per condition: n, planned and missing seeds, mean, 95 % interval, differences to each baseline.

    Planned are the seeds of the whole table: one that no condition has finished is missing in all.
    frame: a row per planned run, nan where it has no value (`collect`). For a baseline b the columns `minus_b`,
    `minus_b_low`, `minus_b_high`, `minus_b_n`, `minus_b_p`, `minus_b_holm`, `minus_b_p_floor` and `minus_b_unpaired`
    (seeds that only one side has, left out). Holm's correction runs over all differences of this metric. A baseline
    without a finished run has no columns; a baseline is itself compared with earlier baselines only. UserError on an
    unknown metric.

    >>> frame = pd.DataFrame({"method": ["none", "soft"] * 2, "seed": [0, 0, 1, 1], "test_eer": [0.2, 0.1, 0.4, 0.2]})
    >>> summary(frame, "test_eer")[["method", "n", "mean", "minus_none"]].round(2).values.tolist()
    [['none', 2, 0.3, nan], ['soft', 2, 0.15, -0.15]]
    """
    if metric not in frame:
        raise unknown_name("metric", metric, frame.attrs.get("metrics", frame.columns))
    groups = split(frame)
    values = {condition: by_seed(rows, metric) for condition, rows in groups.items()}
    present = [name for name in baselines if any(values[key] for key in groups if key.method == name)]
    rows = [_row(condition, set(frame.seed), groups, values, present) for condition in groups]
    columns = [*_leading(frame), *(f"minus_{name}{part}" for name in present for part in _PARTS)]
    table = pd.DataFrame(rows, columns=columns)
    tested = [f"minus_{name}_p" for name in present]
    adjusted = holm(table[tested].to_numpy(dtype=float).ravel()).reshape(len(table), -1)
    for place, name in enumerate(present):
        table[f"minus_{name}_holm"] = adjusted[:, place]
    return table


def leaderboard(frame: pd.DataFrame, metric: str, baselines: Sequence[str] = BASELINES) -> pd.DataFrame:
    """`summary` of a metric at the last and at the validation-chosen epoch, one below the other; `metric` comes first.

    Empty while no run has finished. UserError on an unknown metric.
    """
    if frame.empty or ("state" in frame and not (frame.state == "ok").any()):
        return pd.DataFrame(columns=["metric", *_leading(frame)])
    names = [name for name in epochs_of(metric).values() if name in frame] or [metric]
    tables = [summary(frame, name, baselines) for name in names]
    for name, table in zip(names, tables, strict=True):
        table.insert(0, "metric", name)
    return pd.concat(tables, ignore_index=True)


def paired_table(board: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The columns of a `leaderboard` that compare with a baseline: mean, low, high, n, holm; no row where none does.

    Rows are named by metric, method and the settings that vary.
    """
    parts = {f"minus_{baseline}{part}": part.strip("_") or "mean" for part in ("", "_low", "_high", "_n", "_holm")}
    if not parts.keys() <= set(board):
        return pd.DataFrame(columns=list(parts.values()))
    leading = list(board.columns[: list(board.columns).index("n")])
    found = board.set_index(leading)[list(parts)].rename(columns=parts)
    return found.dropna(subset="mean")


def unbalanced(frame: pd.DataFrame, metric: str) -> tuple[str, str] | None:
    """Which conditions lack which planned seeds of a metric: a heading and a sentence, or None where none does.

    >>> frame = pd.DataFrame({"method": ["a", "a", "b", "b"], "seed": [0, 1] * 2, "test_eer": [0.2, None, 0.1, 0.1]})
    >>> unbalanced(frame, "test_eer")[1]
    'a lacks seed 1. Means are over different seeds; differences are over common seeds alone.'
    """
    seeds, lacking = set(frame.seed), {}
    for condition, rows in split(frame).items():
        missing = tuple(sorted(seeds - by_seed(rows, metric).keys()))
        lacking.setdefault(missing, []).append(str(condition))
    parts = [
        f"{_some(names)} lack{'s' if len(names) == 1 else ''} seed{'s' if len(missing) > 1 else ''} {listed(missing)}"
        for missing, names in lacking.items()
        if missing
    ]
    if not parts:
        return None
    if len(lacking) == 1:
        return "Seeds are missing", f"{parts[0]}, planned but not finished."
    balance = "Means are over different seeds; differences are over common seeds alone."
    return "Unbalanced seeds", f"{'; '.join(parts)}. {balance}"


def listed(seeds: Iterable[int]) -> str:
    """Seeds in order, runs of three and more as a range.

    >>> listed([3, 0, 1, 2, 7])
    '0 to 3, 7'
    """
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    parts = [[f"{span[0]} to {span[-1]}"] if len(span) > 2 else map(str, span) for span in spans]
    return ", ".join(text for part in parts for text in part)


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better, by the words of its name. UserError where neither is.

    >>> lower_is_better("test_eer_best"), lower_is_better("macro_f1")
    (True, False)
    """
    words = set(metric.lower().split("_"))
    if words & HIGHER:
        return False
    if words & LOWER:
        return True
    raise UserError(
        f"Metric {metric!r}: its name does not tell whether more or less is better. Rename it (as in "
        f"'test_score') so that one of its words is, for less, {', '.join(sorted(LOWER))}; or, for more, "
        f"{', '.join(sorted(HIGHER))}."
    )


class Unit(NamedTuple):
    """How a metric is written: its words, factor, unit, unit of a difference, and decimals."""

    label: str
    factor: float
    unit: str
    step: str
    digits: int

    def value(self, value: float) -> str:
        """A value in the metric's unit, without the unit."""
        return "–" if math.isnan(value) else f"{self.factor * value:.{self.digits}f}".replace("-", "−")

    def change(self, value: float) -> str:
        """A signed difference in the metric's unit."""
        return "–" if math.isnan(value) else f"{self.factor * value:+.{self.digits}f}".replace("-", "−")

    def interval(self, low: float, high: float, signed: bool = False) -> str:
        """An interval in brackets, or nothing where one seed gives none."""
        write = self.change if signed else self.value
        return "" if math.isnan(low) else f"[{write(low)}, {write(high)}]"

    @property
    def axis(self) -> str:
        """Label with unit, for an axis or a column."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def primary_metric(frame: pd.DataFrame) -> str:
    """The test metric that is judged by default: accuracy where every finished run has it (closed set), else EER."""
    done = frame[frame.state == "ok"] if "state" in frame else frame
    closed = "test_accuracy" in done and len(done) > 0 and bool(done.test_accuracy.notna().all())
    return "test_accuracy" if closed else "test_eer"


def unit(metric: str) -> Unit:
    """How to write a metric. An EER and an accuracy are shares in [0, 1], written in per cent.

    >>> unit("test_eer_best").axis, unit("test_eer").value(0.196)
    ('test EER (%)', '19.60')
    """
    words = metric.removesuffix("_best").replace("min_dcf_", "minDCF p=").replace("_", " ").split()
    label = " ".join({"eer": "EER", "val": "validation"}.get(word, word) for word in words)
    if {"eer", "accuracy"} & set(words):
        return Unit(label, 100, "%", "points", 2)
    return Unit(label, 1, "", "", 3)


def epochs_of(metric: str) -> dict[str, str]:
    """The two epochs' short names, and the metric's column at each."""
    return {"last": metric, "chosen": f"{metric}_best"}


_PARTS = ("", "_low", "_high", "_n", "_p", "_holm", "_p_floor", "_unpaired")


def _row(
    condition: Condition,
    seeds: set[int],
    groups: Mapping[Condition, pd.DataFrame],
    values: Mapping[Condition, dict[int, float]],
    baselines: Sequence[str],
) -> dict[str, Any]:
    own = values[condition]
    low, high = bootstrap_interval(list(own.values()))
    row = {"method": condition.method, **dict(condition.settings), "n": len(own), "planned": len(seeds)}
    row |= {"missing": listed(seeds - own.keys()), "mean": sum(own.values()) / len(own) if own else math.nan}
    row |= {"low": low, "high": high}
    for baseline in _compared_with(condition.method, baselines):
        other = counterpart(condition, baseline, groups)
        if other is not None:
            row |= _difference(f"minus_{baseline}", own, values[other])
    return row


def _leading(frame: pd.DataFrame) -> list[str]:
    return ["method", *frame.attrs.get("settings", []), "n", "planned", "missing", "mean", "low", "high"]


def _some(names: Sequence[str], shown: int = 6) -> str:
    """Names in words; of many the first few."""
    if len(names) > shown:
        return f"{', '.join(names[:shown])} and {len(names) - shown} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _compared_with(method: str, baselines: Sequence[str]) -> Sequence[str]:
    return baselines[: baselines.index(method)] if method in baselines else baselines


def _difference(key: str, values: Mapping[int, float], base: Mapping[int, float]) -> dict[str, Any]:
    d = paired_difference(values, base)
    numbers = (d.mean, d.low, d.high, d.n, d.p, math.nan, d.p_floor, listed(values.keys() ^ base.keys()))
    return {key + part: number for part, number in zip(_PARTS, numbers, strict=True)}


def plain(value: Any) -> str:
    """A value as text: what compares and shows nested ones."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def sorted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """A table's rows by method, varying settings and seed; numbers before words."""
    names = ["method", *frame.attrs.get("settings", []), "seed"]
    return frame.sort_values(names, key=_sort_key, ignore_index=True)


def _sortable(value: Any) -> tuple[int, float, str]:
    number = isinstance(value, int | float)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _sort_key(column: pd.Series) -> pd.Series:
    ranks = {value: rank for rank, value in enumerate(sorted({_sortable(value) for value in column}))}
    return column.map(lambda value: ranks[_sortable(value)]).astype(int)
