"""What one constraint does to one sample: its loss and its pull against the angle to the teacher."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.losses import Loss, unit
from xmkd_lib.losses.base import LOSSES
from xmkd_lib.objective import Context, Term
from xmkd_lib.outputs import Outputs
from xmkd_lib.registry import signature_of

STEP = 2  # degrees between two angles
SAMPLES, WIDTH, CLASSES, SCALE = 8, 6, 4, 8.0
FIXED = {"crd": {"memory": 0}}  # thousands of empty slots would change nothing and cost seconds
GROUPS = ("feature level", "relational", "classifier level")


class Batch(NamedTuple):
    """The scene: unit teacher embeddings (N, D), class rows (C, D), labels (N,), and where sample 0 turns to (D,)."""

    teacher: Tensor
    rows: Tensor
    labels: Tensor
    towards: Tensor


class Profile(NamedTuple):
    """A constraint on one sample by angle: arrays (K,) of degrees, values, and gradients per radian.

    margin: in the loss's units, None where the constraint is hard; then `soft` is `hard`.
    """

    name: str
    margin: float | None
    mode: str
    degrees: np.ndarray
    hard: np.ndarray
    hard_gradient: np.ndarray
    soft: np.ndarray
    soft_gradient: np.ndarray


def group(name: str) -> str:
    """What a loss compares, one of `GROUPS`: embeddings, embeddings of several samples, or classes.

    >>> group("l2"), group("rkd_angle"), group("kd")
    ('feature level', 'relational', 'classifier level')
    """
    kind = LOSSES[name]
    if kind.level == "classifier":
        return "classifier level"
    return "relational" if kind.relational else "feature level"


def own_layers(name: str) -> bool:
    """Whether a loss brings layers of its own, which a training would train along and which are here as drawn.

    >>> own_layers("simkd"), own_layers("l2")
    (True, False)
    """
    return "student_dim" in signature_of(LOSSES[name]).parameters


def profile(
    name: str,
    margin: float | None = None,
    mode: str = "hinge",
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Profile:
    """Loss of one sample and its derivative by the angle θ between its student's and its teacher's embedding.

    A batch of 8 samples of 4 classes, where the student equals the teacher, but for the first sample: its embedding
    is turned by θ from 0 to 178° in the plane through another class's row. Logits of both sides are 8 · W z with the
    same orthonormal class rows W; for `centres`, which compares rows, the row of the sample's class is turned instead.
    The value is the sample's own, of a relational loss its row's share; the derivative is autograd's, per radian.
    margin: in the loss's units; None is the hard constraint. params: those of the loss. seed: batch, and layers that a
    loss brings of its own, which are untrained. UserError on unknown names and on a margin for a loss that takes none.

    >>> found = profile("l2", margin=1.0)
    >>> found.degrees[30], found.hard[30].round(3), found.soft[30].round(3), found.soft_gradient[20]
    (np.int64(60), np.float64(1.0), np.float64(0.0), np.float64(0.0))
    """
    batch = _batch(seed)
    hard = _build(name, dict(params or {}), batch, seed)
    constraint = hard if margin is None else losses.soften(hard, margin, mode)
    degrees = np.arange(0, 180, STEP)  # not 180: there rounding decides on which side of a kink one is
    angles = torch.tensor(np.deg2rad(degrees), requires_grad=True)
    values = [_values(hard, constraint, batch, angle) for angle in angles]
    curves = []
    for value in (torch.stack(side) for side in zip(*values, strict=True)):
        (gradient,) = torch.autograd.grad(value.sum(), angles, retain_graph=True)
        curves += [value.detach().numpy(), gradient.numpy()]
    return Profile(name, margin, mode, degrees, *curves)


def margin_at(name: str, degrees: float, params: Mapping[str, Any] | None = None, seed: int = 0) -> float | None:
    """The margin in a loss's own units that an angle stands for: its value there; None for a loss that takes no margin.

    UserError on an angle outside of 0 to 180°.

    >>> round(margin_at("l2", 60), 6), round(margin_at("cosine", 60), 6), margin_at("infonce", 60)
    (1.0, 0.5, None)
    """
    if not 0 <= degrees <= 180:
        raise UserError(f"Margin at an angle of {degrees!r}. Give degrees from 0 to 180.")
    batch = _batch(seed)
    hard = _build(name, dict(params or {}), batch, seed)
    if hard.minimum is None:
        return None
    with torch.no_grad():
        value = _values(hard, hard, batch, torch.tensor(math.radians(degrees), dtype=torch.float64))[0]
    return max(0.0, float(value))  # rounding may leave a KL of equal rows just below 0


def profile_at(
    name: str, degrees: float, mode: str = "hinge", params: Mapping[str, Any] | None = None, seed: int = 0
) -> Profile:
    """`profile` with its margin given as an angle, by `margin_at`; hard, where the loss takes no margin.

    >>> round(profile_at("cosine", 60).margin, 6), profile_at("infonce", 60).margin
    (0.5, None)
    """
    return profile(name, margin_at(name, degrees, params, seed), mode, params, seed)


def profile_in_words(found: Profile) -> str:
    """One line on a profile: its margin, where it leaves the sample in peace, and how it pulls elsewhere.

    >>> profile_in_words(profile_at("l2", 60))
    'l2, hinge, margin 1.00: dead zone 0° to 60°, gradient there 0; beyond it the pull is the hard one.'
    """
    if found.margin is None:
        reason = "hard" if LOSSES[found.name].minimum == 0 else "its minimum is not 0, so it takes no margin"
        return f"{found.name}, no margin ({reason}): values {short(found.hard.min())} to {short(found.hard.max())}."
    head = f"{found.name}, {found.mode}, margin {short(found.margin)}: "
    active = np.abs(found.hard_gradient) > 1e-9 * np.abs(found.hard_gradient).max()
    pull = found.soft_gradient[active] / found.hard_gradient[active]
    if not pull.any():
        return f"{head}above every value here, nothing pulls at any angle."
    zones = [f"{low}° to {high}°" for low, high in dead_zones(found)]
    if not zones and np.allclose(pull, 1):
        return f"{head}no dead zone, the pull is the hard one at every angle."
    rest = f"dead zone {', '.join(zones)}, gradient there 0; beyond it the pull is " if zones else "no dead zone: "
    beyond = pull[pull != 0]
    return f"{head}{rest}{_times(beyond)}."


def dead_zones(found: Profile) -> list[tuple[int, int]]:
    """Ranges of degrees, two angles of the grid or more, in which a constraint does not pull at all.

    >>> dead_zones(profile("l2", 1.0)), dead_zones(profile("l2"))
    ([(0, 60)], [])
    """
    quiet = np.flatnonzero(found.soft_gradient == 0)
    runs = np.split(quiet, np.flatnonzero(np.diff(quiet) > 1) + 1)
    return [(int(found.degrees[run[0]]), int(found.degrees[run[-1]])) for run in runs if len(run) > 1]


def short(value: float) -> str:
    """A loss's value for people: two decimals, or two digits where it is small.

    >>> short(1.2), short(0.0163)
    ('1.20', '0.016')
    """
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def _times(pull: np.ndarray) -> str:
    if np.allclose(pull, 1):
        return "the hard one"
    return f"{pull.min():.2f} to {pull.max():.2f} times the hard one"


def _batch(seed: int) -> Batch:
    draws = torch.Generator().manual_seed(seed)
    rows = torch.linalg.qr(torch.randn(WIDTH, CLASSES, generator=draws, dtype=torch.float64))[0].T
    labels = torch.arange(SAMPLES) % CLASSES
    spread = torch.randn(SAMPLES, WIDTH, generator=draws, dtype=torch.float64)
    teacher = unit(rows[labels] + 0.3 * spread)
    return Batch(teacher, rows, labels, _across(teacher[0], rows[1]))


def _across(a: Tensor, b: Tensor) -> Tensor:
    """The unit vector at a right angle to the unit vector a, in the plane of a and b."""
    return unit(b - (a @ b) * a)


def _turned(a: Tensor, towards: Tensor, angle: Tensor) -> Tensor:
    return angle.cos() * a + angle.sin() * towards


def _build(name: str, params: dict[str, Any], batch: Batch, seed: int) -> Loss:
    context = Context(batch.rows, SCALE, batch.rows.clone(), WIDTH, WIDTH)
    with torch.random.fork_rng(devices=[]):  # a loss's own layers are drawn at random
        torch.manual_seed(seed)
        return Term(loss=name, params=FIXED.get(name, {}) | params).build_hard(context).double().eval()


def _values(hard: Loss, constraint: Loss, batch: Batch, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Sample 0's value under the hard and under the chosen constraint."""
    if hasattr(hard, "student_weight"):
        own = batch.rows[0]
        hard.student_weight = torch.stack([_turned(own, _across(own, batch.rows[1]), angle), *batch.rows[1:]])
    z = torch.stack([_turned(batch.teacher[0], batch.towards, angle), *batch.teacher[1:]])
    student, teacher = (Outputs(side, SCALE * side @ batch.rows.T) for side in (z, batch.teacher))
    values = hard(student, teacher, batch.labels)
    soft = values if constraint is hard else constraint.soft(values, teacher, batch.labels)
    return values[0], soft[0]
