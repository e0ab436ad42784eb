"""The tidy table, its summary and the terminal's view, on invented runs."""

import io
import json
import math
import os

import numpy as np
import pytest
from fake_sweep import write_run, write_status, write_sweep
from rich.console import Console

from xmkd_lib.errors import UserError
from xmkd_lib.sweep.table import (
    Condition,
    collect,
    collect_curves,
    counterpart,
    lower_is_better,
    primary_metric,
    print_summary,
    read_runs,
    split,
    summary,
    unit,
)

METHODS = ("none", "hard_feature", "soft_feature")


def edit_result(run, **changes):
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_collect_has_a_row_per_finished_run_in_a_sensible_order(tmp_path):
    write_sweep(tmp_path, 3, METHODS)
    write_status(tmp_path, "soft-s0-ffffffff", "failed", "out of memory", method="soft", seed=0)
    (tmp_path / "figures").mkdir()
    frame = collect(tmp_path)
    assert len(frame) == 9
    assert list(frame.columns[:7]) == [
        "method", "seed", "seconds", "train_eer", "test_eer", "train_distance", "test_distance",
    ]  # fmt: skip
    assert list(frame.columns[7:11]) == ["train_eer_best", "test_eer_best", "train_distance_best", "test_distance_best"]
    assert frame.columns[-1] == "run"
    assert frame.attrs["settings"] == []
    stored = json.loads((tmp_path / frame.run[4] / "result.json").read_text())
    assert frame.test_eer[4] == stored["metrics"]["test_eer"]


def test_varying_settings_become_columns_and_nested_ones_are_flattened(tmp_path):
    write_run(tmp_path, "none", 0, dataset_params={"shared": 0.5}, feature_margin="auto", student_model=None)
    write_run(tmp_path, "none", 1, dataset_params={"shared": 0.9}, feature_margin=1.3, student_model=None)
    frame = collect(tmp_path)
    assert frame.attrs["settings"] == ["dataset_params.shared", "feature_margin"]
    assert frame["dataset_params.shared"].tolist() == [0.5, 0.9]
    assert set(frame.feature_margin) == {"auto", 1.3}
    conditions = list(split(frame))
    assert str(conditions[0]) == "none · shared=0.5 · feature_margin=auto"


def test_an_absent_metric_is_nan_and_leaves_its_seed_out(tmp_path):
    runs = [write_run(tmp_path, "none", seed) for seed in range(3)]
    metrics = json.loads((runs[1] / "result.json").read_text())["metrics"]
    del metrics["test_eer"]
    edit_result(runs[1], metrics=metrics)
    frame = collect(tmp_path)
    assert np.isnan(frame.test_eer[1])
    row = summary(frame, "test_eer").iloc[0]
    assert (row.n, row.missing) == (2, "1")


def test_untrustworthy_results_are_invalid_with_a_reason(tmp_path):
    runs = [write_run(tmp_path, "none", seed) for seed in range(6)]
    edit_result(runs[0], schema_version=99)
    (runs[1] / "result.json").write_text('{"schema_version": 1, "metr')
    (runs[2] / "result.json").unlink()
    edit_result(runs[3], settings={"method": "none"})
    (runs[4] / "status.json").write_text("{")
    states = {run.folder: run for run in read_runs(tmp_path)}
    for run, word in zip(runs, ("99", "JSON", "no such file", "seed", "JSON"), strict=False):
        assert states[run].state == "invalid"
        assert word in states[run].reason
    assert len(collect(tmp_path)) == 1


def test_the_newest_of_equal_settings_counts(tmp_path):
    old = write_run(tmp_path, "none", 0)
    new = old.rename(tmp_path / "none-s0-zzzzzzzz")
    old = write_run(tmp_path, "none", 0, shift=0.2)
    os.utime(old / "result.json", (1, 1))
    frame = collect(tmp_path)
    assert frame.run.tolist() == [new.name]
    assert {run.folder.name: run.state for run in read_runs(tmp_path)} == {new.name: "ok", old.name: "superseded"}


def test_no_folder_is_the_users_error_and_an_empty_one_an_empty_table(tmp_path):
    with pytest.raises(UserError, match="No sweep folder"):
        collect(tmp_path / "absent")
    frame = collect(tmp_path)
    assert frame.empty
    assert {"method", "seed", "seconds"} <= set(frame.columns)


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


def test_only_common_seeds_are_paired_and_that_is_said(tmp_path):
    for seed in (0, 1, 2, 3):
        write_run(tmp_path, "none", seed)
    for seed in (2, 3, 7):
        write_run(tmp_path, "soft", seed)
    row = summary(collect(tmp_path), "test_eer").set_index("method").loc["soft"]
    assert (row.n, row.missing) == (3, "0, 1")
    assert (row.minus_none_n, row.minus_none_unpaired) == (2, "0, 1, 7")


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


def test_order_is_presets_then_names_or_as_told(tmp_path):
    write_sweep(tmp_path, 1, ("zeta", "soft", "none", "alpha"))
    frame = collect(tmp_path)
    assert summary(frame, "test_eer").method.tolist() == ["none", "soft", "alpha", "zeta"]
    assert summary(frame, "test_eer", order=("zeta", "soft")).method.tolist() == ["zeta", "soft", "alpha", "none"]


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


def test_lower_is_better():
    assert all(lower_is_better(f"test_{m}{s}") for m in ("eer", "distance", "min_dcf_0.01") for s in ("", "_best"))
    assert not lower_is_better("test_accuracy_best")
    with pytest.raises(UserError, match="best_epoch"):
        lower_is_better("best_epoch")


def test_primary_metric_is_accuracy_only_where_all_have_it(tmp_path):
    frame = collect(write_sweep(tmp_path, 2, ("none",)))
    assert primary_metric(frame) == "test_eer"
    assert primary_metric(frame.assign(test_accuracy=[0.5, 0.6])) == "test_accuracy"
    assert primary_metric(frame.assign(test_accuracy=[0.5, np.nan])) == "test_eer"


def test_units_write_signs_and_gaps():
    how = unit("test_eer_best")
    assert how.change(-0.0213) == "−2.13"
    assert how.interval(0.1, 0.2) == "[10.00, 20.00]"
    assert how.interval(float("nan"), float("nan")) == ""
    assert how.value(float("nan")) == "–"
    assert unit("val_distance").axis == "validation distance"
    assert unit("test_min_dcf_0.01").label == "test minDCF p=0.01"


def test_curves_are_one_row_per_run_and_epoch(tmp_path):
    write_sweep(tmp_path, 2, ("none", "soft"))
    frame = collect_curves(tmp_path)
    assert len(frame) == 4 * 30
    assert {"method", "seed", "epoch", "val_eer", "train_distance"} <= set(frame.columns)
    assert collect_curves(tmp_path / "..").empty


@pytest.mark.parametrize("seeds", [1, 3])
def test_terminal_table_fits_and_says_what_is_missing(tmp_path, seeds):
    write_sweep(tmp_path, seeds, ("none", "soft_classifier", "[bold]odd"))
    out = io.StringIO()
    print_summary(Console(file=out, width=100), collect(tmp_path))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "[bold]odd" in text
    assert "No finished run of hard_feature" in text
    assert "chosen" in text


def test_terminal_says_when_nothing_is_finished(tmp_path):
    out = io.StringIO()
    print_summary(Console(file=out), collect(tmp_path))
    assert "No run has finished" in out.getvalue()


def test_a_list_of_terms_is_a_condition_in_one_line(tmp_path):
    write_run(tmp_path, "none", 0)
    run = write_run(tmp_path, "soft", 0)
    result = json.loads((run / "result.json").read_text())
    result["settings"]["method"] = [{"loss": "kd"}, {"loss": "l2", "margin": "auto", "weight": 4.0}]
    (run / "result.json").write_text(json.dumps(result))
    assert set(collect(tmp_path).method) == {"none", "1·kd (hard) + 4·l2 (hinge, margin auto)"}
