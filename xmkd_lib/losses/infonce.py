"""InfoNCE across modalities, within the batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.checks import above, flag
from xmkd_lib.outputs import Outputs


@LOSSES.register("infonce")
class InfoNCE(Loss):
    """−ln softmax_j(cos(z_s,i, z_t,j)/τ) at j = i per sample i, (N,), in nats.

    The student must find its own teacher among those of the batch; with `symmetric` also the teacher its student, and
    the two are averaged. Embeddings (N, D) of equal width. Samples of the same class are negatives too, as published.
    The minimum is above 0 (cosines are bounded), so it takes no margin. Source: van den Oord et al., arXiv 1807.03748,
    between modalities as in Radford et al. (CLIP), ICML 2021; τ = 0.07 as there at the start.

    >>> z = Outputs(torch.eye(2))
    >>> InfoNCE(temperature=1.0)(z, z).round(decimals=4)  # ln(1 + 1/e)
    tensor([0.3133, 0.3133])
    """

    level = "feature"
    minimum = None
    relational = True
    normalise = True
    formula = "−ln softmax_j(cos(z_s,i, z_t,j)/τ)_i"
    cost = "N²"
    source = "van den Oord et al. 2018, arXiv 1807.03748; Radford et al. 2021"

    def __init__(self, temperature: float = 0.07, symmetric: bool = False):
        super().__init__()
        above("infonce", 0, temperature=temperature)
        flag("infonce", symmetric=symmetric)
        self.temperature, self.symmetric = temperature, symmetric

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        scores = unit(student.embedding) @ unit(teacher.embedding).T / self.temperature
        own = torch.arange(len(scores), device=scores.device)
        forth = F.cross_entropy(scores, own, reduction="none")
        return (forth + F.cross_entropy(scores.T, own, reduction="none")) / 2 if self.symmetric else forth
