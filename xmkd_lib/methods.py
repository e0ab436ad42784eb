"""The method presets: which terms, and whether quality weights them."""

from collections.abc import Callable
from typing import NamedTuple

from xmkd_lib import losses
from xmkd_lib.errors import unknown_name
from xmkd_lib.losses.base import LOSSES
from xmkd_lib.objective import Term


class Constraints(NamedTuple):
    """The settings that presets are made of: one feature-level and one classifier-level constraint."""

    feature_loss: str
    feature_margin: float | str
    feature_weight: float
    classifier_loss: str
    classifier_margin: float | str
    classifier_weight: float
    margin_mode: str

    def _mode(self, soft: bool) -> str:
        return self.margin_mode if soft else "hinge"

    def feature(self, soft: bool) -> Term:
        """The feature-level term, hard or soft."""
        margin = self.feature_margin if soft else None
        return Term(loss=self.feature_loss, margin=margin, mode=self._mode(soft), weight=self.feature_weight)

    def classifier(self, soft: bool) -> Term:
        """The classifier-level term, hard or soft."""
        margin = self.classifier_margin if soft else None
        return Term(loss=self.classifier_loss, margin=margin, mode=self._mode(soft), weight=self.classifier_weight)


# What the weights of a method with quality weights come from: the estimators, or what a control puts in their place.
QUALITY = {
    "soft_quality": "estimator",
    "soft_permuted": "permuted",
    "soft_inverted": "inverted",
    "soft_oracle": "oracle",
}
PRESETS: dict[str, Callable[[Constraints], list[Term]]] = {
    "none": lambda c: [],
    "hard_feature": lambda c: [c.feature(soft=False)],
    "soft_feature": lambda c: [c.feature(soft=True)],
    "hard_classifier": lambda c: [c.classifier(soft=False)],
    "soft_classifier": lambda c: [c.classifier(soft=True)],
    "soft": lambda c: [c.feature(soft=True), c.classifier(soft=True)],
    **dict.fromkeys(QUALITY, lambda c: [c.feature(soft=True), c.classifier(soft=True)]),
}


def names() -> list[str]:
    """All methods: the presets, then every loss as a hard baseline of its own."""
    return [*PRESETS, *losses.names()]


def terms(method: str | list[Term], constraints: Constraints) -> list[Term]:
    """The terms of a preset, of a loss's name (that loss, hard), or of a list. UserError on an unknown name."""
    if not isinstance(method, str):
        return list(method)
    if method in PRESETS:
        return PRESETS[method](constraints)
    if method in losses.names():
        level = LOSSES[method].level
        weight = constraints.feature_weight if level == "feature" else constraints.classifier_weight
        return [Term(loss=method, weight=weight)]
    raise unknown_name("method", method, names())
