"""A sweep's specification: read from YAML or made in Python, checked as a whole, turned into the list of runs."""

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import Field

from xmkd_lib import data
from xmkd_lib.cache import digest
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.objective import LoudModel
from xmkd_lib.settings import Experiment
from xmkd_lib.sweep.parameters import Notebook, read_notebook
from xmkd_lib.sweep.strict_yaml import read_yaml
from xmkd_lib.sweep.table import BASELINES, lower_is_better

Values = dict[str, Any]
OWN = ("seed", "preset", "out")  # parameters that the sweep itself sets
WHERE = {"seed": "the list 'seeds'", "preset": "the entry 'preset'", "out": "the folder of each run",
         "settings": "the entries of the specification, each setting by its name"}  # fmt: skip


class PlannedRun(NamedTuple):
    """One run: its folder's name, its seed, and what the specification chooses for it."""

    name: str
    seed: int
    chosen: Values


class Sweep(LoudModel):
    """A sweep: conditions x seeds, each run an executed notebook. `Sweep.read(path)` takes it from a YAML file.

    Conditions are all combinations of `grid`'s values, each with every step of `zip` (lists of one length that go
    together), then those written out in `list`; less those that agree with an entry of `exclude` in all it names. Each
    is on top of `settings`, which all runs share. Names are settings of `Experiment`, or parameters of the notebook.

    seeds: every condition runs with each. baselines: methods that all are compared with; None: those of no
    distillation and the hard feature constraint that are there. metric: what the verdict rests on, None for the data
    set's own. figures: files that every run must leave under figures/. workers: runs at a time. threads: of each run.
    timeout: seconds a run may take. memory_gb: what a run may hold. UserError on anything wrong.
    """

    kind: ClassVar[str] = "entry"

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str
    notebook: str = "../05_experiment.ipynb"
    preset: str = "demo"
    settings: Values = Field({})
    grid: dict[str, list[Any]] = Field({})
    zip: dict[str, list[Any]] = Field({})
    conditions: list[Values] = Field([])
    exclude: list[Values] = Field([])
    seeds: list[int] = Field(min_length=1)
    baselines: list[str] | None = None
    metric: str | None = None
    figures: list[str] = Field([])
    workers: int = Field(2, ge=1)
    threads: int = Field(1, ge=1)
    timeout: float | None = Field(None, gt=0)
    memory_gb: float | None = Field(None, gt=0)
    source: Path = Field(Path("sweep.yaml"), exclude=True)

    def __init__(self, /, **given: Any):
        super().__init__(**given)
        self._check_entries()
        _ = self._identities  # checks every condition

    @classmethod
    def read(cls, path: str | Path, **instead: Any) -> Self:
        """The specification in a YAML file, with the entries in `instead` replaced. UserError naming the file."""
        path = Path(path)
        try:
            return cls(**{**read_yaml(path), **instead, "source": path})
        except UserError as error:
            text = str(error)
            raise UserError(text if text.startswith(str(path)) else f"{path}: {text}") from None

    @cached_property
    def notebook_file(self) -> Notebook:
        """The notebook, at its path relative to the specification's folder."""
        return read_notebook((self.source.parent / self.notebook).resolve())

    @cached_property
    def chosen(self) -> list[Values]:
        """Every condition as the specification writes it, without what all runs share."""
        steps = [dict(zip(self.zip, values, strict=True)) for values in zip(*self.zip.values(), strict=True)] or [{}]
        combined = (dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values()))
        crossed = [combination | step for combination in combined for step in steps] if self.grid or self.zip else []
        everything = [*crossed, *self.conditions]
        kept = [condition for condition in everything if not any(_agrees(condition, entry) for entry in self.exclude)]
        for entry in self.exclude:
            if not any(_agrees(condition, entry) for condition in everything):
                raise UserError(f"Entry 'exclude' has {entry}, which no condition agrees with. Mend or remove it.")
        if not kept:
            raise UserError("There is no condition: give 'grid', 'zip' or 'conditions', and do not exclude them all.")
        return kept

    @cached_property
    def methods(self) -> list[str]:
        """Every method's name, in the specification's order; of a notebook that has no methods, its own name."""
        found = ({**self.settings, **condition}.get("method") for condition in self.chosen)
        default = Experiment().method if self.notebook_file.is_experiment else self.notebook_file.path.stem
        return list(dict.fromkeys(default if name is None else name for name in found if not isinstance(name, list)))

    @property
    def compared(self) -> list[str]:
        """The baselines: those that are named, else the usual ones that are run."""
        return [name for name in BASELINES if name in self.methods] if self.baselines is None else self.baselines

    @property
    def dataset(self) -> str | None:
        """The data set that the runs share or that the first one has; None for notebooks that are no experiments."""
        return self.experiment(self.chosen[0], self.seeds[0]).dataset if self.notebook_file.is_experiment else None

    def runs(self) -> Iterator[PlannedRun]:
        """All runs, seed by seed, so that a sweep cut short is balanced. UserError where two hashes are equal."""
        seen: set[str] = set()
        for seed in self.seeds:
            for condition, identity in zip(self.chosen, self._identities, strict=True):
                parts = [*(_short(value) for value in condition.values()), f"seed{seed}"]
                readable = re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(parts))[:60]
                name = f"{readable}-{digest([identity, seed])[:8]}"
                if name in seen:
                    raise UserError(f"Two runs would share the folder {name}, by chance. Write {condition} otherwise.")
                seen.add(name)
                yield PlannedRun(name, seed, condition)

    def experiment(self, condition: Values, seed: int) -> Experiment:
        """The full settings of a run of a notebook that runs experiments."""
        known = {name: value for name, value in {**self.settings, **condition}.items() if self._is_setting(name)}
        return Experiment.preset(self.preset, **known, seed=seed)

    def full_settings(self, run: PlannedRun) -> Values:
        """All that a run's status says of its settings: every setting of an experiment, or what is chosen."""
        chosen = {**self.settings, **run.chosen, "seed": run.seed}
        if not self.notebook_file.is_experiment:
            return chosen
        return chosen | self.experiment(run.chosen, run.seed).model_dump(mode="json")

    def parameters(self, run: PlannedRun) -> Values:
        """What the run's notebook is given, beside `out`."""
        chosen, takes = {**self.settings, **run.chosen}, self.notebook_file.parameters
        preset = {"preset": self.preset} if "preset" in takes else {}
        if not self.notebook_file.is_experiment:
            return {**chosen, **preset, "seed": run.seed}
        direct = {name: value for name, value in chosen.items() if name in takes}
        rest = {name: value for name, value in chosen.items() if name not in takes}
        return {**direct, **preset, "seed": run.seed, "settings": rest}

    def check_kernel(self) -> None:
        """UserError where the notebook asks for a kernel that is not installed."""
        from jupyter_client.kernelspec import find_kernel_specs

        kernel = self.notebook_file.kernel
        if kernel != "python3" and kernel not in (known := find_kernel_specs()):
            raise UserError(f"{self.notebook_file.path}: {unknown_name('kernel', kernel, known)}")

    def check_data(self) -> None:
        """Make each data set once, so that missing data ends a sweep before it starts, not once a run. UserError."""
        if not self.notebook_file.is_experiment:
            return
        first = (self.experiment(condition, self.seeds[0]) for condition in self.chosen)
        chosen = {digest([experiment.dataset, experiment.dataset_params]): experiment for experiment in first}
        for experiment, seed in itertools.product(chosen.values(), self.seeds):
            data.create(experiment.dataset, **experiment.dataset_params, seed=seed)

    @cached_property
    def _identities(self) -> list[Values]:
        """What tells each condition from others. UserError on the first that is not valid, or is there twice."""
        found: dict[str, Values] = {}
        written: dict[frozenset, Values] = {}
        for condition in self.chosen:
            identity = self._identity(condition)
            if found.setdefault(digest(identity), identity) is not identity:
                raise UserError(f"Condition {condition} is planned twice. Remove one.")
            alike = written.setdefault(frozenset((name, _read(value)) for name, value in condition.items()), condition)
            if alike is not condition:
                raise UserError(f"Conditions {alike} and {condition} cannot be told apart in a table. Remove one.")
        return list(found.values())

    def _is_setting(self, name: str) -> bool:
        """Whether a name is the experiment's; else it is a parameter of the notebook's own."""
        return name in Experiment.model_fields or name not in self.notebook_file.parameters

    def _identity(self, condition: Values) -> Values:
        """What tells a condition from others: its settings that are no defaults, checked. UserError."""
        chosen, notebook = {**self.settings, **condition}, self.notebook_file
        if not notebook.is_experiment:
            for name, value in chosen.items():
                notebook.check(name, value)
            return chosen | ({"preset": self.preset} if "preset" in notebook.parameters else {})
        own = {name: value for name, value in chosen.items() if not self._is_setting(name)}
        for name, value in own.items():
            notebook.check(name, value)
        experiment = self.experiment(condition, self.seeds[0])
        settings = experiment.model_dump(mode="json", exclude={"seed"}, exclude_defaults=True)
        return {**settings, **own, "teacher_bank": _content(experiment.teacher_bank)}

    def _check_entries(self) -> None:
        """What the types do not say. UserError."""
        for kind, entries in (("grid", self.grid), ("zip", self.zip)):
            for name, values in entries.items():
                if not values:
                    raise UserError(f"Entry {kind!r} has no value for {name!r}. Give at least one, or leave it out.")
        lengths = {name: len(values) for name, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"Entry 'zip' has lists of unequal lengths ({lengths}): they go step by step.")
        places = [self.settings, self.grid, self.zip]
        twice = [name for name, count in Counter(itertools.chain(*places)).items() if count > 1]
        if twice:
            raise UserError(f"{twice[0]!r} is given in two of settings, grid and zip. Keep it in one.")
        own = {*OWN, "settings"} if self.notebook_file.is_experiment else OWN
        for name in itertools.chain(*places, *self.conditions):
            if name in own:
                where = WHERE[name]
                raise UserError(f"{name!r} belongs into {where}, not into settings, grid, zip or conditions.")
        wrong = [seed for seed in self.seeds if not 0 <= seed < 2**32]
        if wrong or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"Entry 'seeds' is {self.seeds}: give different whole numbers from 0 on.")
        if self.metric is not None:
            lower_is_better(self.metric)
        elif not self.notebook_file.is_experiment:
            raise UserError(f"Entry 'metric' is missing: say which metric of {self.notebook} the sweep is judged by.")
        for baseline in self.baselines or []:
            if baseline not in self.methods:
                raise unknown_name("baseline", baseline, self.methods)


def _agrees(condition: Values, entry: Values) -> bool:
    return all(name in condition and condition[name] == value for name, value in entry.items())


def _read(value: Any) -> float | str:
    """A value as a reader of a table takes it: 1, 1.0, true and '1' are one, None and 'None' too."""
    try:
        return float(value if isinstance(value, int | float) else str(value))
    except (ValueError, OverflowError):
        return str(value)


def _short(value: Any) -> str:
    """A value in a folder's name: a list of terms by its losses."""
    if isinstance(value, list) and all(isinstance(term, dict) and "loss" in term for term in value):
        return "+".join(str(term["loss"]) for term in value)
    return str(value)


def _content(path: str | None) -> str | None:
    """A hash of a file that a run reads: with other content it is another run."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: the teacher's outputs cannot be read ({error.strerror}).") from None
