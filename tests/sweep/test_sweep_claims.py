"""Verdicts must follow the numbers, in both directions."""

import math

import pandas as pd
import pytest
from fake_sweep import write_sweep

from xmkd_lib.sweep.claims import CLAIMS, Claim, claims_table, examine
from xmkd_lib.sweep.reading import collect

BEATS = Claim("soft beats none", "soft", "none")
OVERFITS = Claim("hard overfits", "hard_feature", "none", overfits=True)


def frame(**methods):
    """A table from method -> column -> a value per seed."""
    rows = [
        {"method": method, "seed": seed, **{name: values[seed] for name, values in columns.items()}}
        for method, columns in methods.items()
        for seed in range(len(next(iter(columns.values()))))
    ]
    table = pd.DataFrame(rows)
    table.attrs["settings"] = []
    return table


def verdicts(table, claim, metric="test_eer"):
    return {finding.epoch: finding.verdict for finding in examine(table, metric, [claim])}


@pytest.mark.parametrize(
    ("soft", "verdict"),
    [([0.10, 0.11, 0.13], "supported"), ([0.30, 0.31, 0.33], "contradicted"), ([0.19, 0.22, 0.21], "not shown")],
)
def test_lower_eer_is_what_beating_means(soft, verdict):
    table = frame(none={"test_eer": [0.2, 0.21, 0.22]}, soft={"test_eer": soft})
    assert verdicts(table, BEATS) == {"": verdict, "_best": "not tested"}


def test_higher_accuracy_is_what_beating_means():
    table = frame(none={"test_accuracy": [0.8, 0.7, 0.6]}, soft={"test_accuracy": [0.9, 0.85, 0.7]})
    assert verdicts(table, BEATS, "test_accuracy")[""] == "supported"
    swapped = frame(soft={"test_accuracy": [0.8, 0.7, 0.6]}, none={"test_accuracy": [0.9, 0.85, 0.7]})
    assert verdicts(swapped, BEATS, "test_accuracy")[""] == "contradicted"


@pytest.mark.parametrize(
    ("eer", "train", "test", "verdict"),
    [
        ([0.3, 0.3, 0.33], [0.3, 0.3, 0.4], [1.7, 1.8, 1.7], "supported"),
        ([0.3, 0.3, 0.33], [2.3, 2.3, 2.4], [2.0, 2.0, 2.0], "contradicted"),  # worse, but not closer in training
        ([0.1, 0.1, 0.13], [0.3, 0.3, 0.4], [1.7, 1.8, 1.7], "contradicted"),
        ([0.3, 0.3, 0.33], [0.3, 0.3, 0.4], [0.1, 0.1, 0.1], "contradicted"),  # the test followed, and further
        ([0.19, 0.22, 0.21], [0.3, 0.3, 0.4], [1.7, 1.8, 1.7], "not shown"),
        ([0.3, 0.3, 0.33], [1.9, 2.1, 2.0], [2.0, 2.0, 2.0], "not shown"),
        ([0.3, 0.3, 0.33], [0.3, 0.3, 0.4], [0.2, 0.3, 0.5], "not shown"),  # the test followed as far
    ],
)
def test_overfitting_needs_a_worse_test_a_closer_training_fit_and_a_test_distance_left_behind(
    eer, train, test, verdict
):
    base = {"test_eer": [0.2, 0.21, 0.22], "train_distance": [2.0, 2.0, 2.0], "test_distance": [2.0, 2.0, 2.0]}
    table = frame(none=base, hard_feature={"test_eer": eer, "train_distance": train, "test_distance": test})
    assert verdicts(table, OVERFITS)[""] == verdict


@pytest.mark.parametrize("known", [(), ("train_distance",), ("test_distance",)])
def test_overfitting_without_both_distances_is_not_tested(known):
    distances = {key: [1.0, 1.0] for key in known}
    table = frame(none={"test_eer": [0.2, 0.21], **distances}, hard_feature={"test_eer": [0.3, 0.31], **distances})
    assert verdicts(table, OVERFITS)[""] == "not tested"


def test_all_parts_share_the_largest_p():
    base = {"test_eer": [0.2, 0.21, 0.22, 0.2], "train_distance": [2.0] * 4, "test_distance": [2.0] * 4}
    hard = {"test_eer": [0.3, 0.31, 0.32, 0.19], "train_distance": [0.3] * 4, "test_distance": [1.7] * 4}
    (finding, _) = examine(frame(none=base, hard_feature=hard), "test_eer", [OVERFITS])
    assert {name: (d.p, round(d.mean, 6)) for name, d in finding.distances.items()} == {
        "train_distance": (0.125, -1.7),
        "test_distance": (0.125, -0.3),
    }
    assert finding.p == finding.difference.p == 0.25


def test_one_seed_shows_nothing():
    table = frame(none={"test_eer": [0.2]}, soft={"test_eer": [0.1]})
    assert verdicts(table, BEATS)[""] == "not shown"


def test_holm_runs_over_what_was_tested():
    values = {"test_eer": [0.2, 0.21, 0.22, 0.23], "test_eer_best": [0.1, 0.15, 0.12, 0.13]}
    better = {name: [v - 0.05 - k / 100 for k, v in enumerate(row)] for name, row in values.items()}
    findings = examine(frame(none=values, soft=better), "test_eer")
    tested = [finding for finding in findings if finding.verdict != "not tested"]
    assert len(findings) == 2 * len(CLAIMS)
    assert [finding.claim.method for finding in tested] == ["soft", "soft"]
    assert [finding.holm for finding in tested] == [0.25, 0.25]
    assert all(math.isnan(finding.holm) for finding in findings if finding.verdict == "not tested")


def test_every_world_is_judged_by_itself():
    table = frame(none={"test_eer": [0.2, 0.21, 0.22]}, soft={"test_eer": [0.1, 0.11, 0.13]})
    worlds = [table.assign(epochs=30), table.assign(epochs=90)]
    worlds[1].loc[worlds[1].method == "soft", "test_eer"] += 0.3
    both = pd.concat(worlds, ignore_index=True)
    both.attrs["settings"] = ["epochs"]
    findings = [finding for finding in examine(both, "test_eer", [BEATS]) if not finding.epoch]
    assert {dict(f.condition.settings)["epochs"]: f.verdict for f in findings} == {30: "supported", 90: "contradicted"}


def test_the_table_of_claims_has_a_row_per_finding_with_its_holm_p(tmp_path):
    findings = examine(collect(write_sweep(tmp_path, 5, ("none", "hard_feature", "soft_feature"))), "test_eer")
    table = claims_table(findings)
    assert len(table) == len(findings)
    assert table.holm.equals(pd.Series([finding.holm for finding in findings], name="holm"))
    assert set(table.epoch) == {"last epoch", "validation-chosen epoch"}
    assert claims_table([]).empty
