"""Agreement up to a rotation: Gram matrices of unit vectors, or Procrustes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from xmkd_lib.errors import unknown_name
from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.losses.relations import cosines
from xmkd_lib.outputs import Outputs

FORMS = ("gram", "procrustes")


@LOSSES.register("gram")
class Gram(Loss):
    """mean_j (cos(s_i, s_j) − cos(t_i, t_j))² per sample i, (N,); or, with form "procrustes", ‖ŝ_i Q − t̂_i‖².

    Q is the rotation that brings the batch's student vectors nearest to the teacher's: U Vᵀ of the singular value
    decomposition of Ŝᵀ T̂, the narrower side filled up with zeros. It is a constant for the gradient, which is exact
    for the batch mean, as Q minimises it. Embeddings (N, D) of any two widths; blind to rotation and to each vector's
    length. Source: the Gram form is `cc` of unit vectors; Procrustes: Schönemann, Psychometrika 1966; as distillation
    losses our reading.

    >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> (Gram()(Outputs(z), Outputs(3 * z.flip(1))).abs() < 1e-6).all()
    tensor(True)
    """

    level = "feature"
    same_width = False
    relational = True
    normalise = True
    formula = "mean_j (cos(s_i, s_j) − cos(t_i, t_j))²; or ‖ŝ_i Q − t̂_i‖²"
    cost = "N²; or D³"
    source = "Schönemann 1966; as a loss: our reading"

    def __init__(self, form: str = "gram"):
        super().__init__()
        if form not in FORMS:
            raise unknown_name("form of loss 'gram'", form, FORMS)
        self.form = form

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        if self.form == "gram":
            s, t = cosines(student.embedding), cosines(teacher.embedding)
            return F.mse_loss(s, t, reduction="none").mean(1)
        s, t = unit(student.embedding), unit(teacher.embedding)
        t = F.pad(t, (0, max(0, s.shape[1] - t.shape[1])))  # or no rotation would minimise
        u, _, vt = torch.linalg.svd((s.T @ t).detach(), full_matrices=False)
        return (s @ (u @ vt) - t).square().sum(1)
