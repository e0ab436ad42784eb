"""FitNet's hint: mean squared error of embeddings as they are."""

from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.outputs import Outputs


@LOSSES.register("hint")
class Hint(Loss):
    """‖z_s − z_t‖²/D per sample, (N,); embeddings (N, D) of equal width, not normalised.

    Where widths differ, the student's projector is the regressor of the paper. Source: Romero et al., "FitNets: hints
    for thin deep nets", arXiv 1412.6550. The paper has half the squared norm; released codes average over D, as here.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> Hint()(Outputs(torch.tensor([[1.0, 3.0]])), Outputs(torch.tensor([[1.0, 1.0]])))
    tensor([2.])
    """

    level = "feature"
    formula = "‖z_s − z_t‖²/D"
    source = "Romero et al. 2015 (FitNets), arXiv 1412.6550"

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        return F.mse_loss(student.embedding, teacher.embedding, reduction="none").mean(1)
