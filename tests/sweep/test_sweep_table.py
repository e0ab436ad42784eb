"""What is said of each condition: means, intervals, differences, missing seeds; on invented runs."""

import math

import numpy as np
import pytest
from fake_sweep import write_run, write_status, write_sweep

from xmkd_lib.errors import UserError
from xmkd_lib.sweep.reading import collect
from xmkd_lib.sweep.table import (
    Condition,
    counterpart,
    leaderboard,
    listed,
    lower_is_better,
    paired_table,
    primary_metric,
    summary,
    unbalanced,
    unit,
)

METHODS = ("none", "hard_feature", "soft_feature")


def test_summary_by_hand(tmp_path):
    write_sweep(tmp_path, 4, METHODS)
    frame = collect(tmp_path)
    table = summary(frame, "test_eer").set_index("method")
    none, soft = (frame[frame.method == m].set_index("seed").test_eer for m in ("none", "soft_feature"))
    row = table.loc["soft_feature"]
    assert row["mean"] == pytest.approx(soft.mean())
    assert row.low < row["mean"] < row.high
    assert row.minus_none == pytest.approx((soft - none).mean())
    assert (row.minus_none_n, row.minus_none_p, row.minus_none_p_floor) == (4, 0.125, 0.125)
    # Three comparisons: hard - none, soft - none, soft - hard; the mirror of the first is not a fourth.
    assert row.minus_none_holm == pytest.approx(3 * 0.125)
    assert math.isnan(table.loc["none"].minus_hard_feature)
    assert math.isnan(table.loc["none"].minus_none)


def test_a_baseline_without_runs_has_no_columns(tmp_path):
    write_sweep(tmp_path, 2, ("none", "soft"))
    columns = summary(collect(tmp_path), "test_eer").columns
    assert "minus_none" in columns
    assert not [name for name in columns if "hard_feature" in name]


def test_one_seed_has_no_interval(tmp_path):
    write_sweep(tmp_path, 1, METHODS)
    row = summary(collect(tmp_path), "test_eer").set_index("method").loc["soft_feature"]
    assert math.isnan(row.low)
    assert math.isnan(row.minus_none_low)
    assert row.minus_none_p == row.minus_none_p_floor == 1


def test_an_unknown_metric_names_the_nearest(tmp_path):
    write_sweep(tmp_path, 1, METHODS)
    with pytest.raises(UserError, match="test_eer"):
        summary(collect(tmp_path), "test_ere")


def test_counterparts_share_the_world_but_not_the_constraint():
    def at(method, **settings):
        return Condition(method, tuple(settings.items()))

    soft = at("soft", epochs=30, feature_margin=1.3)
    assert counterpart(soft, "none", [at("none", epochs=30, feature_margin="auto"), soft]) is not None
    assert counterpart(soft, "none", [at("none", epochs=90, feature_margin=1.3), soft]) is None
    exact = at("none", epochs=30, feature_margin=1.3)
    assert counterpart(soft, "none", [at("none", epochs=30, feature_margin="auto"), exact]) == exact
    two = [at("none", epochs=30, feature_margin="auto"), at("none", epochs=30, feature_margin=1.5)]
    assert counterpart(soft, "none", two) is None  # which of the two would be a choice after the fact


def test_units_write_signs_and_gaps():
    how = unit("test_eer_best")
    assert how.change(-0.0213) == "−2.13"
    assert how.interval(0.1, 0.2) == "[10.00, 20.00]"
    assert how.interval(float("nan"), float("nan")) == ""
    assert how.value(float("nan")) == "–"
    assert unit("val_distance").axis == "validation distance"
    assert unit("test_min_dcf_0.01").label == "test minDCF p=0.01"


def test_order_is_presets_then_names(tmp_path):
    write_sweep(tmp_path, 1, ("zeta", "soft", "none", "alpha"))
    assert summary(collect(tmp_path), "test_eer").method.tolist() == ["none", "soft", "alpha", "zeta"]


def test_only_common_seeds_are_paired_and_that_is_said(tmp_path):
    for seed in (0, 1, 2, 3):
        write_run(tmp_path, "none", seed)
    for seed in (2, 3, 7):
        write_run(tmp_path, "soft", seed)
    row = summary(collect(tmp_path), "test_eer").set_index("method").loc["soft"]
    assert (row.n, row.planned, row.missing) == (3, 5, "0, 1")
    assert (row.minus_none_n, row.minus_none_unpaired) == (2, "0, 1, 7")


def test_a_seed_that_no_condition_has_finished_is_missing_too(tmp_path):
    write_sweep(tmp_path, 2, ("none", "soft"))
    for method in ("none", "soft", "hard_feature"):
        write_status(tmp_path, f"{method}-s2", "queued", seed=2, method=method)
    table = summary(collect(tmp_path), "test_eer").set_index("method")
    assert table.n.to_dict() == {"none": 2, "soft": 2, "hard_feature": 0}
    assert table.planned.tolist() == [3, 3, 3]
    assert table.missing.to_dict() == {"none": "2", "soft": "2", "hard_feature": "0 to 2"}
    assert math.isnan(table.loc["hard_feature", "mean"])
    assert not [name for name in table if name.startswith("minus_hard_feature")]


def test_an_absent_metric_leaves_its_seed_out(tmp_path):
    write_sweep(tmp_path, 3, ("none",))
    frame = collect(tmp_path)
    frame.loc[1, "test_eer"] = np.nan
    row = summary(frame, "test_eer").iloc[0]
    assert (row.n, row.missing) == (2, "1")
    assert row["mean"] == pytest.approx(frame.test_eer[[0, 2]].mean())


def test_the_leaderboard_is_the_summary_at_both_epochs(tmp_path):
    frame = collect(write_sweep(tmp_path, 3, METHODS))
    board = leaderboard(frame, "test_eer")
    assert board.metric.tolist() == ["test_eer"] * 3 + ["test_eer_best"] * 3
    for name, rows in board.groupby("metric", sort=False):
        expected = summary(frame, name)
        np.testing.assert_array_equal(rows.minus_none_holm, expected.minus_none_holm)
        np.testing.assert_array_equal(rows["mean"], expected["mean"])
    empty = leaderboard(frame.iloc[:0], "test_eer")
    assert list(empty) == list(board)[: len(empty.columns)]
    assert empty.columns[-1] == "high"
    with pytest.raises(UserError, match="test_eer"):
        leaderboard(frame, "test_ere")


def test_unbalanced_seeds_in_words(tmp_path):
    frame = collect(write_sweep(tmp_path, 3, METHODS))
    assert unbalanced(frame, "test_eer") is None
    for seed in range(3, 6):
        write_status(tmp_path, f"none-s{seed}", "queued", seed=seed, method="none")
    head, text = unbalanced(collect(tmp_path), "test_eer")
    assert head == "Seeds are missing"
    assert text == "none, hard_feature and soft_feature lack seeds 3 to 5, planned but not finished."
    write_run(tmp_path, "none", 4)
    head, text = unbalanced(collect(tmp_path), "test_eer")
    assert head == "Unbalanced seeds"
    assert text.startswith("none lacks seeds 3, 5; hard_feature and soft_feature lack seeds 3 to 5. Means are over")


def test_of_many_conditions_that_lack_the_same_seeds_a_few_are_named(tmp_path):
    write_run(tmp_path, "none", 0)
    for k in range(9):
        write_status(tmp_path, f"m{k}", "queued", method=f"m{k}")
    assert "m0, m1, m2, m3, m4, m5 and 3 more lack seed 0." in unbalanced(collect(tmp_path), "test_eer")[1]


def test_seeds_are_listed_in_order():
    assert listed([]) == ""
    assert listed([5]) == "5"
    assert listed([5, 4]) == "4, 5"
    assert listed({9, 1, 2, 3, 0, 11, 10}) == "0 to 3, 9 to 11"


def test_lower_is_better():
    lower = ("test_eer", "test_distance", "test_min_dcf_0.01", "perplexity", "val_loss", "RMSE")
    higher = ("test_accuracy", "score", "macro_f1", "test_auc", "recall_at_1", "test_R2")
    for suffix in ("", "_best"):
        assert all(lower_is_better(name + suffix) for name in lower)
        assert not any(lower_is_better(name + suffix) for name in higher)
    for name in ("best_epoch", "scored", "career", "x"):
        with pytest.raises(UserError, match=f"{name}.*Rename it.*test_score"):
            lower_is_better(name)


def test_primary_metric_is_accuracy_only_where_all_finished_runs_have_it(tmp_path):
    frame = collect(write_sweep(tmp_path, 2, ("none",)))
    assert primary_metric(frame) == "test_eer"
    assert primary_metric(frame.assign(test_accuracy=[0.5, 0.6])) == "test_accuracy"
    assert primary_metric(frame.assign(test_accuracy=[0.5, np.nan])) == "test_eer"
    assert primary_metric(frame.assign(test_accuracy=[0.5, np.nan], state=["ok", "queued"])) == "test_accuracy"


def test_the_paired_table_of_a_baseline(tmp_path):
    frame = collect(write_sweep(tmp_path, 3, METHODS))
    board = leaderboard(frame, "test_eer")
    table = paired_table(board, "none")
    assert list(table) == ["mean", "low", "high", "n", "holm"]
    assert table.index.tolist() == [
        (metric, method) for metric in ("test_eer", "test_eer_best") for method in METHODS if method != "none"
    ]
    row = board[(board.metric == "test_eer") & (board.method == "soft_feature")].iloc[0]
    assert table.loc[("test_eer", "soft_feature"), "mean"] == row.minus_none
    assert len(paired_table(board, "kd")) == 0
    assert len(paired_table(leaderboard(frame.iloc[:0], "test_eer"), "none")) == 0
