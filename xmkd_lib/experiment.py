"""`run(experiment) -> Result`: the one call that everything else uses."""

import time
from pathlib import Path

from safetensors.torch import save_file

from xmkd_lib import weighting
from xmkd_lib.models import count_parameters
from xmkd_lib.objective import names_of
from xmkd_lib.records import Result, environment
from xmkd_lib.settings import Experiment
from xmkd_lib.study import OnEpoch, Study


def run(experiment: Experiment, out: str | Path | None = None, on_epoch: OnEpoch | None = None) -> Result:
    """Train a student by the experiment's method and measure it, at the last and at the validation-chosen epoch.

    Metrics without suffix are the last epoch's, those with `_best` the validation-chosen one's. `out`: a folder that
    receives `result.json` and `checkpoint/student_{last,best}.safetensors`. `on_epoch` gets each row of the curves as
    it comes. UserError on settings or data that do not fit, Diverged when the loss is no longer finite. On one CPU, the
    same settings give the same metrics bit for bit.

    >>> from xmkd_lib import Experiment, run
    >>> result = run(Experiment.preset("smoke", method="soft_feature"))  # doctest: +SKIP
    >>> result.metrics["test_eer"]  # doctest: +SKIP
    """
    started = time.perf_counter()
    study = Study(experiment)
    study.check()
    metrics = study.assess_teacher()
    terms = study.terms()
    begun = time.perf_counter()
    network, fitted = study.train(terms, on_epoch)
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
    if out is not None:
        checkpoint = Path(out) / "checkpoint"
        checkpoint.mkdir(parents=True, exist_ok=True)
        save_file(fitted.last, checkpoint / "student_last.safetensors")
        save_file(fitted.best, checkpoint / "student_best.safetensors")
        result.save(Path(out) / "result.json")
    return result
