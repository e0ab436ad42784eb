"""What the teaching notebooks compute: pure functions whose numbers `plots` draws."""

from xmkd_lib.explore.corruption import (
    Corruption,
    Grades,
    Pairs,
    corrupted,
    image_grades,
    mispaired_images,
    pairs,
    voice_grades,
    without_noise,
)
from xmkd_lib.explore.diagnosis import Diagnosis, diagnose
from xmkd_lib.explore.judge import Comparison, Judge, compare
from xmkd_lib.explore.projection import Projection, pca, project, umap
from xmkd_lib.explore.ranking import Ranking, rank, weights_against_truth
from xmkd_lib.explore.robustness import chosen_students, noise_robustness
from xmkd_lib.explore.spaces import Spaces, View

__all__ = [
    "Comparison",
    "Corruption",
    "Diagnosis",
    "Grades",
    "Judge",
    "Pairs",
    "Projection",
    "Ranking",
    "Spaces",
    "View",
    "chosen_students",
    "compare",
    "corrupted",
    "diagnose",
    "image_grades",
    "mispaired_images",
    "noise_robustness",
    "pairs",
    "pca",
    "project",
    "rank",
    "umap",
    "voice_grades",
    "weights_against_truth",
    "without_noise",
]
