"""Frequency-decoupled distillation: strict at low, relaxed at high frequencies."""

import torch
from torch import Tensor

from xmkd_lib.losses.base import LOSSES, Loss, centred_unit
from xmkd_lib.losses.checks import number
from xmkd_lib.outputs import Outputs


@LOSSES.register("fd")
class FD(Loss):
    """E_low + ln(1 + E_high) per sample, (N,): the parts of the mean squared error over D at low and high frequencies.

    The spectrum is the real Fourier transform of z_s − z_t along the embedding, each side standardised first (mean 0,
    population standard deviation 1: the scales of two modalities differ); the lowest round(cut·(D//2 + 1)) of its
    frequencies count as low.
    Embeddings (N, D) of equal width. An embedding's dimensions have no order, so here "frequency" is a fixed choice of
    directions, not a scale. Source: Liu et al., "Distilling cross-modal knowledge via feature disentanglement", arXiv
    2511.19887; the standardisation, ln(1 + x) and the half are our reading, the shared classifier is left out.

    >>> z = Outputs(torch.tensor([[1.0, 0.0, 2.0, 0.0]]))
    >>> FD()(z, z)
    tensor([0.])
    """

    level = "feature"
    formula = "E_low + ln(1 + E_high): squared errors of the low and high half of the spectrum"
    cost = "N·D·ln D"
    source = "Liu et al. 2025, arXiv 2511.19887; details: our reading"

    def __init__(self, cut: float = 0.5):
        super().__init__()
        number("fd", 0, 1, cut=cut)
        self.cut = cut

    def per_sample(self, student: Outputs, teacher: Outputs, labels: Tensor | None) -> Tensor:
        if not len(student.embedding):  # of which some FFT libraries refuse the transform
            return student.embedding.sum(1)
        width = student.embedding.shape[1]
        # the unit row times √D has standard deviation 1; its √D cancels the mean's 1/D
        spectrum = torch.fft.rfft(centred_unit(student.embedding, 1) - centred_unit(teacher.embedding, 1), norm="ortho")
        twice = torch.full((spectrum.shape[1],), 2.0, dtype=student.embedding.dtype, device=spectrum.device)
        twice[0] = 1
        if width % 2 == 0:
            twice[-1] = 1  # the highest frequency has no mirror image
        energy = (spectrum.real.square() + spectrum.imag.square()) * twice
        low = round(self.cut * energy.shape[1])
        return energy[:, :low].sum(1) + energy[:, low:].sum(1).log1p()
