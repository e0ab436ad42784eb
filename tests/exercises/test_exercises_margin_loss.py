"""The check of the margin loss passes on the solution alone, and says what is wrong with the usual mistakes."""

import pytest
import torch

from xmkd_lib.exercises import check_margin_loss


def over(distance, margin):
    return torch.relu(distance - margin)


def _spoils(distance, margin):
    value = over(distance, margin).mean()
    distance.data -= margin
    return value


WRONG = {
    "unfilled": (lambda d, m: ..., "it returns nothing yet"),
    "returns None": (lambda d, m: None, "it returns nothing yet"),
    "one value per sample": (over, "a tensor of shape (3,)"),
    "a plain number": (lambda d, m: over(d, m).mean().item(), "a float"),
    "no margin": (lambda d, m: d.mean(), "distance less the margin"),
    "sum": (lambda d, m: over(d, m).sum(), "distance less the margin"),
    "squared": (lambda d, m: over(d, m).square().mean(), "distance less the margin"),
    "hard beyond the margin": (lambda d, m: (d * (d > m)).mean(), "distance less the margin"),
    "negative within": (lambda d, m: (d - m).mean(), "no negative values"),
    "absolute": (lambda d, m: (d - m).abs().mean(), "no negative values"),
    "mean of the active": (lambda d, m: over(d, m).sum() / (d > m).sum().clamp_min(1), "over all samples"),
    "hinge of the mean": (lambda d, m: torch.relu(d.mean() - m), "over all samples"),
    "nan where none is active": (lambda d, m: (d[d > m] - m).mean(), "no negative values"),
    "nothing at margin 0": (lambda d, m: over(d, m).mean() if m else d.sum() * 0, "hard loss"),
    "no gradient": (lambda d, m: torch.tensor(over(d, m).mean().item(), dtype=d.dtype), "no gradient arrives"),
    "detached": (lambda d, m: over(d.detach(), m).mean(), "no gradient arrives"),
    "squared margin": (lambda d, m: over(d, m * m).mean(), "with any margin"),
    "whole margins": (lambda d, m: over(d, int(m)).mean(), "with any margin"),
    "changes its input": (_spoils, "changes the distances"),
    "raises": (lambda d, m: d.foo, "raised AttributeError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_told(name):
    attempt, words = WRONG[name]
    report = check_margin_loss(attempt)
    assert not report.passed
    assert words in str(report).splitlines()[-1]


def test_a_gradient_of_another_loss_is_told():
    def attempt(distance, margin):
        value = over(distance, margin).mean()
        return value + (distance.mean() - distance.mean().detach())  # right in value, wrong in pull

    assert "exactly 1 beyond" in str(check_margin_loss(attempt)).splitlines()[-1]


@pytest.mark.parametrize(
    "right",
    [
        lambda d, m: over(d, m).mean(),
        lambda d, m: (d - m).clamp(min=0).mean(),
        lambda d, m: torch.where(d > m, d - m, 0.0).sum() / len(d),
        lambda d, m: ((d - m) * (d > m)).mean(),
    ],
)
def test_right_solutions_pass(right):
    assert check_margin_loss(right).passed
