"""How alike two embeddings of the same samples are, whatever their axes."""

import numpy as np
from numpy.typing import ArrayLike

from xmkd_lib.errors import UserError


def cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear centred kernel alignment of embeddings x (N, D) and y (N, E) of the same samples, in [0, 1].

    ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) in Frobenius norms, columns centred. 1 where one is the other rotated, scaled and moved. Few
    samples never give 0: independent Gaussian rows give about √(DE / ((N + D)(N + E))), so compare values of equal N.
    An embedding that is the same for all samples has no alignment (0/0): it gives 0. UserError unless both have the
    same N ≥ 2 rows and finite values. Source: Kornblith et al., "Similarity of Neural Network Representations
    Revisited", ICML 2019.

    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> round(cka(x, 3 * x[:, ::-1] + 5), 6), cka(x, np.ones((3, 4)))
    (1.0, 0.0)
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise UserError(f"CKA: embeddings {x.shape} and {y.shape}. Give (N, D) and (N, E) of the same N ≥ 2 samples.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("CKA: some embeddings are not finite. The training diverged: lower the learning rate.")
    x, y = _centred(x), _centred(y)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.square(x.T @ y).sum() / scale) if scale else 0.0


def _centred(x: np.ndarray) -> np.ndarray:
    """Columns less their mean, of overall length 1; zero where only rounding tells the rows apart."""
    x = x / (np.abs(x).max(initial=0) or 1)  # so that no square overflows
    centred = x - x.mean(0)
    length = np.linalg.norm(centred)
    return centred / length if length > 1e-12 * np.linalg.norm(x) else np.zeros_like(x)
