"""Embeddings in two dimensions: PCA at once, UMAP on request and from the cache."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors.torch import save_file

from xmkd_lib.cache import artefact, digest, read_tensors
from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.explore.compiled import load_umap

# from 4096 points on, umap-learn searches neighbours by other code, which no cache keeps: half a minute in each process
UMAP_LEAST, UMAP_MOST = 4, 4095
PCA_FIRST = 50  # dimensions that UMAP gets
NEIGHBOURS, MIN_DIST = 15, 0.1  # umap-learn's own defaults


class Projection(NamedTuple):
    """Points (N, 2) float64, what the two axes are, and whether distances along them can be compared with others'."""

    points: np.ndarray
    axes: tuple[str, str]
    metric: bool


def project(embeddings: ArrayLike, how: str) -> Projection:
    """`pca` or `umap` of embeddings (N, D). UserError on another name."""
    ways = {"pca": pca, "umap": umap}
    if how not in ways:
        raise unknown_name("projection", how, ways)
    return ways[how](embeddings)


def pca(embeddings: ArrayLike) -> Projection:
    """The two directions in which embeddings (N, D) vary most; distances are those in the space, or shorter.

    Along each direction the point farthest from the mean lies on the positive side. With D = 1 the second coordinate
    is 0. UserError on another shape, on fewer than two rows, or on values that are not finite.

    >>> pca([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]).axes
    ('first direction, 100 % of the variance', 'second direction, 0 % of the variance')
    """
    found = _principal(_checked(embeddings, "PCA"))
    shares = 100 * (found[:, :2] ** 2).sum(0) / ((found**2).sum() or 1)
    first, second = (f"direction, {share:.0f} % of the variance" for share in shares)
    return Projection(found[:, :2], (f"first {first}", f"second {second}"), metric=True)


def umap(embeddings: ArrayLike, seed: int = 0) -> Projection:
    """UMAP (McInnes, Healy and Melville, 2018) of embeddings (N, D): neighbours stay near; far distances mean nothing.

    It starts from PCA, so that both pictures lie alike. The result is kept in the cache: the same points are laid out
    once. The first call on a machine compiles for half a minute. UserError on fewer than 4 or more than 4095 points, on
    points that are all equal, where umap-learn is missing, and as in `pca`.
    """
    vectors = _checked(embeddings, "UMAP")
    if not UMAP_LEAST <= len(vectors) <= UMAP_MOST:
        raise UserError(
            f"UMAP of {len(vectors)} points: it takes {UMAP_LEAST} to {UMAP_MOST}. Show other samples, or use PCA."
        )
    if (vectors == vectors[0]).all():
        raise UserError(f"UMAP of {len(vectors)} equal points: they have no neighbourhoods. PCA shows them as one.")
    recipe = {
        "data": hashlib.sha256(vectors.tobytes()).hexdigest(), "shape": vectors.shape, "seed": seed,
        "made_by": digest(Path(__file__).read_text("utf-8")),
    }  # fmt: skip

    def build(folder: Path) -> None:
        points = _fit(_principal(vectors)[:, :PCA_FIRST], seed)
        if not np.isfinite(points).all():
            raise UserError(f"UMAP of values up to {np.abs(vectors).max():.3g} fails. Scale them to the order of 1.")
        save_file({"points": torch.from_numpy(points)}, folder / "points.safetensors")

    points = read_tensors(artefact("umap", recipe, build) / "points.safetensors")["points"].numpy()
    return Projection(points, ("UMAP, first axis (no unit)", "UMAP, second axis (no unit)"), metric=False)


def _fit(vectors: np.ndarray, seed: int) -> np.ndarray:
    # an axis without extent, as of embeddings on a line, would be divided by zero
    start = vectors[:, :2] + np.random.default_rng(seed).normal(
        scale=1e-4 * vectors.std(0).max(), size=(len(vectors), 2)
    )
    chosen = {"n_neighbors": min(NEIGHBOURS, len(vectors) - 1), "min_dist": MIN_DIST, "init": start.astype(np.float32)}
    # a seed allows one thread only; asked for it, umap-learn has nothing to warn of
    points = load_umap().UMAP(**chosen, random_state=seed, n_jobs=1).fit_transform(vectors.astype(np.float32))
    return points.astype(np.float64)


def _principal(vectors: np.ndarray) -> np.ndarray:
    """Coordinates of rows (N, D) along the directions of falling variance, two at least."""
    centred = vectors - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    found = left * sizes
    farthest = found[np.abs(found).argmax(0), np.arange(found.shape[1])]
    found = found * np.where(farthest < 0, -1, 1)  # an SVD leaves the signs open
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))


def _checked(embeddings: ArrayLike, purpose: str) -> np.ndarray:
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) < 2 or not vectors.shape[1]:
        raise UserError(f"{purpose} of embeddings of shape {vectors.shape}: need (N, D) with N of 2 or more.")
    if not np.isfinite(vectors).all():
        raise UserError(f"{purpose}: some embeddings are not finite. The training diverged: lower the learning rate.")
    return vectors
