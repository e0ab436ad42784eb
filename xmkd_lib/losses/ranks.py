"""Rank correlation of whole batches."""

import torch
from torch import Tensor


def kendall(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's τ-a of each row of a with the same row of b, (N, C) -> (N,), in [-1, 1]; 1 where C < 2.

    (concordant − discordant pairs) / all pairs; a pair that ties on either side counts 0. In C·(ln C)² steps: with the
    columns in the order of b, it is the surplus of rises over falls in a (Knight, JASA 1966). Within ties of b that
    surplus is counted once with a rising and once falling, and cancels.

    >>> kendall(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])).round(decimals=4)
    tensor([0.3333])
    """
    n, c = a.shape
    if c < 2 or not n:
        return a.new_ones(n)
    surplus = sum(_rises(_ordered(a, b, descending)) for descending in (False, True))
    return surplus.to(a.dtype) / (c * (c - 1))  # counted twice, of C(C − 1)/2 pairs


def _ordered(a: Tensor, b: Tensor, descending: bool) -> Tensor:
    """a in the order of b; where b ties, a itself is sorted."""
    values, order = a.sort(dim=1, descending=descending, stable=True)
    return values.gather(1, b.gather(1, order).sort(dim=1, stable=True).indices)


def _rises(x: Tensor) -> Tensor:
    """Number of pairs j < k with x_j < x_k, less those with x_j > x_k, per row: by merge sort."""
    n, c = x.shape
    size = 1 << (c - 1).bit_length()
    x = torch.cat([x, x.new_full((n, size - c), torch.inf)], 1)
    surplus = torch.full((n,), -c * (size - c), device=x.device)  # each padding is a rise from each value
    half = 1
    while half < size:
        left, right = (side.contiguous() for side in x.view(n, -1, 2, half).unbind(2))
        below = torch.searchsorted(left, right)
        not_above = torch.searchsorted(left, right, right=True)
        surplus += (below + not_above - half).flatten(1).sum(1)
        x = x.view(n, -1, 2 * half).sort(-1).values.view(n, size)
        half *= 2
    return surplus
