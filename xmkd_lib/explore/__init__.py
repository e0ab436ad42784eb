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
from xmkd_lib.explore.judge import Comparison, Judge, compare
from xmkd_lib.explore.ranking import Ranking, rank, weights_against_truth
from xmkd_lib.explore.robustness import chosen_students, noise_robustness

__all__ = [
    "Comparison",
    "Corruption",
    "Grades",
    "Judge",
    "Pairs",
    "Ranking",
    "chosen_students",
    "compare",
    "corrupted",
    "image_grades",
    "mispaired_images",
    "noise_robustness",
    "pairs",
    "rank",
    "voice_grades",
    "weights_against_truth",
    "without_noise",
]
