"""The modality gap in numbers: a synthetic world whose teacher knows more than the student's input tells.

A sample has a cause c, that of its class, which teacher and student both meet, and a cause u of its own, which the
teacher meets alone:

    teacher's embedding  t = A·c + B·u, of length 1      student's input  x = M·c + noise

The student is a matrix, z = W·x, under a cosine classifier. It has more inputs than training samples, so it can learn
each sample's u by heart: by the noise that this sample happens to carry.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import cka
from xmkd_lib.explore.strength import COLUMNS, axis
from xmkd_lib.losses import unit
from xmkd_lib.outputs import Outputs

STRENGTHS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0)
CAUSES, INPUTS, CLASSES = 16, 128, 20  # widths of c, u and t, width of x
TRAINING, HELD_OUT = 100, 2000  # samples; as many as for training also measure the margin
SCALE = 4.0  # of the cosine classifier
STEPS, LEARNING_RATE = 40, 0.15  # of Adam, each on all training samples


class World(NamedTuple):
    """Samples of the toy world: inputs (N, 128), teacher's embeddings (N, 16), labels (N,), best embeddings (N, 16).

    best: A·c of length 1, the answer of a student that knows c exactly. u favours no direction, so no other answer that
    does not know u comes closer to t on average: its distance is the floor.
    """

    inputs: Tensor
    teacher: Tensor
    labels: Tensor
    best: Tensor

    def rows(self, first: int, last: int) -> "World":
        """The samples from `first` to before `last`."""
        return World(*(part[first:last] for part in self))


class Toy(NamedTuple):
    """What students of the toy world have learned.

    table: a row per constraint, strength and split, as `strength.COLUMNS` names them; floor: squared distance on
    held-out samples of a student that knows c; margin: the auto margin, which is that of the soft constraint.
    """

    table: pd.DataFrame
    floor: float
    margin: float

    @property
    def lines(self) -> dict[str, float]:
        """Squared distances to compare with, by name."""
        return {"floor": self.floor, "auto margin": self.margin}


def world(shared: float, noise: float, size: int, seed: int = 0) -> World:
    """Draw `size` samples. shared: share of the variance of A·c + B·u that c explains; noise: sd beside that of c, 1.

    UserError on a share outside [0, 1], and on noise that is negative or not finite.
    """
    if not 0 <= shared <= 1 or not 0 <= noise < float("inf"):
        raise UserError(f"Toy world: shared is {shared!r}, noise {noise!r}. Give a share of 0 to 1, noise from 0.")
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    a, b, m = (torch.linalg.qr(normal(width, CAUSES))[0] for width in (CAUSES, CAUSES, INPUTS))
    labels = torch.arange(size) % CLASSES
    c, u, hiss = normal(CLASSES, CAUSES)[labels], normal(size, CAUSES), normal(size, INPUTS)
    teacher = shared**0.5 * c @ a.T + (1 - shared) ** 0.5 * u @ b.T
    return World(c @ m.T + noise * hiss, unit(teacher), labels, unit(c @ a.T))


def students(shared: float, noise: float, strengths: Sequence[float] = STRENGTHS, seed: int = 0) -> Toy:
    """Train students at every strength λ of the hard and of the soft constraint, all at once, and measure them.

    Each minimises cross-entropy + λ·mean ‖z − t‖² of unit vectors, above the margin where it is soft, from the same
    initial weights. Strength 0, no constraint, is always among them. UserError: see `world` and `strength.axis`.

    >>> toy = students(shared=0.5, noise=0.3, strengths=[3.0])
    >>> toy.floor < toy.margin, toy.table.strength.unique().tolist()
    (True, [0.0, 3.0])
    """
    strengths = axis(strengths)
    samples = world(shared, noise, 2 * TRAINING + HELD_OUT, seed)
    training, validation = samples.rows(0, TRAINING), samples.rows(TRAINING, 2 * TRAINING)
    held_out = samples.rows(2 * TRAINING, len(samples.labels))
    pairs = [Outputs(part) for split in (training, validation) for part in (split.inputs, split.teacher)]
    margin = losses.auto_margin(losses.create("l2"), *pairs)
    of_student = [("hard", value) for value in strengths] + [("soft", value) for value in strengths[1:]]
    weight, classes = _fit(training, of_student, margin, seed)
    measured = {
        name: _measured(split, weight, classes) for name, split in (("training", training), ("held-out", held_out))
    }
    rows = [(*who, name, *found[k]) for name, found in measured.items() for k, who in enumerate(of_student)]
    rows += [("soft", *row[1:]) for row in rows if row[1] == 0]
    floor = float((held_out.best - held_out.teacher).square().sum(1).mean())
    return Toy(pd.DataFrame(rows, columns=COLUMNS), floor, margin)


def _fit(training: World, of_student: list[tuple[str, float]], margin: float, seed: int) -> tuple[Tensor, Tensor]:
    """Weights (K, 128, 16) and class vectors (K, 20, 16) of K students, trained side by side."""
    count, size = len(of_student), len(training.labels)
    generator = torch.Generator().manual_seed(seed)
    initial = torch.randn(INPUTS, CAUSES, generator=generator), torch.randn(CLASSES, CAUSES, generator=generator)
    weight, classes = (start.repeat(count, 1, 1).requires_grad_() for start in initial)
    strength = torch.tensor([value for _, value in of_student]).repeat_interleave(size)
    margins = torch.tensor([margin if name == "soft" else 0.0 for name, _ in of_student]).repeat_interleave(size)
    hard = losses.create("l2")
    soft = losses.soften(hard, margin)
    teacher, labels = Outputs(training.teacher.repeat(count, 1)), training.labels.repeat(count)
    optimiser = torch.optim.Adam([weight, classes], lr=LEARNING_RATE)
    for _ in range(STEPS):
        z = training.inputs @ weight
        logits = SCALE * unit(z) @ unit(classes).mT
        entropy = F.cross_entropy(logits.flatten(0, 1), labels, reduction="sum")
        distance = hard(Outputs(z.flatten(0, 1)), teacher)
        pull = soft.constrain(distance, margins, teacher, labels)  # with margin 0 the hard constraint
        optimiser.zero_grad()
        ((entropy + (strength * pull).sum()) / size).backward()
        optimiser.step()
    return weight.detach(), classes.detach()


def _measured(split: World, weight: Tensor, classes: Tensor) -> list[tuple[float, float, float]]:
    """Of every student: mean squared distance, error in %, and CKA, the mean over up to three parts of 100 samples."""
    z = unit(split.inputs @ weight)
    distance = (z - split.teacher).square().sum(2).mean(1)
    error = 100 * ((z @ unit(classes).mT).argmax(2) != split.labels).float().mean(1)
    # CKA depends on the number of samples, so it is the same for every split; three parts are enough
    parts = range(0, min(len(split.labels), 3 * TRAINING), TRAINING)
    alike = [
        sum(cka(one[at : at + TRAINING], split.teacher[at : at + TRAINING]) for at in parts) / len(parts) for one in z
    ]
    return list(zip(distance.tolist(), error.tolist(), alike, strict=True))
