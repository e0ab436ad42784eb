"""Contrastive representation distillation with a memory of negatives."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.checks import above, whole
from xmkd_lib.losses.connector import check_widths
from xmkd_lib.outputs import Outputs


@LOSSES.register("crd")
class CRD(Loss):
    """softplus(−u_ii) + Σ_j softplus(u_ij), student against teachers plus teacher against students, per sample, (N,).

    u_ij = cos(g_s(z_s,i), g_t(z_t,j))/τ − ln Z − ln K_i: the log odds that i and j are one sample rather than one of
    K_i negatives, which are the samples of another class in this batch and in a memory of the last `memory` ones. g_s,
    g_t are trained linear maps to `dim` numbers, Z the mean of exp(cos/τ) over the negatives of the first training
    batch that has any, kept since. The memory is a queue, newest samples first, filled in training mode only.
    Embeddings of any two widths, labels (N,). Takes no margin: the minimum is not 0.
    Source: Tian et al., "Contrastive representation distillation", arXiv 1910.10699, in the noise-contrastive
    form of the released code. There, one slot a sample is kept by index with momentum 0.5, and 16,384 negatives are
    drawn from it; here it is a queue (He et al. 2020, MoCo), all of which counts, since a loss sees no index.

    >>> _ = torch.manual_seed(0)
    >>> loss, side = CRD(student_dim=3, teacher_dim=2), Outputs(torch.ones(4, 3))
    >>> loss(side, Outputs(torch.ones(4, 2)), torch.tensor([0, 0, 1, 1])).shape
    torch.Size([4])
    """

    level = "feature"
    minimum = None
    same_width = False
    relational = True
    needs_labels = True
    formula = "softplus(−u_ii) + Σ_{y_j≠y_i} softplus(u_ij), u = cos/τ − ln Z − ln K; both directions"
    cost = "N·(N + M)·128, M·256 kept (M: memory)"
    source = "Tian et al. 2020 (CRD), arXiv 1910.10699; queue: He et al. 2020"

    def __init__(
        self, student_dim: int, teacher_dim: int, dim: int = 128, memory: int = 4096, temperature: float = 0.07
    ):
        super().__init__()
        whole("crd", 1, student_dim=student_dim, teacher_dim=teacher_dim, dim=dim)
        whole("crd", 0, memory=memory)  # 0: negatives of the batch alone
        above("crd", 0, temperature=temperature)
        self.temperature, self.widths = temperature, {"student": student_dim, "teacher": teacher_dim}
        self.student_map, self.teacher_map = nn.Linear(student_dim, dim), nn.Linear(teacher_dim, dim)
        self.register_buffer("students", torch.zeros(memory, dim))
        self.register_buffer("teachers", torch.zeros(memory, dim))
        self.register_buffer("classes", torch.full((memory,), -1))  # -1: empty
        self.register_buffer("log_z", torch.tensor([math.nan, math.nan]))  # NaN: not yet fixed

    def check(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> None:
        super().check(student, teacher, labels)
        check_widths(self, self.widths, student, teacher)

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor) -> Tensor:
        kind = self.student_map.weight.dtype
        s = unit(self.student_map(student.embedding.to(kind)))
        t = unit(self.teacher_map(teacher.embedding.to(kind)))
        forth, log_z_forth = self._contrast(s, t, self.teachers, labels, self.log_z[0])
        back, log_z_back = self._contrast(t, s, self.students, labels, self.log_z[1])
        if self.training and torch.is_grad_enabled():
            self._remember(s.detach(), t.detach(), labels, torch.stack([log_z_forth, log_z_back]))
        return forth + back

    def _contrast(
        self, anchors: Tensor, others: Tensor, memory: Tensor, labels: Tensor, log_z: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of each anchor (N,) and the ln Z that was used."""
        scores = anchors @ torch.cat([others, memory.to(others.dtype)]).T / self.temperature
        classes = torch.cat([labels, self.classes])
        negative = (classes != labels[:, None]) & (classes >= 0)
        with torch.no_grad():  # of no negatives Z is NaN, and stays to be fixed
            pooled = scores.masked_fill(~negative, -math.inf).flatten().logsumexp(0)
            pooled = pooled - negative.sum().to(scores.dtype).log()
            log_z = torch.where(log_z.isnan(), pooled, log_z.to(pooled.dtype))
        log_odds = scores - log_z.nan_to_num(0) - negative.sum(1, keepdim=True).clamp_min(1).to(scores.dtype).log()
        own = log_odds.diagonal()
        return F.softplus(-own) + (F.softplus(log_odds) * negative).sum(1), log_z

    @torch.no_grad()
    def _remember(self, s: Tensor, t: Tensor, labels: Tensor, log_z: Tensor) -> None:
        kept = len(self.classes)
        for memory, new in ((self.students, s), (self.teachers, t), (self.classes, labels)):
            memory.copy_(torch.cat([new.to(memory.dtype), memory])[:kept])
        self.log_z.copy_(log_z)
