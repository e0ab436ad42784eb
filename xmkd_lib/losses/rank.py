"""The teacher's order of its favourite classes, without its scores."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss
from xmkd_lib.losses.checks import number, whole
from xmkd_lib.outputs import Outputs


@LOSSES.register("rank")
class Rank(Loss):
    """mean over pairs (a, b) of (gap + l_s,b − l_s,a)₊ per sample, (N,), where the teacher puts a before b.

    Pairs are taken among the teacher's k classes with the highest logits (all, where C < k); classes that tie there
    make no pair. Logits (N, C). gap ≥ 0, in logits. Every order-preserving change of the teacher's scores leaves it as
    it is. Source: our reading; the pairwise hinge is that of Herbrich et al., "Large margin rank
    boundaries for ordinal regression", 2000.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> z, teacher = torch.zeros(1, 2), torch.tensor([[9.0, 5.0, 1.0]])
    >>> Rank(k=2)(Outputs(z, torch.tensor([[0.0, 2.0, 8.0]])), Outputs(z, teacher))
    tensor([2.])
    """

    level = "classifier"
    reads = ("logits",)
    formula = "mean_{a≻b among the teacher's top k} (gap + l_s,b − l_s,a)₊"
    cost = "N·(C + k²)"
    source = "our reading; pairwise hinge: Herbrich et al. 2000"

    def __init__(self, k: int = 5, gap: float = 0.0):
        super().__init__()
        whole("rank", 2, k=k)
        number("rank", 0, gap=gap)
        self.k, self.gap = k, gap

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        best, classes = teacher.logits.topk(min(self.k, teacher.logits.shape[1]), dim=1)
        scores = student.logits.gather(1, classes)
        before, after = torch.triu_indices(best.shape[1], best.shape[1], 1, device=best.device)
        strict = best[:, before] > best[:, after]
        violation = F.relu(self.gap + scores[:, after] - scores[:, before]) * strict
        return violation.sum(1) / strict.sum(1).clamp_min(1)
