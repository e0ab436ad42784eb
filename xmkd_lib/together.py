"""Several seeds of one condition at once, where that is quicker.

The results are those of `fit`, seed by seed, up to rounding: sums come in another order. In float64 curves and weights
agree to 1e-12. In float32 the losses of a step agree to 1e-6; from there training grows the difference as it grows any
change of a last bit, and a ReLU whose input is zero but for rounding may switch: 1e-3 within an epoch. Together can
only pay where a step waits for the launching of kernels and not for arithmetic; so both ways are tried on the spot.
"""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from xmkd_lib.checkpoint import OF_STUDENT
from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import Loss
from xmkd_lib.models import Network
from xmkd_lib.objective import Objective
from xmkd_lib.settings import Experiment
from xmkd_lib.stacking import Stack, tensors
from xmkd_lib.study import Study
from xmkd_lib.training import Diverged, Fitted, Schedule, Step, TrainingSet, check_finite, weights_of

ROUNDS = 3  # of a trial, after one that warms up: each a step of every seed, both ways; a demo run has 240 steps
WORTH = 1.25  # a smaller speed-up is not worth that the last bits differ from those of a seed trained alone
TOLERANCE = 0.01  # relative, of a loss in the trial; a part that vmap gets wrong is off by far more


@dataclass(frozen=True)
class Fit:
    """One seed's training: what `training.fit` takes, apart from what all seeds share."""

    network: Network
    objective: Objective
    data: TrainingSet
    schedule: Schedule
    evaluate: Callable[[Network], dict[str, float]]
    on_epoch: Callable[[dict[str, float]], None] | None = None


class Trial(NamedTuple):
    """What a trial of both ways found.

    speedup: seconds one by one for each second together. obstacle: why it cannot be done together, None where it can.
    """

    speedup: float = 0.0
    obstacle: str | None = None

    @property
    def pays(self) -> bool:
        """Whether to train together."""
        return self.obstacle is None and self.speedup >= WORTH

    def __str__(self) -> str:
        if self.obstacle:
            return f"Seeds are trained one by one: {self.obstacle}."
        how = "together" if self.pays else "one by one"
        return f"Seeds are trained {how}: a step together is {self.speedup:.2f} times as fast."


def train_together(experiments: list[Experiment], outs: list[Path]) -> Trial:
    """Train the students of experiments that differ in their seed alone, if a trial shows that it pays.

    Each run's folder in `outs` then receives the end of its training, so that `run(experiment, out)` goes on to assess
    it; a seed that diverged leaves nothing, and `run` says so itself. UserError where another setting differs.
    """
    settings = [experiment.model_dump(mode="json", exclude={"seed"}) for experiment in experiments]
    differing = [name for name in settings[0] if any(other[name] != settings[0][name] for other in settings)]
    if differing:
        raise UserError(f"Experiments differ in {', '.join(differing)}: only seeds of one condition go together.")
    torch.set_num_threads(experiments[0].threads)
    fits, checkpoints = [], []
    for experiment, out in zip(experiments, outs, strict=True):
        study = Study(experiment)
        study.check()
        terms = study.terms()
        held_out = partial(study.held_out, study.assess)
        fits.append(Fit(*study.untrained(terms), study.schedule(experiment.epochs), held_out))
        checkpoints.append(study.checkpoint(out / OF_STUDENT, terms))
    trial = try_together(fits, study.accelerator())
    if trial.pays:
        for fitted, checkpoint in zip(fit_together(fits, study.accelerator(), "val_error"), checkpoints, strict=True):
            if isinstance(fitted, Fitted):
                fitted.save(checkpoint)
    return trial


def fit_together(fits: list[Fit], accelerator: Accelerator, choose_by: str) -> list[Fitted | Diverged]:
    """What `training.fit` gives for each, up to rounding, in one loop; networks and objectives end at the last epoch.

    The fits' shapes and schedules must be equal, apart from the schedule's seed, models and losses such that vmap can
    run them without random numbers, and the precision single: `try_together` tells. A seed whose loss is no longer
    finite gives its Diverged and leaves the others as they are.
    """
    schedule = fits[0].schedule
    steps = schedule.steps(len(fits[0].data.labels))
    stack = _stack(fits)
    scheduler = torch.optim.lr_scheduler.LambdaLR(stack.optimizer, lambda count: schedule.factor(count, steps))
    generators = [torch.Generator().manual_seed(one.schedule.seed) for one in fits]
    results: list[Fitted | Diverged] = [Fitted({}, {}, 0) for _ in fits]
    done = 0
    for epoch in range(1, schedule.epochs + 1):
        evaluated = epoch % schedule.evaluate_every == 0 or epoch == schedule.epochs
        parts: dict[str, list[Tensor]] = {}
        orders = [one.data.batches(schedule.batch_size, draw) for one, draw in zip(fits, generators, strict=True)]
        for batches in zip(*orders, strict=True):
            done += 1
            for name, value in stack.step(batches, done / steps, evaluated and not parts).items():
                parts.setdefault(name, []).append(value)
            scheduler.step()
        means = {f"loss_{name}": (sum(values) / len(values)).tolist() for name, values in parts.items()}
        for seed, (one, result) in enumerate(zip(fits, results, strict=True)):
            if isinstance(result, Fitted):
                row = {"epoch": epoch, "learning_rate": scheduler.get_last_lr()[0]}
                row |= {name: values[seed] for name, values in means.items()}
                give = partial(stack.give, seed) if evaluated else None
                results[seed] = _end_epoch(one, result, row, give, choose_by)
    for one, result in zip(fits, results, strict=True):
        if isinstance(result, Fitted):
            result.last = weights_of(one.network)
    return results


def _end_epoch(
    one: Fit, result: Fitted, row: dict[str, float], give: Callable[..., None] | None, choose_by: str
) -> Fitted | Diverged:
    """The result with an evaluated epoch added, whose weights `give` brings; Diverged where a loss is not finite."""
    try:
        check_finite(row, row["epoch"])
    except Diverged as error:
        return error
    if give:
        give(one.network, one.objective)
        row |= one.evaluate(one.network.eval())
        result.add(row, choose_by, one.network)
        if one.on_epoch:
            one.on_epoch(row)
    return result


def try_together(fits: list[Fit], accelerator: Accelerator, rounds: int = ROUNDS) -> Trial:
    """Take a few steps both ways, on copies: do the losses agree, and which way is quicker on this device?

    The ways take turns: one step of each warms up, `rounds` more are timed. Networks, objectives and the random state
    stay as they are.
    """
    obstacle = _difference(fits, accelerator)
    if obstacle:
        return Trial(obstacle=obstacle)
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            return _race(fits, accelerator, rounds)
        except Exception as error:  # whatever a model or a loss raises: one by one it may work, or say what is wrong
            first_line = (str(error).splitlines() or [""])[0].rstrip(".")
            return Trial(obstacle=f"a model or loss does not run under vmap ({type(error).__name__}: {first_line})")


def _difference(fits: list[Fit], accelerator: Accelerator) -> str | None:
    """What keeps fits apart that can be seen without a step."""
    if len(fits) < 2:
        return "there is only one"
    if accelerator.num_processes > 1:
        return "each runs on several devices"
    if accelerator.mixed_precision != "no":
        return f"autocast to {accelerator.mixed_precision} does not reach models under vmap"
    kinds = {
        "schedule": [replace(one.schedule, seed=0) for one in fits],
        "shapes of the training data": [
            {name: tuple(rows.shape) for name, rows in tensors(one.data).items()} for one in fits
        ],
        "terms": [[term.model_copy(update={"margin": None}) for term in one.objective.terms] for one in fits],
        "label smoothing": [one.objective.label_smoothing for one in fits],
    }
    for kind, values in kinds.items():
        other = next((value for value in values if value != values[0]), None)
        if other is not None:
            return f"they differ in {kind}, {values[0]} and {other}"
    return None


def _race(fits: list[Fit], accelerator: Accelerator, rounds: int) -> Trial:
    for one in fits:
        _check_losses(one)
    alone, stack = _Alone(fits), _stack(fits)
    generators = [torch.Generator().manual_seed(one.schedule.seed) for one in fits]
    ratios = []
    for _ in range(1 + rounds):
        draws = zip(fits, generators, strict=True)
        batches = tuple(next(one.data.batches(one.schedule.batch_size, draw)) for one, draw in draws)
        losses_alone, seconds_alone = _timed(alone, batches, accelerator)
        losses_together, seconds_together = _timed(stack, batches, accelerator)
        obstacle = _disagreement(losses_alone, losses_together)
        if obstacle:
            return Trial(obstacle=obstacle)
        ratios.append(seconds_alone / seconds_together)
    return Trial(statistics.median(ratios[1:]))


def _disagreement(alone: dict[str, Tensor], stacked: dict[str, Tensor]) -> str | None:
    for name, values in alone.items():
        # a share of samples jumps where one of them crosses a margin
        if not name.endswith("_active") and not torch.allclose(values, stacked[name], TOLERANCE, 1e-4):
            seen = f"{values.tolist()} one by one, {stacked[name].tolist()} together"
            return f"the loss {name!r} comes out otherwise: {seen}"
    return None


def _timed(
    way: "_Alone | Stack", batches: tuple[TrainingSet, ...], accelerator: Accelerator
) -> tuple[dict[str, Tensor], float]:
    wait = torch.cuda.synchronize if accelerator.device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    found = way.step(batches, 1.0)
    wait()
    return found, time.perf_counter() - started


def _stack(fits: list[Fit]) -> Stack:
    return Stack([(one.network, one.objective) for one in fits], fits[0].schedule)


class _Alone:
    """A copy of every seed, stepped one after the other."""

    def __init__(self, fits: list[Fit]):
        self.seeds = [copy.deepcopy(Step(one.network, one.objective)).train() for one in fits]
        pairs = zip(self.seeds, fits, strict=True)
        self.optimizers = [one.schedule.optimizer(seed.parameters()) for seed, one in pairs]

    def step(self, batches: tuple[TrainingSet, ...], progress: float) -> dict[str, Tensor]:
        """One step of each seed; the parts of the objective, (S,) each."""
        found = []
        for seed, optimizer, batch in zip(self.seeds, self.optimizers, batches, strict=True):
            total, parts = seed(batch, progress, False)
            total.backward()
            optimizer.step()
            optimizer.zero_grad()
            found.append(parts)
        return {name: torch.stack([parts[name] for parts in found]) for name in found[0]}


@torch.no_grad()
def _check_losses(one: Fit) -> None:
    """UserError where a loss refuses this seed's training data; all of them at once, since values do not change."""
    network = copy.deepcopy(one.network).eval()
    student = network(one.data.features[:1]).map(lambda x: x.expand(len(one.data.labels), -1))
    for loss in one.objective.losses:
        if isinstance(loss, Loss):
            seen = network.for_teacher(student) if loss.same_width else student
            loss.check(seen, one.data.teacher, one.data.labels)
