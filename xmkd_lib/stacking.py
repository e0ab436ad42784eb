"""Networks and objectives of several seeds as one: weights stacked, one step for all of them by torch.func.vmap."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from xmkd_lib.losses.base import Loss
from xmkd_lib.losses.soften import Softened
from xmkd_lib.models import Network
from xmkd_lib.objective import Objective, gradient_shares
from xmkd_lib.outputs import Outputs
from xmkd_lib.training import Schedule, Step, TrainingSet


class Stack:
    """Copies of all seeds as one: every parameter and buffer stacked along a first axis S."""

    def __init__(self, models: list[tuple[Network, Objective]], schedule: Schedule):
        seeds = [copy.deepcopy(_Halves(*model)).train() for model in models]
        for seed in seeds:
            _open_to_vmap(seed.objective)
            seed.to(seed.network.head.weight.device)  # of what that added
        self.seed = seeds[0]  # whose code runs; its own weights are not used
        self.parameters, self.buffers = stack_module_state(seeds)
        self.optimizer = schedule.optimizer(self.parameters.values())

    def step(self, batches: tuple[TrainingSet, ...], progress: float, diagnose: bool = False) -> dict[str, Tensor]:
        """One step of all seeds; the parts of the objective, (S,) each."""
        rows = [tensors(batch) for batch in batches]
        rows = {name: torch.stack([own[name] for own in rows]) for name in rows[0]}
        embedding = self._run("encode", rows["features"])
        weighted, parts = self._run("judge", embedding, rows, progress=progress)
        if diagnose:
            parts |= gradient_shares(weighted, embedding)
        sum(weighted.values()).sum().backward()  # a seed's parameters reach its own summand alone
        self.optimizer.step()
        self.optimizer.zero_grad()
        return parts

    def _run(self, half: str, *stacked: Tensor | dict[str, Tensor], **shared: float) -> Tensor | tuple:
        def of_one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *own: Tensor) -> Tensor | tuple:
            return functional_call(self.seed, (parameters, buffers), (half, *own), shared)

        return vmap(of_one)(self.parameters, self.buffers, *stacked)

    @torch.no_grad()
    def give(self, seed: int, network: Network, objective: Objective) -> None:
        """Copy a seed's present weights into a network and an objective of its own."""
        step = Step(network, objective)
        targets = {**dict(step.named_parameters()), **dict(step.named_buffers())}
        for name, values in {**self.parameters, **self.buffers}.items():
            if name in targets:  # a margin's buffer is in the copies only
                targets[name].copy_(values[seed])


class _Halves(Step):
    """A step in two halves, so that outside of vmap the gradient at the embedding between them can be asked for."""

    def forward(self, half: str, *own: Tensor | dict[str, Tensor], **shared: float) -> Tensor | tuple:
        return getattr(self, half)(*own, **shared)

    def encode(self, features: Tensor) -> Tensor:
        return self.network.encoder(features)

    def judge(self, embedding: Tensor, rows: dict[str, Tensor], progress: float) -> tuple[dict[str, Tensor], ...]:
        outputs = Outputs(embedding, self.network.head(embedding))
        return self.objective.weighted(*self.seen(outputs, _batch(rows)), progress)


class _Number(nn.Module):
    """A margin that is a number, as a buffer: it differs between seeds, and only tensors are stacked."""

    def __init__(self, margin: float):
        super().__init__()
        self.register_buffer("margin", torch.tensor(margin, dtype=torch.float64))

    def forward(self, values: Tensor, teacher: Outputs, labels: Tensor | None) -> Tensor:
        return self.margin.clamp(max=torch.finfo(values.dtype).max).to(values.dtype)


def _open_to_vmap(objective: Objective) -> None:
    for module in objective.modules():
        if isinstance(module, Loss):
            module.check = lambda *_: None  # it looks at values, which vmap forbids
        if isinstance(module, Softened) and isinstance(module.margin, float):
            module.margin = _Number(module.margin)


def tensors(data: TrainingSet) -> dict[str, Tensor]:
    """The tensors of a batch by name; what is absent is left out, since vmap takes tensors alone."""
    teacher = data.teacher or (None, None)
    values = (data.features, data.labels, *teacher, data.w_ce, data.w_kd)
    names = ("features", "labels", "embedding", "logits", "w_ce", "w_kd")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _batch(rows: dict[str, Tensor]) -> TrainingSet:
    teacher = Outputs(rows["embedding"], rows.get("logits")) if "embedding" in rows else None
    return TrainingSet(rows["features"], rows["labels"], teacher, rows.get("w_ce"), rows.get("w_kd"))
