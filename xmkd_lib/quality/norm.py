"""Norm of the teacher's embedding."""

from torch import Tensor

from xmkd_lib.outputs import Outputs
from xmkd_lib.quality.inputs import tensor
from xmkd_lib.quality.registry import ESTIMATORS
from xmkd_lib.quality.teacher_outputs import needed


@ESTIMATORS.register("teacher.norm")
class Norm:
    """Norm of the teacher's embedding in standard deviations from the reference rows' mean norm, (n,).

    0 where all reference rows have the same norm. UserError without a reference.

    Measured sign: positive here, known to reverse elsewhere. 600 held-out drawn faces of 50 people: it predicts the
    teacher's errors under blur, noise, haze and overexposure, gains 0.50, 0.58, 0.53, 0.39; Spearman with these
    corruptions -0.20, -0.21, -0.51, -0.07. Blind to faces given to another person: gain 0.06.
    Source: Meng et al., "MagFace", CVPR 2021, where training makes the norm grow with quality; here nothing does.

    >>> import torch
    >>> Norm()(Outputs(torch.tensor([[3.0, 4.0]])), reference=Outputs(torch.tensor([[1.0, 0.0], [3.0, 0.0]])))
    tensor([3.])
    """

    def __call__(
        self,
        outputs: Outputs,
        labels: Tensor | None = None,
        reference: Outputs | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        tensor(outputs.embedding, "teacher.norm")
        usual = needed(reference, "teacher.norm").norm(dim=1)
        spread = usual.std(correction=0)
        score = (outputs.embedding.float().norm(dim=1) - usual.mean()) / spread
        return score.where(spread > 1e-6 * usual.mean(), 0)
