"""The check of notebook 03's exercise: it passes the solution and names what is wrong with typical mistakes."""

import pytest
import torch

from xmkd_lib import quality
from xmkd_lib.exercises import check_weights


def raw(q, s):
    return 1 - s + s * q.detach()


def changing(q, s):
    q.mul_(s).add_(1 - s)
    return q / q.mean()


WRONG = {
    "one weight per sample": [
        lambda q, s: ...,
        lambda q, s: None,
        lambda q, s: 1.0,
        lambda q, s: raw(q, s).mean(),
        lambda q, s: raw(q, s).tolist(),
    ],
    "Strength 0 gives exactly 1": [
        lambda q, s: raw(q, s) / raw(q, s).sum(),
        lambda q, s: q / q.mean(),
        lambda q, s: s + (1 - s) * q,
    ],
    "mean is 1": [lambda q, s: raw(q, s) / raw(q, s).max(), lambda q, s: raw(q, s)],
    "Better samples": [lambda q, s: raw(1 - q, s) / raw(1 - q, s).mean(), lambda q, s: torch.ones_like(q)],
    "over the mean": [lambda q, s: (s * q).exp() / (s * q).exp().mean(), lambda q, s: quality.weights(q, "power", s)],
    "No gradient": [lambda q, s: (1 - s + s * q) / (1 - s + s * q).mean()],
    "not changed": [lambda q, s: changing(q.detach(), s)],
}


def test_the_librarys_own_weights_pass():
    assert check_weights(lambda q, s: quality.weights(q, "linear", s)).passed


@pytest.mark.parametrize(("claim", "wrong"), [(claim, f) for claim, group in WRONG.items() for f in group])
def test_mistakes_are_named(claim, wrong):
    report = check_weights(wrong)
    assert not report.passed
    assert claim in report.findings[-1].claim
    assert all(finding.passed for finding in report.findings[:-1])
    assert report.findings[-1].seen


def test_what_raises_is_reported():
    report = check_weights(lambda q, s: q[99])
    assert "IndexError" in str(report)
