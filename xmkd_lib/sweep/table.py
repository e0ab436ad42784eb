"""A sweep's finished runs as one tidy table, and what the table says about each condition."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.evaluation import bootstrap_interval, holm, paired_difference
from xmkd_lib.objective import Term
from xmkd_lib.records import Result, read_json

if TYPE_CHECKING:
    from rich.console import Console

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
METRICS = ("train_eer", "test_eer", "train_distance", "test_distance")
# Settings of the constraint alone: a baseline that ignores them need not be run again for each of their values.
METHOD_SETTINGS = ("feature_", "classifier_", "margin_", "quality", "ce_quality", "kd_quality")


@dataclass(frozen=True)
class Run:
    """One run's folder: its state (ok, failed, running, ...), the cause of a failure, and the result if ok."""

    folder: Path
    state: str
    reason: str | None
    method: str
    seed: int | None
    status: dict[str, Any]
    result: Result | None

    @property
    def settings(self) -> dict[str, Any]:
        """Settings as they ran, or for an unfinished run those its status names. A nested one is `outer.inner`."""
        return _flat(self.result.settings if self.result else self.status.get("settings") or self.status)


class Condition(NamedTuple):
    """What is averaged over seeds: a method, at one value of every setting that the sweep varies."""

    method: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def where(self) -> str:
        """The settings in words, without the method."""
        return " · ".join(f"{name.rpartition('.')[2]}={value}" for name, value in self.settings)

    def __str__(self) -> str:
        return " · ".join(filter(None, [self.method, self.where]))


def read_runs(folder: str | Path) -> list[Run]:
    """Every run folder of a sweep, in name order. A result that cannot be trusted makes its run `invalid`.

    Where the folder has a `plan.json`, runs outside the plan (of earlier settings) are left out. Of finished runs
    with equal settings (say, of two library versions) the newest counts, others become `superseded`. UserError where
    there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"No sweep folder {folder}. Start one with `xmkd sweep run`.")
    plan = folder / "plan.json"
    planned = set(read_json(plan)["runs"]) if plan.is_file() else None
    paths = [path for path in sorted(folder.iterdir()) if planned is None or path.name in planned]
    runs = [_read_run(path) for path in paths if (path / "status.json").is_file()]
    newest: dict[str, Run] = {}
    for run in (run for run in runs if run.result):
        key = _plain(run.settings)
        newest[key] = max(newest.get(key, run), run, key=lambda r: (r.folder / "result.json").stat().st_mtime)
    kept = {run.folder for run in newest.values()}
    return [
        run
        if run.result is None or run.folder in kept
        else Run(run.folder, "superseded", "a newer run has the same settings", run.method, run.seed, run.status, None)
        for run in runs
    ]


def collect(folder: str | Path) -> pd.DataFrame:
    """One row per finished run: method, seed, seconds, metrics, settings that vary in the sweep, run.

    EER and accuracy are shares in [0, 1]; `..._best` is the validation-chosen epoch, else the last one. Absent
    metrics are nan. `frame.attrs["settings"]` names the columns of varying settings.
    """
    return tabulate(read_runs(folder))


def collect_curves(folder: str | Path) -> pd.DataFrame:
    """One row per finished run and epoch: method, seed, varying settings, epoch, then every curve."""
    return tabulate_curves(read_runs(folder))


def tabulate(runs: Iterable[Run]) -> pd.DataFrame:
    """`collect` for runs that are read already."""
    done = [run for run in runs if run.result]
    varying = _varying(done)
    seconds = [float(run.result.timings.get("seconds", math.nan)) for run in done]
    columns = {"method": [run.method for run in done], "seed": [run.seed for run in done], "seconds": seconds}
    for metric in _metric_order({name for run in done for name in run.result.metrics}):
        columns[metric] = [float(run.result.metrics.get(metric, math.nan)) for run in done]
    columns |= {name: pd.Series([_cell(run, name) for run in done], dtype=object) for name in varying}
    frame = pd.DataFrame({**columns, "run": [run.folder.name for run in done]})
    frame = frame.sort_values(["method", *varying, "seed"], key=_sort_key, ignore_index=True)
    frame.attrs["settings"] = varying
    return frame


def tabulate_curves(runs: Iterable[Run]) -> pd.DataFrame:
    """`collect_curves` for runs that are read already."""
    done = [run for run in runs if run.result]
    varying, parts = _varying(done), []
    for run in done:
        part = pd.DataFrame(run.result.curves or {"epoch": []}, dtype=float)
        leading = {"method": run.method, "seed": run.seed, **{name: _cell(run, name) for name in varying}}
        for place, (name, value) in enumerate(leading.items()):
            part.insert(place, name, pd.Series([value] * len(part), dtype=object))
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["method", "seed", "epoch"])
    frame.attrs["settings"] = varying
    return frame


def split(frame: pd.DataFrame, order: Sequence[str] = ORDER) -> dict[Condition, pd.DataFrame]:
    """The table's rows by condition; methods in the given order, others behind by name."""
    varying = frame.attrs.get("settings", [])
    keys = [Condition(row["method"], tuple((name, row[name]) for name in varying)) for row in frame.to_dict("records")]
    ranks = {method: rank for rank, method in enumerate(order)}

    def rank(key: Condition) -> tuple:
        return ranks.get(key.method, len(ranks)), key.method, [_sortable(value) for _, value in key.settings]

    rows: dict[Condition, list[int]] = {key: [] for key in sorted(set(keys), key=rank)}
    for row, key in enumerate(keys):
        rows[key].append(row)
    return {key: frame.iloc[positions] for key, positions in rows.items()}


def by_seed(rows: pd.DataFrame, metric: str) -> dict[int, float]:
    """Seed to value, of the rows that have the metric."""
    if metric not in rows:
        return {}
    present = rows[rows[metric].notna()]
    return dict(zip(present.seed, present[metric], strict=True))


def counterpart(condition: Condition, method: str, known: Iterable[Condition]) -> Condition | None:
    """The condition of another method that `condition` may fairly be compared with, or None.

    Equal in every varying setting; failing that, the only one that differs in settings of the constraint alone.
    """

    def world(candidate: Condition) -> dict[str, Any]:
        return {name: value for name, value in candidate.settings if not name.startswith(METHOD_SETTINGS)}

    exact = Condition(method, condition.settings)
    alike = [other for other in known if other.method == method and world(other) == world(condition)]
    return exact if exact in alike else alike[0] if len(alike) == 1 else None


def summary(
    frame: pd.DataFrame, metric: str, baselines: Sequence[str] = BASELINES, order: Sequence[str] = ORDER
) -> pd.DataFrame:
    """A row per condition: n, missing seeds, mean, 95 % interval, and paired differences to each baseline.

    For a baseline b the columns `minus_b`, `minus_b_low`, `minus_b_high`, `minus_b_n`, `minus_b_p`, `minus_b_holm`,
    `minus_b_p_floor` and `minus_b_unpaired` (seeds that only one side has, left out). Holm's correction runs
    over all differences of this metric. A baseline without a finished run has no columns; a baseline is itself
    compared with earlier baselines only. UserError on an unknown metric.

    >>> frame = pd.DataFrame({"method": ["none", "soft"] * 2, "seed": [0, 0, 1, 1], "test_eer": [0.2, 0.1, 0.4, 0.2]})
    >>> summary(frame, "test_eer")[["method", "n", "mean", "minus_none"]].round(2).values.tolist()
    [['none', 2, 0.3, nan], ['soft', 2, 0.15, -0.15]]
    """
    if metric not in frame:
        raise unknown_name("metric", metric, frame.columns.drop(["method", "seed"], errors="ignore"))
    groups, seeds = split(frame, order), set(frame.seed)
    present = [name for name in baselines if any(condition.method == name for condition in groups)]
    rows = []
    for condition, runs in groups.items():
        values = by_seed(runs, metric)
        low, high = bootstrap_interval(list(values.values()))
        mean = sum(values.values()) / len(values) if values else math.nan
        row = {"method": condition.method, **dict(condition.settings), "n": len(values)}
        row |= {"missing": _listed(seeds - values.keys()), "mean": mean, "low": low, "high": high}
        for baseline in _compared_with(condition.method, present):
            other = counterpart(condition, baseline, groups)
            if other is not None:
                row |= _difference(f"minus_{baseline}", values, by_seed(groups[other], metric))
        rows.append(row)
    leading = ["method", *frame.attrs.get("settings", []), "n", "missing", "mean", "low", "high"]
    columns = [*leading, *(f"minus_{name}{part}" for name in present for part in _PARTS)]
    table = pd.DataFrame(rows, columns=columns)
    tested = [f"minus_{name}_p" for name in present]
    adjusted = holm(table[tested].to_numpy(dtype=float).ravel()).reshape(len(table), -1)
    for place, name in enumerate(present):
        table[f"minus_{name}_holm"] = adjusted[:, place]
    return table


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better. UserError where neither is.

    >>> lower_is_better("test_eer_best"), lower_is_better("test_accuracy")
    (True, False)
    """
    if "accuracy" in metric:
        return False
    if any(word in metric for word in ("eer", "error", "dcf", "distance", "loss", "seconds")):
        return True
    raise UserError(f"Metric {metric!r} is neither better high nor better low. Compare an EER, minDCF or accuracy.")


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
    """The test metric that a sweep is judged by: accuracy where every run has it (closed set), else the EER."""
    closed = "test_accuracy" in frame and bool(frame.test_accuracy.notna().all())
    return "test_accuracy" if closed else "test_eer"


def unit(metric: str) -> Unit:
    """How to write a metric.

    >>> unit("test_eer_best").axis, unit("test_eer").value(0.196)
    ('test EER (%)', '19.60')
    """
    words = metric.removesuffix("_best").replace("min_dcf_", "minDCF p=").replace("_", " ").replace("eer", "EER")
    words = words.replace("val ", "validation ")
    if any(word in words for word in ("EER", "error", "accuracy")):
        return Unit(words, 100, "%", "points", 2)
    return Unit(words, 1, "", "", 3)


def print_summary(
    console: "Console",
    frame: pd.DataFrame,
    metric: str | None = None,
    baselines: Sequence[str] = BASELINES,
    order: Sequence[str] = ORDER,
) -> None:
    """Print a test metric per condition at both epochs, with paired differences; fits 100 columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if frame.empty:
        console.print("No run has finished yet.")
        return
    metric = metric or primary_metric(frame)
    how = unit(metric)
    tables = {name: summary(frame, m, baselines, order) for name, m in epochs_of(metric).items() if m in frame}
    if not tables:
        raise unknown_name("metric", metric, frame.columns.drop(["method", "seed"]))
    present = [name for name in baselines if (frame.method == name).any()]
    shown = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=f"{how.axis} with its 95 % interval over seeds, and paired differences",
    )
    shown.add_column("condition", overflow="fold", min_width=min(15, max(len(name) for name in frame.method)))
    shown.add_column("epoch", no_wrap=True)
    shown.add_column("n", justify="right", no_wrap=True)
    for heading in (how.axis, *(f"− {name}" for name in present)):
        shown.add_column(Text(heading), justify="right", no_wrap=True)
    line = " " if console.width >= 100 else "\n"  # on a narrow terminal the interval goes under its mean
    for place, condition in enumerate(split(frame, order)):
        for k, (name, table) in enumerate(tables.items()):
            row = table.iloc[place]
            cells = ["" if k else str(condition), name, str(row.n), _written(how, row, "mean", "", line)]
            cells += [_written(how, row, f"minus_{base}", f"minus_{base}_", line, signed=True) for base in present]
            shown.add_row(*map(Text, cells), end_section=k == len(tables) - 1)
    console.print(shown)
    absent = [name for name in baselines if name not in present]
    if absent:
        console.print(f"No finished run of {', '.join(absent)}: differences to it are left out.", markup=False)


def epochs_of(metric: str) -> dict[str, str]:
    """The two epochs' short names, and the metric's column at each."""
    return {"last": metric, "chosen": f"{metric}_best"}


_PARTS = ("", "_low", "_high", "_n", "_p", "_holm", "_p_floor", "_unpaired")


def _written(how: Unit, row: pd.Series, key: str, prefix: str, line: str, signed: bool = False) -> str:
    mean = (how.change if signed else how.value)(row[key])
    return f"{mean}{line}{how.interval(row[f'{prefix}low'], row[f'{prefix}high'], signed)}".strip()


def _compared_with(method: str, baselines: Sequence[str]) -> Sequence[str]:
    return baselines[: baselines.index(method)] if method in baselines else baselines


def _difference(key: str, values: Mapping[int, float], base: Mapping[int, float]) -> dict[str, Any]:
    d = paired_difference(values, base)
    numbers = (d.mean, d.low, d.high, d.n, d.p, math.nan, d.p_floor, _listed(values.keys() ^ base.keys()))
    return {key + part: number for part, number in zip(_PARTS, numbers, strict=True)}


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(seeds))


def _read_run(folder: Path) -> Run:
    status, result = {}, None
    try:
        found = read_json(folder / "status.json")
        if not isinstance(found, dict):
            raise UserError(f"{folder / 'status.json'}: holds no status. Run the sweep again.")
        status = found
        state, reason = str(status.get("state")), status.get("reason")
        if state == "ok":
            result = Result.load(folder / "result.json")
            if not {"method", "seed"} <= result.settings.keys():
                raise UserError(f"{folder / 'result.json'}: its settings lack method or seed.")
    except UserError as error:
        state, reason, result = "invalid", str(error), None
    named = result.settings if result else status
    return Run(folder, state, reason, _method(named.get("method", "?")), named.get("seed"), status, result)


def _varying(done: Sequence[Run]) -> list[str]:
    """Settings with more than one value, beside method and seed."""
    names = {name for run in done for name in run.settings} - {"method", "seed"}
    return sorted(name for name in names if len({_plain(run.settings.get(name)) for run in done}) > 1)


def _cell(run: Run, name: str) -> Any:
    value = run.settings.get(name)
    return _plain(value) if isinstance(value, dict | list) else value


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in settings.items():
        flat |= {f"{name}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _method(value: Any) -> str:
    """A preset's or loss's name, or a list of terms as one line."""
    try:
        return " + ".join(str(Term(**term)) for term in value) if isinstance(value, list) else _plain(value)
    except (UserError, TypeError):  # of another version
        return _plain(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _sortable(value: Any) -> tuple[int, float, str]:
    number = isinstance(value, int | float)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _sort_key(column: pd.Series) -> pd.Series:
    ranks = {value: rank for rank, value in enumerate(sorted({_sortable(value) for value in column}))}
    return column.map(lambda value: ranks[_sortable(value)]).astype(int)


def _metric_order(names: Iterable[str]) -> list[str]:
    names = set(names)
    first = [name for name in (*METRICS, *(f"{metric}_best" for metric in METRICS)) if name in names]
    return [*first, *sorted(names - set(first))]
