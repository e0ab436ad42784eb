"""The check of the effective rank: fails on the stub and on what one gets wrong, passes on the notebook's solution."""

import numpy as np
import pytest
import torch

from xmkd_lib import evaluation
from xmkd_lib.exercises import check_effective_rank


def variances(z):
    return np.linalg.svd(z - z.mean(0), compute_uv=False) ** 2


def ratio(values):
    return values.sum() ** 2 / (values**2).sum()


def entropy(z):
    share = variances(z) / variances(z).sum()
    return np.exp(-(share * np.log(share + 1e-300)).sum())


WRONG = {
    "unfilled": (lambda z: ..., "returns nothing yet"),
    "returns None": (lambda z: None, "returns nothing yet"),
    "returns all variances": (variances, "returns a number"),
    "is not finite": (lambda z: np.nan, "returns a number"),
    "raises": (lambda z: 1 / 0, "ZeroDivisionError"),
    "does not centre": (lambda z: ratio(np.linalg.svd(z, compute_uv=False) ** 2), "after all embeddings are moved"),
    "centres on the median": (
        lambda z: ratio(np.linalg.svd(z - np.median(z, 0), compute_uv=False) ** 2),
        "rotation|uneven",
    ),
    "centres on one number": (lambda z: ratio(np.linalg.svd(z - z.mean(), compute_uv=False) ** 2), "moved|uneven"),
    "returns a text": (lambda z: str(ratio(variances(z))), "returns a number"),
    "does not square": (lambda z: ratio(np.linalg.svd(z - z.mean(0), compute_uv=False)), "expected 1.471"),
    "counts along the given axes": (lambda z: ratio(z.var(0)), "after a rotation"),
    "is the rank": (np.linalg.matrix_rank, "expected 1.471"),
    "is another definition": (entropy, "expected 1.471"),
    "is the width": (lambda z: z.shape[1], "Points on a line"),
    "is the trace alone": (lambda z: variances(z).sum() / 2, "Points on a line|same variance"),
}


@pytest.mark.parametrize(("attempt", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(attempt, message):
    report = check_effective_rank(attempt)
    assert not report.passed
    assert "not yet" in str(report)
    assert any(part in str(report) for part in message.split("|"))


RIGHT = {
    "the library's": evaluation.effective_rank,
    "by the covariance": lambda z: ratio(np.linalg.eigvalsh(np.cov(z.T))),
    "a tensor": lambda z: torch.tensor(ratio(variances(z))),
}


@pytest.mark.parametrize("attempt", RIGHT.values(), ids=RIGHT)
def test_what_is_right_passes(attempt):
    assert check_effective_rank(attempt).passed
