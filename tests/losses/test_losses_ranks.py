"""Kendall's rank correlation against the definition, pair by pair."""

import itertools

import pytest
import torch

from xmkd_lib.losses.ranks import kendall


def by_pairs(a, b):
    c = len(a)
    signs = [(a[j] - a[k]).sign() * (b[j] - b[k]).sign() for j, k in itertools.combinations(range(c), 2)]
    return float(sum(signs)) / (c * (c - 1) / 2)


@pytest.mark.parametrize("values", [1000, 4, 2, 1])  # the fewer there are, the more pairs tie, on either side or both
@pytest.mark.parametrize("c", [2, 3, 5, 8, 17])
def test_every_pair_counts_and_ties_count_nothing(values, c):
    draw = torch.Generator().manual_seed(c)
    a, b = (torch.randint(0, values, (6, c), generator=draw).double() for _ in range(2))
    expected = torch.tensor([by_pairs(*rows) for rows in zip(a, b, strict=True)], dtype=torch.float64)
    torch.testing.assert_close(kendall(a, b), expected)


def test_extremes():
    x = torch.arange(9.0).expand(2, 9)
    assert kendall(x, 3 * x + 1).tolist() == [1, 1]
    assert kendall(x, -x).tolist() == [-1, -1]
    assert kendall(x[:, :1], x[:, :1]).tolist() == [1, 1]
    assert kendall(x[:0], x[:0]).shape == (0,)
