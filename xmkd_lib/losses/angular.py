"""Angle between embeddings."""

import torch
from torch import Tensor

from xmkd_lib.losses.base import LOSSES, Loss, unit
from xmkd_lib.outputs import Outputs


@LOSSES.register("angular")
class Angular(Loss):
    """θ = 2·atan2(‖a − b‖, ‖a + b‖) of unit vectors a, b per sample, (N,), radians within [0, π].

    Embeddings (N, D) of equal width. Unlike arccos, accurate and with a finite gradient everywhere: where the
    angle has a kink, at 0 and π, it is zero. A zero row is at π/2 from every direction, at 0 from another.
    Source: W. Kahan, "How futile are mindless assessments of roundoff" (2006), section 12.

    >>> import torch
    >>> from xmkd_lib.outputs import Outputs
    >>> theta = Angular()(Outputs(torch.tensor([[1.0, 0.0]])), Outputs(torch.tensor([[0.0, 2.0]])))
    >>> torch.rad2deg(theta)
    tensor([90.])
    """

    level = "feature"
    formula = "θ = 2·atan2(‖ẑ_s − ẑ_t‖, ‖ẑ_s + ẑ_t‖)"
    source = "Kahan 2006, §12; as a loss: our reading"
    normalise = True

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        a, b = unit(student.embedding), unit(teacher.embedding)
        return 2 * torch.atan2(torch.linalg.vector_norm(a - b, dim=1), torch.linalg.vector_norm(a + b, dim=1))
