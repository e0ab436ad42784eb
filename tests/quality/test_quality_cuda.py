"""Every estimator and mapping gives on CUDA what it gives on the CPU."""

import pytest
import torch

from xmkd_lib import Outputs, quality
from xmkd_lib.modalities.corruption import add_noise, clip, gaussian_blur

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


INPUTS = {
    "image": (torch.rand(4, 3, 24, 20, generator=torch.Generator().manual_seed(0)),),
    "speech": (normal(4, 8000) * torch.linspace(0, 1, 8000),),
    "teacher": (
        Outputs(normal(12, 6), normal(12, 3, seed=1)),
        torch.arange(12) % 3,
        Outputs(normal(12, 6, seed=2)),
        torch.arange(12) % 3,
    ),
    "pair": (normal(40, 6), normal(40, 5, seed=1), torch.arange(40) // 2),
}


def on_cuda(value):
    return Outputs(*(None if x is None else x.cuda() for x in value)) if isinstance(value, Outputs) else value.cuda()


@pytest.mark.parametrize("name", [name for name in quality.names() if name.split(".")[0] in INPUTS])
def test_estimators(name):
    inputs = (normal(6, 4, 5),) if name == "teacher.stability" else INPUTS[name.split(".")[0]]
    estimator = quality.create(name)
    found = estimator(*map(on_cuda, inputs))
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), estimator(*inputs), rtol=1e-3, atol=1e-3)


def test_qualities_and_weights():
    scores = normal(50)
    q = quality.fit(scores)(scores.cuda())
    torch.testing.assert_close(q.cpu(), quality.fit(scores)(scores))
    w = quality.weights(q)
    torch.testing.assert_close(w.cpu(), quality.weights(q.cpu()))
    torch.testing.assert_close(quality.permuted(w, 0).cpu(), quality.permuted(w.cpu(), 0))
    torch.testing.assert_close(quality.inverted(q).cpu(), 1 - q.cpu())
    assert quality.spearman(scores.cuda(), scores) == pytest.approx(1)


def test_corruptions():
    images, waves, strength = *INPUTS["image"], *INPUTS["speech"], torch.tensor([0.0, 0.2, 0.5, 0.9])
    for function, arguments in (
        (gaussian_blur, (images, strength)),
        (clip, (waves, strength)),
        (add_noise, (waves, normal(4, 8000, seed=3), 10 * strength)),
    ):
        found = function(*(x.cuda() for x in arguments))
        torch.testing.assert_close(found.cpu(), function(*arguments), rtol=1e-3, atol=1e-4)
