"""A sweep's folder as it is at this moment: its plan, the state of every run, what the finished ones found.

A sweep may have 10,000 runs, and its long-lived parent reads them: results are taken in one by one and kept as columns
of numbers, settings only where they differ.
"""

import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, ValidationError, field_validator

from xmkd_lib.errors import UserError
from xmkd_lib.objective import Term, explain
from xmkd_lib.records import Result, read_json
from xmkd_lib.sweep.folder import Status, read_status, result_digest, shortened
from xmkd_lib.sweep.progress import progress
from xmkd_lib.sweep.table import RESERVED, plain, sorted_rows

UNFINISHED = ("queued", "running")
Name = Annotated[str, Field(pattern=r"^[^/\\]*[^./\\][^/\\]*$")]  # of a folder inside the sweep's own


@dataclass(frozen=True, slots=True)
class Entry:
    """A planned run: its folder's name, its seed, and what the specification chooses for it."""

    name: Name
    seed: int
    settings: dict[str, Any]


class PlanFile(BaseModel):
    """What `plan.json` tells of a sweep. dataset: None where the notebook is the user's own, no experiment of ours."""

    format: Literal[2]
    name: str
    title: str
    preset: str
    notebook: str
    baselines: list[str]
    metric: str | None
    dataset: str | None
    runs: list[Entry]

    @field_validator("runs")
    @classmethod
    def _each_once(cls, runs: list[Entry]) -> list[Entry]:
        if len({run.name for run in runs}) < len(runs):
            raise ValueError("names a run twice")
        return runs

    @property
    def judged(self) -> bool:
        """Whether the paper's claims can be held against the runs: they are ours, and not only for trying out."""
        return self.dataset is not None and self.preset != "smoke"

    @classmethod
    def read(cls, folder: str | Path) -> "PlanFile":
        """The plan of a sweep's folder. UserError where there is none, or it is damaged or of another version."""
        path = Path(folder) / "plan.json"
        if not path.is_file():
            raise UserError(f"{folder}: no sweep's folder (it has no plan.json). Start one with `xmkd sweep run SPEC`.")
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            why = shortened(explain(error, "entry"))
            raise UserError(
                f"{path}: damaged, or of another version of xmkd ({why}). Run the sweep again; finished runs are kept."
            ) from None


@dataclass(frozen=True, slots=True)
class Run:
    """One planned run: queued, running, ok, failed, killed, timeout or invalid, and why it has no result.

    progress: where a running one is, in words. peak_memory: bytes or None.
    """

    root: Path
    name: str
    method: str
    seed: int
    state: str
    reason: str | None
    attempt: int
    seconds: float
    peak_memory: int | None
    progress: str

    @property
    def folder(self) -> Path:
        """Where the run's files are."""
        return self.root / self.name


@dataclass(frozen=True)
class Reading:
    """A sweep's folder at one moment. `plan.runs` is empty: `runs` has them.

    table: a row per planned run: method, seed, state, seconds, metrics, settings that vary, run; metrics are nan where
    a run is not finished. EER and accuracy are shares in [0, 1]; `..._best` is the validation-chosen epoch, else the
    last one. `attrs["settings"]` names the columns of varying settings, `attrs["metrics"]` those of metrics.
    settings, environment: of the finished runs, a name and its values in words. versions: how many combinations of
    library code and notebook made them.
    """

    folder: Path
    plan: PlanFile
    runs: list[Run]
    table: pd.DataFrame
    settings: list[tuple[str, str]]
    environment: list[tuple[str, str]]
    versions: int
    _curves: "_Columns"
    _owners: np.ndarray

    @property
    def finished(self) -> pd.DataFrame:
        """The table's finished runs."""
        return self.table[self.table.state == "ok"].reset_index(drop=True)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A row per finished run and epoch: method, seed, varying settings, then every curve."""
        columns = ["method", "seed", *self.table.attrs["settings"]]
        by_run = self.table.set_index("run")[columns]
        names = pd.Series([run.name for run in self.runs], dtype=object)
        frame = by_run.loc[names.iloc[self._owners]].reset_index(drop=True)
        frame = frame.assign(**{name: values for name, values in self._curves.arrays().items() if name not in columns})
        frame.attrs = self.table.attrs
        return frame


def read_folder(folder: str | Path) -> Reading:
    """Read a sweep's folder, finished or in the middle of it.

    Runs outside the plan are of earlier settings and left out. A result that cannot be trusted, because it is damaged,
    of another version or not the one that its status names, makes its run `invalid`. Files may vanish meanwhile: a run
    counts as it is then found. UserError without a valid plan.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder.absolute()}: no such sweep folder. Start one with `xmkd sweep run SPEC`.")
    plan = PlanFile.read(folder)
    taken = _Intake(folder, plan)
    for entry in plan.runs:
        taken.add(entry)
    return taken.reading()


def read_runs(folder: str | Path) -> list[Run]:
    """Every planned run of a sweep with its state, in the plan's order."""
    return read_folder(folder).runs


def collect(folder: str | Path) -> pd.DataFrame:
    """The table of a sweep's folder, a row per planned run: see `Reading`."""
    return read_folder(folder).table


@dataclass
class _Columns:
    """Columns of floats that grow by rows: eight bytes a value. A column that a row lacks is nan there."""

    rows: int = 0
    columns: dict[str, array] = field(default_factory=dict)

    def extend(self, values: Mapping[str, Sequence[float]], rows: int) -> None:
        for name in values:
            if name not in self.columns:
                self.columns[name] = array("d", repeat(math.nan, self.rows))
        for name, column in self.columns.items():
            column.extend(values[name] if name in values else repeat(math.nan, rows))
        self.rows += rows

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.array(column) for name, column in self.columns.items()}


class _Values:
    """The different values of named settings over runs."""

    def __init__(self) -> None:
        self.runs, self.found = 0, {}

    def add(self, row: Mapping[str, Any]) -> None:
        self.runs += 1
        for name, value in row.items():
            counts = self.found.setdefault(name, {})
            text = str(value)
            counts[text] = counts.get(text, 0) + 1

    def rows(self) -> list[tuple[str, str]]:
        """Name and values, sorted by name; a dash stands for runs without a value."""
        return [
            (name, ", ".join([*counts, *(["–"] if sum(counts.values()) < self.runs else [])]))
            for name, counts in sorted(self.found.items())
        ]


class _Intake:
    """Takes runs in one by one, and keeps of each no more than the tables need."""

    def __init__(self, folder: Path, plan: PlanFile):
        self.folder, self.plan = folder, plan
        self.chosen = {name for entry in plan.runs for name in _flat(entry.settings)} - {"seed"}
        self.stem = Path(plan.notebook).stem
        self.groups: dict[str, int] = {}  # what the specification chooses -> place in `conditions`
        self.conditions: list[tuple[bool, dict[str, Any]]] = []  # whether as run, else as planned; the chosen settings
        self.group_of = array("l")
        self.rows: list[tuple] = []
        self.metrics, self.curves, self.owners = _Columns(), _Columns(), array("l")
        self.settings, self.environment = _Values(), _Values()
        self.versions: set[tuple] = set()

    def add(self, entry: Entry) -> None:
        """Read one run."""
        status, state, reason, result = _read_run(self.folder / entry.name)
        full = status.settings or (result.settings if result else {})
        self._group(entry, full)
        seconds = result.timings.get("seconds") if result else None
        seconds = status.seconds if seconds is None else seconds
        self.metrics.extend({name: (value,) for name, value in result.metrics.items()} if result else {}, 1)
        if result:
            length = len(result.curves.get("epoch", ()))
            self.curves.extend({name: curve for name, curve in result.curves.items() if len(curve) == length}, length)
            self.owners.extend(repeat(len(self.rows), length))
            self.settings.add(_flat(full))
            self.environment.add(result.environment)
            self.versions.add((status.code, status.notebook))
        far = progress(self.folder / entry.name) if state == "running" else ""
        seconds = math.nan if seconds is None else seconds
        self.rows.append((entry.name, entry.seed, state, reason, status.attempt, seconds, status.peak_memory, far))

    def _group(self, entry: Entry, full: Mapping[str, Any]) -> None:
        """Runs that differ in the seed alone share their settings: as one of them ran, else as they are planned."""
        planned = {name: value for name, value in entry.settings.items() if name != "seed"}
        key = json.dumps(planned, sort_keys=True)
        if key not in self.groups:
            self.groups[key] = len(self.conditions)
            self.conditions.append((False, _flat(planned)))
        place = self.groups[key]
        self.group_of.append(place)
        as_run, known = self.conditions[place]
        if full and not as_run:
            full = _flat(full)
            self.conditions[place] = True, {name: full.get(name, known.get(name)) for name in self.chosen}

    def reading(self) -> Reading:
        """What was read."""
        settings = [{name: _cell(value) for name, value in known.items()} for _, known in self.conditions]
        varying = sorted(
            name for name in self.chosen - {"method"} if len({plain(group.get(name)) for group in settings}) > 1
        )
        methods = [_method(known.get("method", self.stem)) for _, known in self.conditions]
        runs = [
            Run(self.folder, name, methods[group], *rest)
            for group, (name, *rest) in zip(self.group_of, self.rows, strict=True)
        ]
        metrics = self.metrics.arrays()
        columns = {name: f"settings.{name}" if name in metrics or name in RESERVED else name for name in varying}
        table = pd.DataFrame(
            {
                "method": pd.Series([run.method for run in runs], dtype=object),
                "seed": pd.Series([run.seed for run in runs], dtype=int),
                "state": pd.Series([run.state for run in runs], dtype=object),
                "seconds": pd.Series([run.seconds if run.state == "ok" else math.nan for run in runs], dtype=float),
                **{_free(name): metrics[name] for name in _metric_order(metrics)},
                **{
                    column: pd.Series([settings[group].get(name) for group in self.group_of], dtype=object)
                    for name, column in columns.items()
                },
                "run": pd.Series([run.name for run in runs], dtype=object),
            }
        )
        table.attrs = {"settings": list(columns.values()), "metrics": [_free(name) for name in _metric_order(metrics)]}
        self.plan.runs = []
        return Reading(
            self.folder,
            self.plan,
            runs,
            sorted_rows(table),
            self.settings.rows(),
            self.environment.rows(),
            len(self.versions),
            self.curves,
            np.array(self.owners, dtype=int),
        )


def _read_run(folder: Path) -> tuple[Status, str, str | None, Result | None]:
    """Status, state, reason and result of a run. Where it changed while it was read, it is read once more."""
    before = _status(folder)
    found = _trusted(folder, *before)
    if found[1] != "invalid":
        return found
    now = _status(folder)
    return found if now == before else _trusted(folder, *now)


def _status(folder: Path) -> tuple[Status, str, str | None]:
    nothing = Status(state="invalid")
    try:
        status = read_status(folder)
    except UserError as error:
        return nothing, "invalid", str(error)
    return (status, status.state, status.reason) if status else (nothing, "queued", None)


def _trusted(
    folder: Path, status: Status, state: str, reason: str | None
) -> tuple[Status, str, str | None, Result | None]:
    if state != "ok":
        return status, state, reason, None
    path = folder / "result.json"
    try:
        result = Result.load(path)
        if result_digest(folder) != status.result:
            raise UserError(f"{path}: not the file that the run wrote, by its SHA-256. Run the sweep again.")
    except UserError as error:
        return status, "invalid", str(error), None
    return status, state, None, result


def _free(metric: str) -> str:
    """A metric's column: its name, unless the table has that name for something else."""
    return f"metrics.{metric}" if metric in RESERVED else metric


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as `outer.inner`."""
    flat = {}
    for name, value in settings.items():
        flat |= {f"{name}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _cell(value: Any) -> Any:
    return plain(value) if isinstance(value, dict | list) else value


def _method(value: Any) -> str:
    """A preset's or loss's name, or a list of terms as one line."""
    try:
        return " + ".join(str(Term(**term)) for term in value) if isinstance(value, list) else plain(value)
    except (UserError, TypeError):  # of another version
        return plain(value)


def _metric_order(names: Iterable[str]) -> list[str]:
    names = set(names)
    main = ("train_eer", "test_eer", "train_distance", "test_distance")
    first = [name for name in (*main, *(f"{metric}_best" for metric in main)) if name in names]
    return [*first, *sorted(names - set(first))]
