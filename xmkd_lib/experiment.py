"""`run(experiment) -> Result`: the one call that everything else uses."""

import json
import time
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from xmkd_lib import weighting
from xmkd_lib.checkpoint import OF_STUDENT
from xmkd_lib.models import count_parameters
from xmkd_lib.objective import names_of
from xmkd_lib.records import Result, check_writable, environment, write_atomically
from xmkd_lib.settings import Experiment
from xmkd_lib.study import OnEpoch, Study


def run(experiment: Experiment, out: str | Path | None = None, on_epoch: OnEpoch | None = None) -> Result:
    """Train a student by the experiment's method and measure it, at the last and at the validation-chosen epoch.

    Metrics without suffix are the last epoch's, those with `_best` the validation-chosen one's. `out`: a folder that
    receives `result.json` and `checkpoint/student_{last,best}.safetensors`. Until then `progress.json` there says what
    is trained, and a run that was killed resumes when it is called again. `on_epoch` gets each row of the curves as it
    comes, on a resumed run the earlier ones at once. UserError on settings or data that do not fit and on a folder that
    cannot be written, Diverged when the loss is no longer finite. On one CPU, the same settings give the same metrics
    bit for bit; a resumed run too, whose timings are of the last call alone.

    >>> from xmkd_lib import Experiment, run
    >>> result = run(Experiment.preset("smoke", method="soft_feature"))  # doctest: +SKIP
    >>> result.metrics["test_eer"]  # doctest: +SKIP
    """
    started = time.perf_counter()
    folder = None if out is None else Path(out)
    if folder:
        check_writable(folder)
    _report(folder, "teacher")
    study = Study(experiment)
    study.check()
    metrics = study.assess_teacher()
    _report(folder, "reference")
    terms = study.terms()
    begun = time.perf_counter()
    checkpoint = folder and study.checkpoint(folder / OF_STUDENT, terms)
    _report(folder, "student", epoch=0, epochs=experiment.epochs)

    def each_epoch(row: dict[str, float]) -> None:
        figures = {name: value for name, value in row.items() if name != "epoch"}
        _report(folder, "student", epoch=row["epoch"], epochs=experiment.epochs, metrics=figures)
        if on_epoch:
            on_epoch(row)

    network, fitted = study.train(terms, each_epoch, checkpoint)
    study.timings["train_seconds"] = time.perf_counter() - begun
    metrics |= study.assess(network)
    network.load_state_dict(fitted.best)
    metrics |= {f"{name}_best": value for name, value in study.assess(network).items()}
    if not terms:
        study.offer_reference(network)
    if experiment.quality_variant:
        metrics |= weighting.effective_sample_sizes(*study.quality_weights())
    metrics |= {"best_epoch": fitted.best_epoch, "parameters": count_parameters(network)}
    named = zip(names_of(terms), terms, strict=True)
    metrics |= {f"margin_{name}": term.margin for name, term in named if isinstance(term.margin, float)}
    result = Result(
        settings=experiment.model_dump(mode="json"),
        metrics=metrics,
        curves=fitted.curves,
        timings={**study.timings, "seconds": time.perf_counter() - started},
        environment=environment(study.device.type),
    )
    if folder:
        kept = folder / "checkpoint"
        kept.mkdir(exist_ok=True)
        save_file(fitted.last, kept / "student_last.safetensors")
        save_file(fitted.best, kept / "student_best.safetensors")
        result.save(folder / "result.json")
        checkpoint.remove()
    return result


def _report(folder: Path | None, stage: str, **found: Any) -> None:
    """For whoever looks on from outside: the stage, and of the student the last evaluated epoch and its figures."""
    if folder:
        write_atomically(folder / "progress.json", json.dumps({"stage": stage, **found}), durable=False)
