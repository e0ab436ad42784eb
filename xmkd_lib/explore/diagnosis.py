"""Whether a student's space has collapsed or was learned by heart, in numbers and in a sentence."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xmkd_lib.evaluation import Spread, effective_rank, spread, trial_scores

# All thresholds are our reading: no theory gives them. They were set, at the third attempt, on demo runs of people
# (seeds 0 to 3), digits (0, 1) and emoji (0), and then held on runs not seen before: people (4, 5),
# digits (2), emoji (1).
COMMON, BETWEEN = 0.5, 0.05  # of the squared length: most is the same for all, and next to nothing tells classes apart
NEAR = 1.0  # squared distance to the teacher: half way between equal, 0, and unrelated, 2
CARRIED = 0.5  # share of the nearness in training that new data keep
UNRELATED = 2.0


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
    split: str

    @property
    def sentence(self) -> str:
        """The finding in words, with the numbers that it rests on."""
        return f"{self.name}: {_VERDICTS[self.finding]}. {_REASONS[self.finding](self)} {_errors(self)}"


def diagnose(
    name: str, embeddings: ArrayLike, labels: ArrayLike, metrics: Mapping[str, float], split: str = "test"
) -> Diagnosis:
    """Diagnose a space from held-out embeddings (N, D), their labels (N,), and the metrics of `Study.assess`.

    Of unit vectors: effective rank, mean cosine between different classes without centring, and the shares of `spread`.
    Our reading of them:
    - collapsed: half of the squared length or more is common and less than 5 % lies between classes, or the effective
      rank of three or more classes is below 2. A common share alone does no harm, since scores are centred.
    - memorised: the training distance d to the teacher is below 1, and of the nearness 2 - d less than half is left on
      the held-out split.
    - neither: which is no proof of health.
    UserError as in `spread`.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    shares = spread(vectors, labels)
    rank = effective_rank(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    scores, targets = trial_scores(vectors, labels)
    distance, ahead = (metrics.get(f"{part}_distance", np.nan) for part in (split, "train"))
    errors = metrics[f"{split}_eer"], metrics["train_eer"]
    flat = rank < 2 and len(np.unique(np.asarray(labels))) > 2
    collapsed = flat or (shares.common >= COMMON and shares.between < BETWEEN)
    memorised = ahead < NEAR and UNRELATED - distance < CARRIED * (UNRELATED - ahead)
    finding = "collapsed" if collapsed else "memorised" if memorised else "neither"
    cosine = float(scores[~targets].mean())
    return Diagnosis(name, rank, vectors.shape[1], cosine, shares, *errors, distance, ahead, finding, split)


def _collapsed(found: Diagnosis) -> str:
    return (
        f"{100 * found.spread.common:.0f} % of the squared length is common to all, {100 * found.spread.between:.1f} % "
        f"tells classes apart, in {found.effective_rank:.1f} of {found.dimensions} directions; the mean cosine between "
        f"different classes is {found.mean_cosine:.2f}."
    )


def _memorised(found: Diagnosis) -> str:
    carried = 100 * (UNRELATED - found.distance) / (UNRELATED - found.train_distance)
    return (
        f"The squared distance to the teacher is {found.train_distance:.2f} in training and {found.distance:.2f} on "
        f"new data, where 2 is unrelated: {carried:.0f} % of the nearness carries over."
    )


def _neither(found: Diagnosis) -> str:
    return (
        f"{100 * found.spread.common:.0f} % of the squared length is common to all, "
        f"{100 * found.spread.between:.0f} % tells classes apart, in {found.effective_rank:.1f} of {found.dimensions} "
        "directions."
    )


_VERDICTS = {"collapsed": "collapsed", "memorised": "memorised", "neither": "neither collapsed nor memorised"}
_REASONS = {"collapsed": _collapsed, "memorised": _memorised, "neither": _neither}


def _errors(found: Diagnosis) -> str:
    return f"EER {100 * found.train_eer:.1f} % in training, {100 * found.eer:.1f} % in {found.split}."
