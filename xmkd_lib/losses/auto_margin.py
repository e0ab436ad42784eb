"""The margin that a student cannot undercut honestly, measured before training."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import Loss, unit
from xmkd_lib.outputs import Outputs

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-12, 7))


class AffineMap(NamedTuple):
    """x ↦ x·weight + bias, for rows x (N, D): weight (D, E), bias (E,), float64."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x.to(self.weight) @ self.weight + self.bias


def fit_ridge(
    x: Tensor, y: Tensor, strength: float | Sequence[float] = STRENGTHS, groups: Tensor | None = None
) -> AffineMap:
    """Ridge regression of y (N, E) on x (N, D) in float64, with inputs standardised and the intercept free.

    strength: the penalty as a multiple of N. Of several, the one with the smallest squared leave-one-out error is
    taken, in closed form (e_i / (1 − h_ii); Allen 1974, Golub, Heath and Wahba 1979). groups (N,): leave whole groups
    out instead, (I − H_GG)⁻¹ e_G. Where new data are new identities, the groups must be identities: a student that has
    memorised its speakers predicts one utterance from another of the same speaker, and would choose too weak a penalty.
    UserError when rows do not pair up or are fewer than 3.

    >>> x = torch.linspace(0, 1, 9)[:, None]
    >>> line = fit_ridge(x, 3 * x + 1, strength=0.0)
    >>> line(torch.tensor([[2.0]])).round(decimals=6)
    tensor([[7.]], dtype=torch.float64)
    """
    choices = [strength] if isinstance(strength, int | float) else list(strength)
    if not choices or not all(0 <= choice < math.inf for choice in choices):
        raise UserError(f"Ridge regression: strength is {strength!r}. Give finite numbers from 0.")
    if groups is not None and len(groups) != len(x):
        raise UserError(f"Ridge regression: {len(groups)} groups for {len(x)} rows. Give one for every row.")
    if not (x.isfinite().all() and y.isfinite().all()):
        raise UserError(
            "Ridge regression: some inputs or targets are not finite. The training diverged, or a bank is broken."
        )
    if len(x) != len(y) or len(x) < 3:
        raise UserError(f"Ridge regression of {len(y)} rows on {len(x)}: rows must pair up and be at least 3.")
    x, y = x.double(), y.double()
    centre, spread, mean = x.mean(0), x.std(0), y.mean(0)
    spread = spread.masked_fill(spread <= 1e-12 * centre.abs(), torch.inf)  # a dead unit, up to rounding
    u, s, vt = torch.linalg.svd((x - centre) / spread, full_matrices=False)
    s = s.where(s > s.amax() * 1e-12, 0)  # directions that rounding alone made, for strength 0
    target = u.T @ (y - mean)

    def shrinkage(penalty: float) -> Tensor:
        return (s.square() / (s.square() + len(x) * penalty)).nan_to_num(0)

    def left_out_error(penalty: float) -> float:
        keep = shrinkage(penalty)
        residual = y - mean - u @ (keep[:, None] * target)
        if groups is None:
            leverage = (u.square() @ keep + 1 / len(x)).clamp(max=1 - 1e-12)
            return float((residual / (1 - leverage)[:, None]).square().sum())
        return sum(_without(u[own], keep, residual[own], len(x)) for own in members)

    members = [] if groups is None else [torch.nonzero(groups == group)[:, 0] for group in groups.unique()]
    best = choices[0] if len(choices) == 1 else min(choices, key=left_out_error)
    gain = (shrinkage(best) / s).nan_to_num(0)
    weight = (vt.T @ (gain[:, None] * target)) / spread[:, None]
    return AffineMap(weight, mean - centre @ weight)


def _without(u: Tensor, keep: Tensor, residual: Tensor, n: int) -> float:
    """Squared error of a group's rows when the fit has not seen them."""
    hat = (u * keep) @ u.T + 1 / n
    eye = torch.eye(len(u), dtype=u.dtype, device=u.device)
    return float(torch.linalg.solve((1 + 1e-9) * eye - hat, residual).square().sum())


@torch.no_grad()
def auto_margin(
    loss: Loss,
    reference_train: Outputs,
    teacher_train: Outputs,
    reference_val: Outputs,
    teacher_val: Outputs,
    labels_val: Tensor | None = None,
    groups: Tensor | None = None,
    batch_size: int = 64,
    relative: bool = False,
) -> float:
    """The held-out distance: median loss on validation data of the best linear prediction of the teacher.

    Why: a teacher's embedding is t = A·c + B·u, and the student's input carries only c. On new data no student
    comes closer than the residual that u leaves; a training distance below it is u memorised. So the margin is
    that residual, in the units of `loss` (our reading of arXiv 2507.16296). It is fixed before the run; never
    give it test data.

    `reference_*` are outputs of a student trained without distillation: its embeddings (N, D), and no logits, are
    what the teacher is predicted from, by `fit_ridge` on training data; `groups` are the training rows' identities.
    What `loss` reads is predicted: the teacher's embedding (of unit length, where the loss compares directions) or
    its logits; a loss that trains a connector of its own is taken without it. A loss that compares samples with each
    other is measured on batches of `batch_size` (or all rows, where there are fewer) in a fixed random order. relative:
    of each value the teacher's own loss is taken off, as the mode "bounded" does. labels_val (N,) are needed where the
    loss needs labels, and must then be classes of the teacher: with other identities in validation, give held-out
    recordings of the training identities instead. UserError on a loss that takes no margin, on unpaired rows, on NaN,
    and on all that the loss itself refuses.
    """
    if loss.minimum is None:
        raise UserError(f"Loss {loss.name!r} has no minimum at 0, so there is no margin to find for it.")
    if batch_size < 2 or not len(reference_val.embedding):
        raise UserError(
            f"Auto margin: batch_size {batch_size}, {len(reference_val.embedding)} held-out rows; need 2, 1."
        )
    target_train, target_val = _targets(loss, teacher_train), _targets(loss, teacher_val)
    predicted = {
        field: fit_ridge(reference_train.embedding, target, groups=groups)(reference_val.embedding)
        for field, target in target_train.items()
    }
    stand_in = {"embedding": reference_val.embedding}  # for losses that read logits alone
    guess, teacher = Outputs(**stand_in | predicted), Outputs(**stand_in | target_val)
    loss.check(guess, teacher, labels_val)
    values = []
    for rows in _batches(len(reference_val.embedding), batch_size if loss.relational else None):
        batch = [_take(x, rows.to(reference_val.embedding.device)) for x in (guess, teacher, labels_val)]
        found = loss.of_prediction(*batch)
        if relative:
            found = (found - loss.of_prediction(batch[1], *batch[1:])).clamp_min(0)
        values.append(found)
    margin = float(torch.cat(values).quantile(0.5))
    if not math.isfinite(margin):
        raise UserError(f"Auto margin of {loss.name!r} is {margin}: the held-out outputs hold NaN or infinity.")
    return margin


def _batches(n: int, size: int | None) -> Sequence[Tensor]:
    """Row positions: all in one, or batches of one size in a fixed random order; what is left over is dropped."""
    if size is None or n <= size:
        return [torch.arange(n)]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    return order[: n - n % size].split(size)


def _take(x: Outputs | Tensor | None, rows: Tensor) -> Outputs | Tensor | None:
    if x is None:
        return None
    return x.map(lambda part: part[rows]) if isinstance(x, Outputs) else x[rows]


def _targets(loss: Loss, teacher: Outputs) -> dict[str, Tensor]:
    """What the loss reads of the teacher, freed of what the loss does not see: length, or a shift of all logits."""
    targets = {}
    for field in loss.reads:
        value = getattr(teacher, field)
        if value is None:
            raise UserError(f"Loss {loss.name!r} needs {field}, but the teacher has none to fix a margin by.")
        value = value.double()
        if field == "logits":
            targets[field] = value - value.mean(1, keepdim=True)
        else:
            targets[field] = unit(value) if loss.normalise else value
    return targets
