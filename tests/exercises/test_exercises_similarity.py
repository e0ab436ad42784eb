import numpy as np
import pytest

from xmkd_lib.evaluation import cka
from xmkd_lib.exercises import check_cka


def centred(x):
    return x - x.mean(0)


def without_centring(x, y):
    return np.square(y.T @ x).sum() / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def centred_over_all(x, y):
    return without_centring(x - x.mean(), y - y.mean())


def correlation_of_entries(x, y):
    return np.corrcoef(x.ravel(), np.resize(y, x.shape).ravel())[0, 1]


def without_the_norms(x, y):
    return np.square(centred(y).T @ centred(x)).sum()


def without_the_square(x, y):
    x, y = centred(x), centred(y)
    return np.linalg.norm(y.T @ x) / np.sqrt(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def mean_cosine(x, y):
    y = np.resize(y, x.shape)
    return np.mean((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1))


def of_stretched_axes(x, y):
    return without_centring(centred(x) / x.std(0), centred(y) / y.std(0))


def always_1(x, y):
    return 1.0


def for_one_width(x, y):
    return cka(x, y) if x.shape == y.shape else np.nan


@pytest.mark.parametrize(
    ("attempt", "claim"),
    [
        (without_centring, "centred"),
        (centred_over_all, "centred"),
        (correlation_of_entries, "moved"),
        (without_the_norms, "itself"),
        (without_the_square, "value"),
        (mean_cosine, "moved"),
        (of_stretched_axes, "turned"),
        (always_1, "value"),
        (for_one_width, "widths"),
        (lambda x, y: x, "one number"),
        (lambda x, y: np.nan, "one number"),
        (lambda x, y: x @ y, "raised ValueError"),
        (lambda x: x, "raised TypeError"),
    ],
)
def test_wrong_attempts_fail_where_they_are_wrong(attempt, claim):
    report = check_cka(attempt)
    assert not report.passed
    assert claim in str(report).splitlines()[-1]
