"""The training loop: whole batches from tensors on the device, through accelerate."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from xmkd_lib.checkpoint import Checkpoint, random_state, set_random_state
from xmkd_lib.errors import UserError
from xmkd_lib.models import Network
from xmkd_lib.objective import Objective
from xmkd_lib.outputs import Outputs


class Diverged(UserError):
    """The loss became NaN or infinite; the text says when and which part."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: epochs, samples a batch, peak learning rate, its warm-up as a share of all steps.

    `evaluate_every` is in epochs; the last epoch is always evaluated. `seed` orders the batches.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    evaluate_every: int
    seed: int

    def steps(self, samples: int) -> int:
        """Number of steps in all; a last batch of one sample is none."""
        full, rest = divmod(samples, self.batch_size)
        return self.epochs * (full + (rest > 1))

    def optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """AdamW at the peak learning rate."""
        return torch.optim.AdamW(parameters, self.learning_rate, weight_decay=self.weight_decay, fused=True)

    def factor(self, step: int, steps: int) -> float:
        """Share of the peak learning rate at a step: linear warm-up, then half a cosine to 0."""
        start = self.warmup * steps
        if step < start:
            return (step + 1) / (start + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - start) / max(1.0, steps - start)))


@dataclass(frozen=True)
class TrainingSet:
    """All that a step reads, as tensors on the device with one row per training sample.

    features (n, ...), labels (n,), teacher outputs of the paired samples, weights (n,) of mean 1; the last three may be
    absent. `augment(features, generator)` changes the features of a batch.
    """

    features: Tensor
    labels: Tensor
    teacher: Outputs | None = None
    w_ce: Tensor | None = None
    w_kd: Tensor | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def batches(self, size: int, generator: torch.Generator) -> Iterator["TrainingSet"]:
        """One epoch in random order. A last batch of one sample is left out: batch normalisation cannot use it."""
        order = torch.randperm(len(self.labels), generator=generator).to(self.labels.device)
        for rows in order.split(size):
            if len(rows) > 1:
                yield self._take(rows, generator)

    def _take(self, rows: Tensor, generator: torch.Generator) -> "TrainingSet":
        teacher = self.teacher and Outputs(*(None if x is None else x[rows] for x in self.teacher))
        weights = [None if w is None else w[rows] for w in (self.w_ce, self.w_kd)]
        features = self.features[rows]
        if self.augment:
            features = self.augment(features, generator)
        return TrainingSet(features, self.labels[rows], teacher, *weights)


class Step(nn.Module):
    """Network and objective as one module, so that autocast and gradient averaging cover both."""

    def __init__(self, network: Network, objective: Objective):
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, batch: TrainingSet, progress: float, diagnose: bool) -> tuple[Tensor, dict[str, Tensor]]:
        return self.objective(*self.seen(self.network(batch.features), batch), progress, diagnose)

    def seen(self, outputs: Outputs, batch: TrainingSet) -> tuple[Any, ...]:
        """What the objective reads of a batch and the network's outputs for it, in its order."""
        training_logits = self.network.head.training_logits(outputs.logits, batch.labels)
        projected = self.network.for_teacher(outputs)
        return outputs, training_logits, batch.labels, batch.teacher, batch.w_ce, batch.w_kd, projected


@dataclass
class Fitted:
    """A trained network: its weights at the last and at the validation-chosen epoch, and the curves.

    `curves` maps a name to one value per evaluated epoch; `epoch` counts from 1.
    """

    last: dict[str, Tensor]
    best: dict[str, Tensor]
    best_epoch: int
    curves: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: dict[str, float], choose_by: str, network: Network) -> None:
        """Note an evaluated epoch, and the network's weights if none before had a lower `choose_by`."""
        best = self.curves["epoch"].index(self.best_epoch) if self.best_epoch else None
        lowest = math.inf if best is None else self.curves[choose_by][best]
        for name, value in row.items():
            self.curves.setdefault(name, []).append(value)
        if row[choose_by] < lowest:
            self.best_epoch, self.best = row["epoch"], weights_of(network)

    def rows(self) -> list[dict[str, float]]:
        """The curves by evaluated epoch."""
        return [dict(zip(self.curves, row, strict=True)) for row in zip(*self.curves.values(), strict=True)]

    def save(self, checkpoint: Checkpoint) -> None:
        """Leave the end of a training: `fit` with this checkpoint gives it back and trains nothing."""
        checkpoint.save({"fitted": vars(self)})


class _Progress:
    """How far a training has come: all that changes as it goes on, which is what a checkpoint must hold.

    Of network and losses these are the parameters and all buffers, also those that are not persistent: a loss that
    remembers anything else, in a plain attribute, would not resume as it was.
    """

    def __init__(self, step: Step, optimizer: Any, scheduler: Any, generator: torch.Generator):
        self.step, self.optimizer, self.scheduler, self.generator = step, optimizer, scheduler, generator
        self.fitted = Fitted({}, {}, 0)
        self.epoch = self.batches = 0

    def state(self) -> dict[str, Any]:
        """All of it, with names for the numbers that an optimiser gives its parameters."""
        optimizer = self.optimizer.state_dict()
        return {
            "tensors": self._tensors(),
            "optimizer": {**optimizer, "state": {str(number): each for number, each in optimizer["state"].items()}},
            "scheduler": self.scheduler.state_dict(),
            "generator": self.generator.get_state(),
            "random": random_state(),
            "fitted": vars(self.fitted),
            "epoch": self.epoch,
            "batches": self.batches,
        }

    def resume(self, checkpoint: Checkpoint, epochs: int) -> None:
        """Go to where the checkpoint was left; stay at the beginning where there is none that fits."""
        state = checkpoint.load()
        if state is None:
            return
        fitted = Fitted(**state["fitted"])
        if "tensors" not in state:  # the end
            if _alike(fitted.last, self.step.network.state_dict()):
                self.step.network.eval().load_state_dict(fitted.last)  # as the last assessment leaves it
                self.fitted, self.epoch = fitted, epochs
        elif _alike(state["tensors"], self._tensors()):
            self._restore(state)
            self.fitted = fitted

    @torch.no_grad()
    def _restore(self, state: dict[str, Any]) -> None:
        for name, value in self._tensors().items():
            value.copy_(state["tensors"][name])
        self.optimizer.load_state_dict(_with_layout(state["optimizer"], self.optimizer))
        self.scheduler.load_state_dict(state["scheduler"])
        self.generator.set_state(state["generator"])
        self.epoch, self.batches = state["epoch"], state["batches"]
        set_random_state(state["random"])

    def _tensors(self) -> dict[str, Tensor]:
        return {**dict(self.step.named_parameters()), **dict(self.step.named_buffers())}


def fit(
    network: Network,
    objective: Objective,
    data: TrainingSet,
    schedule: Schedule,
    accelerator: Accelerator,
    evaluate: Callable[[Network], dict[str, float]],
    choose_by: str,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Train `network` with AdamW and return both epochs' weights; the network itself ends at the last epoch.

    `evaluate(network)` gives held-out figures at every evaluated epoch; the epoch with the lowest `choose_by` of them
    is the validation-chosen one, the earliest on a tie. `on_epoch` receives each row of the curves as it comes.
    `checkpoint`: where to save at the end of an epoch, when a save is due, and at the end, and to resume from what
    lies there, with the same numbers bit for bit on a CPU; `on_epoch` then receives the earlier rows first.
    Raises Diverged when the loss is no longer finite, UserError when there are fewer than two training samples.
    """
    if len(data.labels) < 2:
        raise UserError(f"Training needs at least 2 samples, got {len(data.labels)}.")
    steps = schedule.steps(len(data.labels))
    module = step = Step(network, objective)
    optimizer = schedule.optimizer(step.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda count: schedule.factor(count, steps))
    step, optimizer, scheduler = accelerator.prepare(step, optimizer, scheduler)
    generator = torch.Generator().manual_seed(schedule.seed)
    progress = _Progress(module, optimizer, scheduler, generator)
    if checkpoint:
        progress.resume(checkpoint, schedule.epochs)
    fitted = progress.fitted
    for row in fitted.rows() if on_epoch else ():
        on_epoch(row)
    for epoch in range(progress.epoch + 1, schedule.epochs + 1):
        last = epoch == schedule.epochs
        evaluated = last or epoch % schedule.evaluate_every == 0
        step.train()
        parts: dict[str, list[Tensor]] = {}
        for batch in data.batches(schedule.batch_size, generator):
            progress.batches += 1
            # shares of the gradient cost a pass through the losses: on one batch of an evaluated epoch
            total, contributions = step(batch, progress.batches / steps, evaluated and not parts)
            accelerator.backward(total)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            for name, value in contributions.items():
                parts.setdefault(name, []).append(value)
        means = {f"loss_{name}": float(sum(values)) / len(values) for name, values in parts.items()}
        check_finite(means, epoch)
        progress.epoch = epoch
        if evaluated:
            row = {"epoch": epoch, "learning_rate": scheduler.get_last_lr()[0], **means, **evaluate(network.eval())}
            fitted.add(row, choose_by, network)
        if last:
            fitted.last = weights_of(network)
        if checkpoint and last:
            fitted.save(checkpoint)
        elif checkpoint and checkpoint.due():
            checkpoint.save(progress.state())
        if evaluated and on_epoch:
            on_epoch(row)
    return fitted


def _with_layout(saved: dict[str, Any], optimizer: Any) -> dict[str, Any]:
    """An optimiser's saved state with its averages in their parameter's memory layout.

    The fused step walks through all of them in the order of storage; in another layout it would mix entries up.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def like(name: str, value: Tensor, parameter: Tensor) -> Tensor:
        return value if name == "step" else torch.empty_like(parameter).copy_(value)

    state = {
        int(number): {name: like(name, value, parameters[int(number)]) for name, value in averages.items()}
        for number, averages in saved["state"].items()
    }
    return {**saved, "state": state}


def _alike(saved: dict[str, Tensor], present: dict[str, Tensor]) -> bool:
    return {name: value.shape for name, value in saved.items()} == {name: x.shape for name, x in present.items()}


def weights_of(network: Network) -> dict[str, Tensor]:
    """A copy of a network's state, on the CPU."""
    return {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }


def check_finite(means: dict[str, float], epoch: int) -> None:
    """Diverged where the mean of a loss over an epoch, by its name, is NaN or infinite."""
    # once an epoch: a look at every step would make a GPU wait for the host each time
    names = [name.removeprefix("loss_") for name, value in means.items() if not math.isfinite(value)]
    broken = [name for name in names if not name.endswith("_gradient")]  # a diagnosis, not the cause
    if broken:
        raise Diverged(
            f"Training diverged in epoch {epoch}: {', '.join(broken)} became NaN or infinite. "
            "Lower learning_rate or the term's weight, and check the inputs for NaN."
        )
