"""One table of losses with their forms, the batch that they are tested on, and the gradients of all that is trained."""

import torch

from xmkd_lib import losses
from xmkd_lib.outputs import Outputs

N, D, C = 6, 4, 5
STUDENT_D = 3  # where widths may differ
LABELS = torch.tensor([0, 2, 1, 1, 4, 3])


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


WEIGHT, STUDENT_WEIGHT = draw(C, D, seed=9), draw(C, D, seed=10)
WIDTHS = {"student_dim": STUDENT_D, "teacher_dim": D}
CASES = {
    "l2": {},
    "l2 as it is": {"normalise": False},
    "distance": {},
    "distance as it is": {"normalise": False},
    "cosine": {},
    "angular": {},
    "hint": {},
    "teacher_head": {"weight": WEIGHT, "scale": 8.0},
    "kd": {"temperature": 3.0},
    "dkd": {},
    "dkd balanced": {"alpha": 0.5, "beta": 2.0, "temperature": 1.5},
    "nkd": {},
    "nkd warm": {"gamma": 0.7, "temperature": 2.5},
    "dist": {},
    "dist warm": {"beta": 0.6, "gamma": 1.7, "temperature": 2.0},
    "logit_margin": {},
    "logit_margin wide": {"class_margin": 0.4},
    "rank": {},
    "rank of three": {"k": 3, "gap": 0.5},
    "centres": {"weight": WEIGHT, "student_weight": STUDENT_WEIGHT},
    "wsld": {},
    "mlld": {"temperatures": (2.0, 5.0)},
    "rkd_distance": {},
    "rkd_angle": {},
    "sp": {},
    "cc": {},
    "pkt": {},
    "pkt code": {"form": "code"},
    "vid": WIDTHS,
    "infonce": {},
    "infonce symmetric": {"symmetric": True, "temperature": 0.5},
    "crd": {**WIDTHS, "dim": 3, "memory": 8, "temperature": 0.5},
    "simkd": WIDTHS,
    "srrl": {**WIDTHS, "weight": WEIGHT, "scale": 4.0, "beta": 0.5},
    "ntkl": {},
    "ntkl strict": {"threshold": 0.3, "temperature": 2.0},
    "fd": {},
    "fd low": {"cut": 0.3},
    "gram": {},
    "gram procrustes": {"form": "procrustes"},
}
NAMES = sorted({case.split()[0] for case in CASES})


def create(case, dtype=torch.float64, **changes):
    """The loss of a case, always with the same weights; those of `centres` are trained, too."""
    torch.manual_seed(0)
    params = {**CASES[case], **changes}
    if "student_weight" in params:
        params["student_weight"] = params["student_weight"].to(dtype).clone().requires_grad_()
    return losses.create(case.split()[0], **params).to(dtype)


CREATED = {case: create(case) for case in CASES}  # to read facts from
ALONE = [case for case, loss in CREATED.items() if not loss.relational]
RELATIONAL = [case for case, loss in CREATED.items() if loss.relational]
SOFTENABLE = [case for case, loss in CREATED.items() if loss.minimum == 0.0]
OF_LABELS = [case for case, loss in CREATED.items() if loss.needs_labels]
OF_LOGITS = [case for case, loss in CREATED.items() if "logits" in loss.reads]
OF_EMBEDDINGS = [case for case, loss in CREATED.items() if "embedding" in loss.reads]
CONNECTED = [case for case in CASES if "student_dim" in CASES[case]]
OF_ANY_WIDTH = [case for case, loss in CREATED.items() if not loss.same_width and case not in CONNECTED]


def batch(case, dtype=torch.float64, seed=0, size=N, classes=C, width=None):
    """Student and teacher of widths that the loss takes; unequal, without ties, away from kinks."""
    if width is None:
        width = D if CREATED[case].same_width else STUDENT_D
    shapes = (size, width), (size, classes), (size, D), (size, classes)
    draws = [draw(*shape, seed=4 * seed + k).to(dtype) for k, shape in enumerate(shapes, 1)]
    return Outputs(*draws[:2]), Outputs(*draws[2:])


def trained(loss, student):
    """Everything that a loss may send a gradient to: the student's outputs, the loss's own layers, class weights."""
    extra = [loss.student_weight] if hasattr(loss, "student_weight") else []
    return [*student, *loss.parameters(), *extra]


def gradients(value, leaves):
    """Gradients of a scalar; zeros for what it does not depend on."""
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in leaves]
    return torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)


def value_and_gradients(loss, student, teacher, labels):
    """Values (N,) and the gradients of their sum with respect to all that is trained."""
    student = Outputs(*(x.detach().clone().requires_grad_() for x in student))
    value = loss(student, teacher, labels)
    return value.detach(), gradients(value.sum(), trained(loss, student))


def take(side, indices):
    """The rows of both outputs at `indices`."""
    return Outputs(*(x[indices] for x in side))
