"""What is wrong with a student's space, if anything: collapsed, memorised or healthy, in numbers and in a sentence."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xmkd_lib.evaluation import Spread, effective_rank, spread, trial_scores

# Both thresholds are our reading: they part the students of `04_embedding_explorer`, and no theory gives them.
COMMON = 0.5  # from here on, more of an embedding is the same for all samples than tells them apart
AHEAD = 0.5  # below this ratio of training to held-out distance, nearness to the teacher was learned by heart


class Diagnosis(NamedTuple):
    """What `diagnose` found. Distances are nan for a space without a teacher."""

    name: str
    effective_rank: float
    dimensions: int
    mean_cosine: float
    spread: Spread
    eer: float
    train_eer: float
    distance: float
    train_distance: float
    finding: str
    sentence: str


def diagnose(
    name: str, embeddings: ArrayLike, labels: ArrayLike, metrics: Mapping[str, float], split: str = "test"
) -> Diagnosis:
    """Diagnose a space from held-out embeddings (N, D), their labels (N,), and the metrics of `Study.assess`.

    Of unit vectors: effective rank, mean cosine between different classes without centring, and the shares of `spread`.
    Our reading of them:
    - collapsed: the common share is 0.5 or more, or the effective rank of three or more classes is below 2.
    - memorised: the training distance to the teacher is less than half of the held-out one.
    - healthy: neither.
    UserError as in `spread`.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    shares = spread(vectors, labels)
    rank = effective_rank(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    scores, targets = trial_scores(vectors, labels)
    distance, ahead = (metrics.get(f"{part}_distance", np.nan) for part in (split, "train"))
    errors = metrics[f"{split}_eer"], metrics["train_eer"]
    flat = rank < 2 and len(np.unique(np.asarray(labels))) > 2
    finding = "collapsed" if shares.common >= COMMON or flat else "memorised" if ahead < AHEAD * distance else "healthy"
    found = Diagnosis(
        name, rank, vectors.shape[1], float(scores[~targets].mean()), shares, *errors, distance, ahead, finding, ""
    )
    return found._replace(sentence=f"{name}: {finding}. {_REASONS[finding](found)} {_errors(found, split)}")


def _collapsed(found: Diagnosis) -> str:
    return (
        f"{100 * found.spread.common:.0f} % of an embedding's squared length is the same for all samples, the mean "
        f"cosine between different classes is {found.mean_cosine:.2f}, and the rest fills {found.effective_rank:.1f} "
        f"of {found.dimensions} directions."
    )


def _memorised(found: Diagnosis) -> str:
    return (
        f"The squared distance to the teacher is {found.train_distance:.2f} in training and {found.distance:.2f} on "
        f"new data: that nearness does not carry over. {100 * found.spread.within:.0f} % of the squared length goes "
        "into differences within a class."
    )


def _healthy(found: Diagnosis) -> str:
    return (
        f"Only {100 * found.spread.common:.0f} % of the squared length is common to all, "
        f"{100 * found.spread.between:.0f} % tells classes apart, in {found.effective_rank:.1f} of {found.dimensions} "
        "directions."
    )


_REASONS = {"collapsed": _collapsed, "memorised": _memorised, "healthy": _healthy}


def _errors(found: Diagnosis, split: str) -> str:
    return f"EER {100 * found.train_eer:.1f} % in training, {100 * found.eer:.1f} % in {split}."
