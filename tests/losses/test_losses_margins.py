"""Margins that follow the data: a running quantile, and the spread of the teacher's classes."""

import numpy as np
import pytest
import torch

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.losses.margins import ClassSpreadMargin, QuantileMargin
from xmkd_lib.outputs import Outputs


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sides(n=9, d=4, seed=0):
    return Outputs(draw(n, d, seed=seed), draw(n, 3, seed=seed + 1)), Outputs(
        draw(n, d, seed=seed + 2), draw(n, 3, seed=seed + 3)
    )


LABELS = torch.arange(9) % 3


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_quantile_margin_is_an_exponential_average_of_the_batches_quantiles(quantile):
    margin, expected = QuantileMargin(quantile, momentum=0.75), None
    for seed in range(4):
        values = draw(7, seed=seed).abs()
        now = np.quantile(values.numpy(), quantile)
        expected = now if expected is None else 0.75 * expected + 0.25 * now
        assert margin(values).item() == pytest.approx(expected, rel=1e-6)


def test_a_quantile_margin_stands_still_outside_training():
    margin = QuantileMargin(0.5)
    assert margin.eval()(torch.tensor([1.0, 3.0])).item() == 2.0  # nothing kept yet: this batch alone
    assert margin.average.isnan()
    margin.train()(torch.tensor([4.0, 4.0]))
    assert margin.eval()(torch.tensor([100.0])).item() == 4.0
    assert margin(torch.zeros(0)).item() == 4.0


def test_a_batch_quantile_leaves_its_share_in_peace():
    student, teacher = sides()
    soft = losses.soften(losses.create("l2"), QuantileMargin(0.75, momentum=0.0))
    hard = losses.create("l2")(student, teacher)
    values = soft(student, teacher)
    assert (values > 0).sum() == 2  # of nine, the quantile lies on the seventh
    torch.testing.assert_close(values, (hard - hard.float().double().quantile(0.75)).clamp_min(0), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["l2", "distance", "cosine", "angular", "hint", "kd", "logit_margin"])
@pytest.mark.parametrize("mode", ["hinge", "squared", "smooth"])
def test_class_spread_is_the_loss_of_the_class_mean(name, mode):
    student, teacher = sides()
    means = Outputs(draw(3, 4, seed=9), draw(3, 3, seed=10))
    hard = losses.create(name)
    soft = losses.soften(hard, ClassSpreadMargin(hard, means, scale=0.5), mode)
    found = soft(student, teacher, LABELS)
    for i, label in enumerate(LABELS):
        one = [Outputs(*(x[i : i + 1] for x in side)) for side in (student, teacher)]
        mean = Outputs(means.embedding[label][None], means.logits[label][None])
        margin = 0.5 * hard(mean, one[1], LABELS[i : i + 1]).item()
        alone = losses.soften(hard, margin, mode)(*one, LABELS[i : i + 1])
        torch.testing.assert_close(found[i : i + 1], alone)


def test_the_margin_gets_no_gradient_and_the_active_samples_the_whole():
    student, teacher = sides()
    student.embedding.requires_grad_()
    hard = losses.create("l2")
    soft = losses.soften(hard, ClassSpreadMargin(hard, Outputs(draw(3, 4, seed=9))))
    values = soft(student, teacher, LABELS)
    (found,) = torch.autograd.grad(values.sum(), student.embedding)
    (whole,) = torch.autograd.grad(hard(student, teacher).sum(), student.embedding)
    torch.testing.assert_close(found, whole * (values.detach() > 0)[:, None])
    assert 0 < (values > 0).sum() < 9


def test_wrong_use_is_named():
    with pytest.raises(UserError, match=r"quantile 1\.0"):
        QuantileMargin(1.0)
    with pytest.raises(UserError, match="momentum 1"):
        QuantileMargin(0.5, momentum=1)
    means = Outputs(draw(3, 4))
    for name in ("sp", "rkd_angle", "pkt", "gram"):
        with pytest.raises(UserError, match=f"'{name}' has no value of a class mean"):
            ClassSpreadMargin(losses.create(name), means)
    with pytest.raises(UserError, match="scale is 0"):
        ClassSpreadMargin(losses.create("l2"), means, scale=0)
    student, teacher = sides()
    hard = losses.create("l2")
    soft = losses.soften(hard, ClassSpreadMargin(hard, means))
    with pytest.raises(UserError, match="needs labels"):
        soft(student, teacher)
    with pytest.raises(UserError, match="0 to 2"):
        soft(student, teacher, LABELS + 1)
    with pytest.raises(UserError, match="Margin is 'wide'"):
        losses.soften(hard, "wide")
