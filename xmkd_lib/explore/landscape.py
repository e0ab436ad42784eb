"""A plane to see overfitting in: what the student can know lies along x, what it cannot along y."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmkd_lib import losses
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.losses.soften import MODES
from xmkd_lib.outputs import Outputs

HARD = "hard"
CONSTRAINTS = (HARD, *(mode for mode in MODES if mode != "bounded"))  # the teacher's own distance is 0: a hinge again
ROWS = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)  # the classifier: class A left, class B right
MARGINS = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0])  # the curve's
STEPS, RATE, LONGEST = 80, 0.4, 0.1  # steps of the descent, the first step size, the longest step
SIDE, REACH = 100, 2.6  # points along an edge of the field, and where it ends

Aims = tuple[Tensor, Tensor]


class Toy(NamedTuple):
    """Teacher points (c, u) of training and new samples, (N, 2) and (M, 2), the training labels (N,) of 0 and 1.

    auto_margin: the median squared distance that the best linear guess from c leaves on further samples.
    shown: the training sample that is followed.
    """

    train: Tensor
    labels: Tensor
    new: Tensor
    auto_margin: float
    shown: int


class Landscape(NamedTuple):
    """A constraint in the plane: all arrays float64, distances are squared and medians over samples.

    axis (G,) and field (G, G), indexed [y, x]: the objective of the shown sample. path (S, 2): its descent from the
    origin. ends (N, 2): where all training samples end. margins (K,) with the distances (K,) on training and new
    samples; train_distance and new_distance are those at `margin`.
    """

    toy: Toy
    constraint: str
    margin: float
    temperature: float
    weight: float
    axis: np.ndarray
    field: np.ndarray
    path: np.ndarray
    ends: np.ndarray
    margins: np.ndarray
    train_distances: np.ndarray
    new_distances: np.ndarray
    train_distance: float
    new_distance: float


def toy(seed: int = 0, unknown: float = 1.0, samples: int = 100) -> Toy:
    """Draw a teacher's points: two classes at c = −1 and 1 (standard deviation 0.3), u normal about 0 for everyone.

    Both are the normal distribution's quantiles in random order, so that training and new samples are spread alike.
    unknown: standard deviation of u, of which the student's input says nothing. UserError unless it is above 0 and
    there are 4 samples or more.

    >>> toy().train.shape, round(toy().auto_margin, 2)
    (torch.Size([100, 2]), 0.45)
    """
    if not 0 < unknown < np.inf or samples < 4:
        raise UserError(f"A toy of {samples} samples, spread {unknown!r}. Give 4 samples or more and a spread above 0.")
    draws = torch.Generator().manual_seed(seed)
    (train, labels), (new, _), (validation, _) = (_points(count, unknown, draws) for count in (samples, 1000, 1000))
    known = [Outputs(side[:, :1]) for side in (train, validation)]
    margin = losses.auto_margin(_distance(), known[0], Outputs(train), known[1], Outputs(validation))
    wanted = torch.tensor([1.0, 1.3 * unknown], dtype=torch.float64)  # class B, with a u that can be seen
    return Toy(train, labels, new, margin, int((train - wanted).square().sum(1).argmin()))


def landscape(
    toy: Toy, constraint: str = HARD, margin: float = 0.0, temperature: float = 0.15, weight: float = 1.0
) -> Landscape:
    """Descend CE(softmax(W z / temperature), y) + weight · S(‖z − t‖²) in every training sample's own z, from 0.

    So each training embedding is free: a student that can learn every one by heart. On a new sample it answers what
    it has learned for the training sample with the nearest c. constraint: one of `CONSTRAINTS`; "hard" ignores the
    margin, which is in units of the squared distance: a disc of radius √margin around t. temperature: of the
    classifier's softmax, the inverse of its scale. Steepest descent in 80 steps, none longer than 0.1, their size
    falling to 0. UserError on an unknown constraint and on numbers out of range.

    >>> hard, soft = landscape(toy()), landscape(toy(), "hinge", 0.4)
    >>> hard.train_distance < 0.01 < soft.train_distance < hard.new_distance, soft.new_distance < hard.new_distance
    (True, True)
    """
    _check(constraint, margin, temperature, weight)
    mode, margin = ("hinge", 0.0) if constraint == HARD else (constraint, margin)
    soft = losses.soften(_distance(), margin, mode)
    paths = _descend(toy, soft, [*MARGINS, margin], temperature, weight)
    train, new = distances(toy, paths[-1])
    axis = torch.linspace(-REACH, REACH, SIDE, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    z = torch.stack([x, y], 2).view(-1, 2)
    here = torch.full((len(z),), toy.shown)
    field = _objective(z, (toy.train[here], toy.labels[here]), soft, margin, temperature, weight).view(SIDE, SIDE)
    return Landscape(
        toy, constraint, margin, temperature, weight, axis.numpy(), field.numpy(),
        paths[:, -1, toy.shown].numpy(), paths[-1, -1].numpy(), MARGINS, train[:-1], new[:-1],
        float(train[-1]), float(new[-1]),
    )  # fmt: skip


def distances(toy: Toy, ends: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Median squared distance to the teacher on training and on new samples, (K,) each, of embeddings (K, N, 2).

    A new sample is given the embedding of the training sample with the nearest c.

    >>> points = toy()
    >>> distances(points, points.train[None])[0]
    array([0.])
    """
    nearest = (toy.new[:, None, 0] - toy.train[:, 0]).abs().argmin(1)
    pairs = (ends, toy.train), (ends[:, nearest], toy.new)
    return tuple((z - t).square().sum(2).quantile(0.5, 1).numpy() for z, t in pairs)


def landscape_in_words(found: Landscape) -> str:
    """One line on a landscape: what was chosen, the distances it leads to, and the best that new data allow.

    >>> print(landscape_in_words(landscape(toy(), "hinge", 0.4)))
    hinge, margin 0.40, temperature 0.15, λ 1.00: median squared distance to the teacher 0.29 on the training samples,
    0.75 on new ones. The best linear guess leaves 0.45 there: the auto margin.
    """
    return (
        f"{found.constraint}, margin {found.margin:.2f}, temperature {found.temperature:.2f}, λ {found.weight:.2f}: "
        f"median squared distance to the teacher {found.train_distance:.2f} on the training samples, "
        f"{found.new_distance:.2f} on new ones. The best linear guess leaves {found.toy.auto_margin:.2f} there: "
        "the auto margin."
    )


def _points(count: int, unknown: float, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % 2
    normal = torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)
    orders = [torch.randperm(count, generator=draws) for _ in range(2)]  # quantiles: no sample is luckier than another
    return torch.stack([2.0 * labels - 1 + 0.3 * normal[orders[0]], unknown * normal[orders[1]]], 1), labels


def _distance() -> losses.Loss:
    return losses.create("l2", normalise=False)


def _check(constraint: str, margin: float, temperature: float, weight: float) -> None:
    if constraint not in CONSTRAINTS:
        raise unknown_name("constraint", constraint, CONSTRAINTS)
    if not (0 <= margin < np.inf and 0 < temperature < np.inf and 0 <= weight < np.inf):
        raise UserError(
            f"Landscape with margin {margin!r}, temperature {temperature!r}, weight {weight!r}. "
            "Give a margin and a weight from 0 and a temperature above 0."
        )


def _objective(
    z: Tensor, aims: Aims, soft: losses.Softened, margin: float | Tensor, temperature: float, weight: float
) -> Tensor:
    """The objective (N,) of embeddings z (N, 2). aims: teacher points (N, 2) and labels (N,)."""
    teacher, labels = Outputs(aims[0]), aims[1]
    pull = soft.constrain(soft.loss(Outputs(z), teacher), margin, teacher, labels)
    return F.cross_entropy(z @ ROWS.T / temperature, labels, reduction="none") + weight * pull


def _descend(toy: Toy, soft: losses.Softened, margins: Sequence[float], temperature: float, weight: float) -> Tensor:
    """The paths of all training samples under each margin, (S, K, N, 2)."""
    count = len(margins)
    aims = toy.train.repeat(count, 1), toy.labels.repeat(count)
    each = torch.tensor(margins, dtype=torch.float64).repeat_interleave(len(toy.train))
    z = torch.zeros_like(aims[0])
    path = [z]
    for step in range(STEPS):
        z = z.detach().requires_grad_()
        value = _objective(z, aims, soft, each, temperature, weight).sum()
        (gradient,) = torch.autograd.grad(value, z)
        move = RATE * (1 - step / STEPS) * gradient
        length = torch.linalg.vector_norm(move, dim=1, keepdim=True)
        z = z.detach() - move * (LONGEST / length.clamp_min(LONGEST))
        path.append(z)
    return torch.stack(path).view(STEPS + 1, count, -1, 2)
