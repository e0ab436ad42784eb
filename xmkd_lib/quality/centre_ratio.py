"""Nearness to the own class centre."""

import torch
from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import unit
from xmkd_lib.outputs import Outputs
from xmkd_lib.quality.inputs import tensor
from xmkd_lib.quality.registry import ESTIMATORS
from xmkd_lib.quality.teacher_outputs import needed

SMALL = 1e-6  # keeps the ratio finite where the other centre is opposite


@ESTIMATORS.register("teacher.centre_ratio")
class CentreRatio:
    """Cosine to the own class centre over 1 + cosine to the nearest other centre, (n,).

    Centres are mean directions of the reference rows' embeddings. UserError without a reference of at least two
    classes, and on a class that it lacks.

    Measured sign: positive, on 600 held-out drawn faces of 50 people. 30 % of them given to another person: gain 0.96.
    Spearman with blur -0.45, noise -0.34, haze -0.74, overexposure -0.62. Its gain on the teacher's own errors, 0.92 to
    0.95, owes much to knowing the label.
    Source: the certainty ratio of Boutros et al., "CR-FIQA", CVPR 2023; there centres are the classifier's weights.

    >>> centres = Outputs(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> rows = Outputs(torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    >>> CentreRatio()(rows, torch.tensor([0, 0]), centres, torch.tensor([0, 1])).round(decimals=4)
    tensor([1.0000, 0.4142])
    """

    def __call__(
        self,
        outputs: Outputs,
        labels: Tensor,
        reference: Outputs | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        centres, classes = _centres(needed(reference, "teacher.centre_ratio"), reference_labels)
        tensor(outputs.embedding, "teacher.centre_ratio")
        tensor(labels, "teacher.centre_ratio")
        own = labels[:, None].to(classes.device) == classes
        if not own.any(1).all():
            missing = int(labels[~own.any(1).to(labels.device)][0])
            raise UserError(f"teacher.centre_ratio: the reference has no row of class {missing}. Give it one.")
        cosine = unit(outputs.embedding.float()) @ centres.T
        other = cosine.masked_fill(own, -1.0).amax(1)
        return cosine.where(own, 0).sum(1) / (1 + other + SMALL)


def _centres(embedding: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Unit centres (K, D) and their classes (K,), of reference rows."""
    if labels is None or len(labels) != len(embedding):
        count = "no" if labels is None else len(labels)
        raise UserError(f"teacher.centre_ratio: {count} labels for {len(embedding)} reference rows. Give one each.")
    tensor(labels, "teacher.centre_ratio")
    classes, place = labels.to(embedding.device).unique(return_inverse=True)
    if len(classes) < 2:
        raise UserError("teacher.centre_ratio: the reference has rows of one class only. Give at least two classes.")
    member = torch.nn.functional.one_hot(place).to(embedding)
    return unit(member.T @ unit(embedding)), classes
