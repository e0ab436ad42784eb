"""The paper's claims, held against a sweep: supported, contradicted or not shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd

from xmkd_lib.evaluation import PairedDifference, holm, paired_difference
from xmkd_lib.sweep.table import ORDER, Condition, by_seed, counterpart, lower_is_better, split

EPOCHS = {"": "last epoch", "_best": "validation-chosen epoch"}


class Claim(NamedTuple):
    """`method` is better than `baseline`; or, where it overfits, worse although closer to the teacher in training."""

    text: str
    method: str
    baseline: str
    overfits: bool = False


CLAIMS = (
    Claim("the hard feature constraint overfits", "hard_feature", "none", overfits=True),
    Claim("the soft feature constraint beats the hard one", "soft_feature", "hard_feature"),
    Claim("the soft feature constraint beats no distillation", "soft_feature", "none"),
    Claim("the soft classifier constraint beats the hard one", "soft_classifier", "hard_classifier"),
    Claim("soft constraints at both levels beat no distillation", "soft", "none"),
    Claim("quality weights beat the same weights permuted", "soft_quality", "soft_permuted"),
)


@dataclass(frozen=True)
class Finding:
    """A claim at one epoch, in one condition. `distance` is the training distance's difference, for overfitting."""

    claim: Claim
    epoch: str
    condition: Condition
    verdict: str  # supported, contradicted, not shown, not tested
    difference: PairedDifference
    distance: PairedDifference | None = None
    p: float = float("nan")
    holm: float = float("nan")


def examine(frame: pd.DataFrame, metric: str, claims: Sequence[Claim] = CLAIMS) -> list[Finding]:
    """Test every claim at the last and at the validation-chosen epoch, in every condition that has its method.

    Verdicts follow the 95 % interval over common seeds: all on the claimed side, all on the other, or neither.
    A claim of two parts needs both and takes the larger p (intersection-union). Holm runs over all findings.
    """
    groups = split(frame, ORDER)
    findings = []
    for claim in claims:
        own = [condition for condition in groups if condition.method == claim.method]
        for condition in own or [Condition(claim.method)]:
            other = counterpart(condition, claim.baseline, groups)
            sides = [groups[key] if key in groups else frame.iloc[:0] for key in (condition, other)]
            findings += [_find(claim, epoch, condition, metric, *sides) for epoch in EPOCHS]
    adjusted = holm([finding.p for finding in findings])
    return [replace(finding, holm=float(p)) for finding, p in zip(findings, adjusted, strict=True)]


def _find(
    claim: Claim, epoch: str, condition: Condition, metric: str, rows: pd.DataFrame, base: pd.DataFrame
) -> Finding:
    def difference(name: str) -> PairedDifference:
        return paired_difference(by_seed(rows, name + epoch), by_seed(base, name + epoch))

    test = difference(metric)
    better = -1 if lower_is_better(metric) else 1
    if not claim.overfits:
        return Finding(claim, epoch, condition, _verdict([(test, better)]), test, p=test.p)
    distance = difference("train_distance")
    verdict = _verdict([(test, -better), (distance, -1)])
    p = float("nan") if verdict == "not tested" else max(test.p, distance.p)
    return Finding(claim, epoch, condition, verdict, test, distance, p)


def _verdict(parts: Iterable[tuple[PairedDifference, int]]) -> str:
    """Of differences and their claimed signs."""
    parts = list(parts)
    if any(part.n == 0 for part, _ in parts):
        return "not tested"
    if any(sign * part.low < 0 and sign * part.high < 0 for part, sign in parts):
        return "contradicted"
    if all(sign * part.low > 0 and sign * part.high > 0 for part, sign in parts):
        return "supported"
    return "not shown"
