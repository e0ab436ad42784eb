import numpy as np
import pytest

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import cka


def hsic(k, m):
    """tr(K H M H) by loops over centred Gram matrices, as Kornblith et al. write it, without its 1/(N − 1)²."""
    n, total = len(k), 0.0

    def centred(a, i, j):
        return a[i][j] - sum(a[i]) / n - sum(row[j] for row in a) / n + sum(map(sum, a)) / n**2

    for i in range(n):
        for j in range(n):
            total += centred(k, i, j) * centred(m, j, i)
    return total


def gram(x):
    return [[sum(a * b for a, b in zip(one, other, strict=True)) for other in x] for one in x]


def pair(n=9, d=3, e=5, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, d)) + 2
    return x, x[:, :1] + draw.normal(size=(n, e)) - 1


def test_cka_against_loops_over_gram_matrices():
    for shape in ((9, 3, 5), (6, 8, 7), (2, 1, 1)):
        x, y = pair(*shape)
        k, m = gram(x.tolist()), gram(y.tolist())
        assert cka(x, y) == pytest.approx(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)), rel=1e-9)


def test_cka_ignores_rotation_scale_and_place():
    x, y = pair(40)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert cka(x @ turn, y) == pytest.approx(cka(x, y))
    assert cka(1e-3 * x, 1e6 * y) == pytest.approx(cka(x, y))
    assert cka(x + np.array([5, -3, 100]), y) == pytest.approx(cka(x, y))
    assert cka(x, -2 * x @ turn + 7) == pytest.approx(1)
    assert cka(x, y) == pytest.approx(cka(y, x))


def test_cka_notices_a_stretched_axis_and_other_pairs():
    x, y = pair(40)
    assert cka(x * [1, 1, 20], y) != pytest.approx(cka(x, y), abs=0.01)
    assert cka(x, y[::-1]) < cka(x, y)


def test_cka_of_unrelated_rows_is_as_the_docstring_says():
    draw = np.random.default_rng(0)
    n, d, e = 60, 10, 20
    found = np.mean([cka(draw.normal(size=(n, d)), draw.normal(size=(n, e))) for _ in range(200)])
    assert found == pytest.approx(np.sqrt(d * e / ((n + d) * (n + e))), rel=0.05)


def test_cka_is_0_where_all_rows_are_the_same():
    x, _ = pair()
    for constant in (np.full((9, 2), 0.1), np.full((9, 2), 1e300), np.zeros((9, 4)), np.empty((9, 0))):
        assert cka(x, constant) == cka(constant, x) == 0


def test_cka_stands_extreme_sizes():
    x, y = pair()
    assert cka(1e200 * x, 1e-200 * y) == pytest.approx(cka(x, y))


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (np.ones((1, 2)), np.ones((1, 2)), "N ≥ 2"),
        (np.empty((0, 2)), np.empty((0, 2)), "N ≥ 2"),
        (np.ones((3, 2)), np.ones((4, 2)), r"\(3, 2\) and \(4, 2\)"),
        (np.ones(3), np.ones(3), r"\(3,\)"),
        (np.array([[1.0], [np.nan]]), np.ones((2, 1)), "not finite"),
        (np.ones((2, 1)), np.array([[1.0], [np.inf]]), "not finite"),
    ],
)
def test_cka_refuses(x, y, match):
    with pytest.raises(UserError, match=match):
        cka(x, y)
