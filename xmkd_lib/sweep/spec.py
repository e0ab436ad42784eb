"""A sweep's specification: read from YAML, checked as a whole, turned into the list of runs."""

import hashlib
import itertools
import re
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xmkd_lib import __version__, data, methods
from xmkd_lib.cache import digest
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.objective import explain
from xmkd_lib.settings import Experiment
from xmkd_lib.sweep.table import lower_is_better

PARAMETERS = ("dataset", "method", "seed", "preset", "settings", "out")


class PlannedRun(NamedTuple):
    """One run: its folder's name, its full settings, and the parameters that its notebook gets."""

    name: str
    experiment: Experiment
    parameters: dict[str, Any]


class Sweep(BaseModel):
    """A sweep over methods (and other settings) and seeds; `Sweep.read(path)` takes it from a YAML file.

    settings: what all runs share. grid: setting -> list of values, all combinations. seeds: every condition runs with
    each. baselines: methods that all are compared with. metric: what the verdict rests on, None for the data set's
    own. workers: runs at a time, one thread each. folder: where runs go, runs/<name> of the current folder if None.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str
    notebook: str = "../05_experiment.ipynb"
    preset: str = "demo"
    settings: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]]
    seeds: list[int] = Field(min_length=1)
    baselines: list[str] = Field(default_factory=lambda: ["none", "hard_feature"])
    metric: str | None = None
    workers: int = Field(2, ge=1)
    source: Path = Field(Path("."), exclude=True)

    @classmethod
    def read(cls, path: str | Path) -> "Sweep":
        """The specification in a YAML file. UserError naming the file and the entry that is wrong."""
        path = Path(path)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read ({error.strerror}). Specifications are in notebooks/sweeps/."
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: no valid YAML: {error}") from None
        if not isinstance(content, dict):
            raise UserError(f"{path}: a specification is a mapping with name, title, grid and seeds.")
        fields = cls.model_fields.keys() - {"source"}
        for key in content:
            if key not in fields:
                raise UserError(f"{path}: {unknown_name('entry', key, fields)}")
        try:
            return cls(**content, source=path)
        except ValidationError as error:
            raise UserError(f"{path}: {explain(error)}") from None

    @property
    def notebook_path(self) -> Path:
        """The notebook, relative to the specification's folder."""
        return (self.source.parent / self.notebook).resolve()

    def runs(self) -> list[PlannedRun]:
        """All runs, seed by seed, so that a sweep cut short is balanced. UserError on the first that is not valid."""
        self._check_entries()
        code = _notebook_source(self.notebook_path)
        combinations = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        planned = [self._planned(chosen, seed, code) for seed in self.seeds for chosen in combinations]
        names = [run.name for run in planned]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UserError(
                f"{self.source}: {len(twice)} runs are planned twice, first {min(twice)}. Remove the repetition."
            )
        return planned

    def _check_entries(self) -> None:
        """What the types do not say: no empty list, seeds in one place, a metric and baselines that exist."""
        for name, values in self.grid.items():
            if not values:
                raise UserError(
                    f"{self.source}: grid entry {name!r} is empty. Give at least one value, or leave it out."
                )
        if "seed" in self.grid or "seed" in self.settings:
            raise UserError(f"{self.source}: 'seed' belongs into the list 'seeds', not into grid or settings.")
        if self.metric is not None:
            lower_is_better(self.metric)
        for baseline in self.baselines:
            if baseline not in methods.names():
                raise UserError(f"{self.source}: {unknown_name('baseline', baseline, methods.names())}")

    def check_data(self) -> None:
        """Make each data set once, so that missing data ends a sweep before it starts, not once a run. UserError."""
        chosen = {
            digest([run.experiment.dataset, run.experiment.dataset_params]): run.experiment for run in self.runs()
        }
        for experiment in chosen.values():
            data.create(experiment.dataset, **experiment.dataset_params, seed=experiment.seed)

    def _planned(self, chosen: dict[str, Any], seed: int, code: str) -> PlannedRun:
        settings = {**self.settings, **chosen, "seed": seed}
        try:
            experiment = Experiment.preset(self.preset, **settings)
        except UserError as error:
            raise UserError(f"{self.source}: {error}") from None
        parts = [_short(value) for value in chosen.values()] + [f"seed{seed}"]
        readable = re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(parts))[:60]
        identity = digest([experiment.model_dump(mode="json"), code, __version__, *_content(experiment.teacher_bank)])
        direct = {name: settings.pop(name) for name in ("dataset", "method", "seed") if name in settings}
        parameters = {**direct, "preset": self.preset, "settings": settings}
        return PlannedRun(f"{readable}-{identity[:8]}", experiment, parameters)


def _short(value: Any) -> str:
    """A value of the grid in a folder's name: a list of terms by its losses."""
    if isinstance(value, list) and all(isinstance(term, dict) and "loss" in term for term in value):
        return "+".join(str(term["loss"]) for term in value)
    return str(value)


def _content(path: str | None) -> list[str]:
    """A hash of a file that a run reads: with other content it is another run."""
    if path is None:
        return []
    try:
        with open(path, "rb") as file:
            return [hashlib.file_digest(file, "sha256").hexdigest()]
    except OSError as error:
        raise UserError(f"{path}: the teacher's outputs cannot be read ({error.strerror}).") from None


def _notebook_source(path: Path) -> str:
    """The notebook's cells, without outputs: a part of what identifies a run. UserError when it takes no parameters."""
    try:
        cells = nbformat.read(path, as_version=4).cells
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        raise UserError(f"{path}: no readable notebook ({error}).") from None
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise UserError(f"{path}: needs one cell tagged 'parameters', has {len(tagged)}.")
    declared = set(re.findall(r"^(\w+)\s*(?::[^=]+)?=", tagged[0]["source"], flags=re.MULTILINE))
    missing = [name for name in PARAMETERS if name not in declared]
    if missing:
        raise UserError(f"{path}: the parameters cell lacks {', '.join(missing)}; a sweep would set them in vain.")
    return "\n".join(cell["source"] for cell in cells)
