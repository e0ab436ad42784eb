"""The paper's claims, held against a sweep: supported, contradicted or not shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pandas as pd

from xmkd_lib.evaluation import PairedDifference, holm, paired_difference
from xmkd_lib.sweep.table import Condition, by_seed, counterpart, lower_is_better, split

EPOCHS = {"": "last epoch", "_best": "validation-chosen epoch"}


class Claim(NamedTuple):
    """`method` is better than `baseline`; or it overfits.

    Overfitting: the test metric is worse although training outputs are closer to the teacher's, and test outputs do not
    follow as far.
    """

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
    """A claim at one epoch, in one condition. distances: for overfitting, the distances' names and differences."""

    claim: Claim
    epoch: str
    condition: Condition
    verdict: str  # supported, contradicted, not shown, not tested
    difference: PairedDifference
    distances: dict[str, PairedDifference] = field(default_factory=dict)
    p: float = float("nan")
    holm: float = float("nan")


def claims_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """A row per finding: claim, condition, epoch, verdict, difference with its interval, common seeds, Holm's p."""
    rows = [
        (f.claim.text, str(f.condition), EPOCHS[f.epoch], f.verdict, f.difference.mean, f.difference.low,
         f.difference.high, f.difference.n, f.holm)
        for f in findings
    ]  # fmt: skip
    columns = ["claim", "condition", "epoch", "verdict", "difference", "low", "high", "n", "holm"]
    return pd.DataFrame(rows, columns=columns)


def examine(frame: pd.DataFrame, metric: str, claims: Sequence[Claim] = CLAIMS) -> list[Finding]:
    """Test every claim at the last and at the validation-chosen epoch, in every condition that has its method.

    Verdicts follow the 95 % interval over common seeds: all on the claimed side, all on the other, or neither.
    Overfitting has three parts: the test metric worse, the training distance smaller, and the gap (test minus training
    distance) wider. It needs them all and takes the largest p (intersection-union). Holm runs over all findings.
    """
    groups = split(frame)
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
    sides = rows, base
    test = paired_difference(*(by_seed(side, metric + epoch) for side in sides))
    better = -1 if lower_is_better(metric) else 1
    if not claim.overfits:
        return Finding(claim, epoch, condition, _verdict([(test, better)]), test, p=test.p)
    train, held_out = ([by_seed(side, f"{name}_distance{epoch}") for side in sides] for name in ("train", "test"))
    distances = {"train_distance": paired_difference(*train), "test_distance": paired_difference(*held_out)}
    gap = paired_difference(*(_gap(*side) for side in zip(train, held_out, strict=True)))
    parts = [(test, -better), (distances["train_distance"], -1), (gap, 1)]
    verdict = _verdict(parts)
    p = float("nan") if verdict == "not tested" else max(part.p for part, _ in parts)
    return Finding(claim, epoch, condition, verdict, test, distances, p)


def _gap(train: dict[int, float], test: dict[int, float]) -> dict[int, float]:
    return {seed: test[seed] - train[seed] for seed in train.keys() & test.keys()}


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
