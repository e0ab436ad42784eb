"""Reading a sweep's folder: what is damaged, foreign or half there never counts and never stops it."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
from fake_sweep import change_plan, change_result, write_plan, write_result, write_run, write_status, write_sweep

from xmkd_lib.errors import UserError
from xmkd_lib.records import Result
from xmkd_lib.sweep import reading
from xmkd_lib.sweep.folder import result_digest
from xmkd_lib.sweep.reading import collect, read_folder, read_runs
from xmkd_lib.sweep.table import split

METHODS = ("none", "hard_feature", "soft_feature")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def result(**changes):
    entries = {"settings": {}, "metrics": {"score": 0.5}, "curves": {}, "timings": {}, "environment": {}}
    return Result(**entries | changes)


def test_the_table_has_a_row_per_planned_run_in_a_sensible_order(tmp_path):
    write_sweep(tmp_path, 3, METHODS)
    write_status(tmp_path, "soft-s0-ffffffff", "failed", "out of memory", method="soft", seed=0)
    write_status(tmp_path, "soft-s1-ffffffff", "queued", method="soft", seed=1)
    (tmp_path / "figures").mkdir()
    frame = collect(tmp_path)
    assert frame.state.value_counts().to_dict() == {"ok": 9, "failed": 1, "queued": 1}
    assert list(frame.columns[:8]) == [
        "method", "seed", "state", "seconds", "train_eer", "test_eer", "train_distance", "test_distance",
    ]  # fmt: skip
    assert list(frame.columns[8:12]) == ["train_eer_best", "test_eer_best", "train_distance_best", "test_distance_best"]
    assert frame.columns[-1] == "run"
    assert frame.attrs["settings"] == []
    assert frame[["method", "seed"]].values.tolist() == sorted(frame[["method", "seed"]].values.tolist())
    assert frame[frame.state != "ok"].test_eer.isna().all()
    for row in frame[frame.state == "ok"].itertuples():
        stored = json.loads((tmp_path / row.run / "result.json").read_text())
        assert row.test_eer == stored["metrics"]["test_eer"]
        assert row.seconds == stored["timings"]["seconds"]


def test_varying_settings_become_columns_and_nested_ones_are_flattened(tmp_path):
    write_run(tmp_path, "none", 0, dataset_params={"shared": 0.5}, feature_margin="auto", student_model=None)
    write_run(tmp_path, "none", 0, dataset_params={"shared": 0.9}, feature_margin=1.3, student_model=None)
    frame = collect(tmp_path)
    assert frame.attrs["settings"] == ["dataset_params.shared", "feature_margin"]
    assert frame["dataset_params.shared"].tolist() == [0.5, 0.9]
    assert set(frame.feature_margin) == {"auto", 1.3}
    assert str(next(iter(split(frame)))) == "none · shared=0.5 · feature_margin=auto"


def test_what_the_plan_leaves_to_the_default_is_taken_as_it_ran(tmp_path):
    """And so is the condition of a seed that did not run yet."""
    for seed in (0, 1):
        write_status(tmp_path, f"a{seed}", "queued", seed=seed, chosen={"method": "soft"})
        write_status(tmp_path, f"b{seed}", "queued", seed=seed, chosen={"method": "soft", "feature_weight": 4.0})
    assert [str(condition) for condition in split(collect(tmp_path))] == [
        "soft · feature_weight=4.0",
        "soft",
    ]
    full = {"method": "soft", "seed": 0, "feature_weight": 1.0, "epochs": 30}
    write_status(tmp_path, "a0", "failed", seed=0, chosen={"method": "soft"}, settings=full)
    groups = split(collect(tmp_path))
    assert {str(key): rows.seed.tolist() for key, rows in groups.items()} == {
        "soft · feature_weight=1.0": [0, 1],
        "soft · feature_weight=4.0": [0, 1],
    }


def test_settings_come_from_the_result_where_the_status_has_none(tmp_path):
    run = write_run(tmp_path, "none", 0)
    write_run(tmp_path, "none", 0, epochs=90)
    edit(run / "status.json", settings={})
    change_plan(tmp_path)
    assert set(collect(tmp_path).epochs) == {30, 90}


def test_results_that_cannot_be_trusted_are_invalid_with_a_reason(tmp_path):
    runs = [write_run(tmp_path, "none", seed) for seed in range(10)]
    change_result(runs[0], schema_version=99)
    (runs[1] / "result.json").write_text('{"schema_version": 1, "metr')
    (runs[2] / "result.json").unlink()
    edit(runs[3] / "result.json", timings={"seconds": 1.0})  # valid, but not what the run wrote
    (runs[4] / "status.json").write_text("{")
    (runs[5] / "status.json").write_text("")
    (runs[6] / "status.json").write_text("[1]")
    edit(runs[7] / "status.json", format=1)
    edit(runs[8] / "status.json", state="gorgeous")
    found = {run.folder: run for run in read_runs(tmp_path)}
    words = ("99", "JSON", "no such file", "SHA-256", "JSON", "JSON", "damaged", "another version", "gorgeous")
    for run, word in zip(runs, words, strict=False):
        assert found[run].state == "invalid"
        assert word in found[run].reason
    assert len(read_folder(tmp_path).finished) == 1


def test_a_result_that_its_status_does_not_know_never_counts(tmp_path):
    run = write_run(tmp_path, "none", 0)
    status = json.loads((run / "status.json").read_text())
    del status["result"]
    (run / "status.json").write_text(json.dumps(status))
    assert read_runs(tmp_path)[0].state == "invalid"


def test_only_planned_runs_count(tmp_path):
    write_run(tmp_path, "none", 0)
    other = write_run(tmp_path, "soft", 0)
    plan = json.loads((tmp_path / "plan.json").read_text())
    change_plan(tmp_path, runs=[entry for entry in plan["runs"] if entry["name"] != other.name])
    assert [run.method for run in read_runs(tmp_path)] == ["none"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"runs": ["a", "b"], "title": "old"}', "\x00\xff"])
def test_a_plan_that_cannot_be_read_is_the_users_error(tmp_path, content):
    (tmp_path / "plan.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"plan\.json"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "a/b", "..", ".", ""])
def test_a_plan_names_no_folder_outside_its_own(tmp_path, name):
    write_plan(tmp_path, name, 0, {"method": "none"})
    with pytest.raises(UserError, match=r"plan\.json"):
        read_folder(tmp_path)


def test_a_plan_names_each_run_once(tmp_path):
    entry = {"name": "a", "seed": 0, "settings": {}}
    change_plan(tmp_path, runs=[entry, entry])
    with pytest.raises(UserError, match="twice"):
        read_folder(tmp_path)


def test_no_folder_and_no_plan_are_the_users_error_and_an_empty_plan_an_empty_table(tmp_path):
    with pytest.raises(UserError, match="no such sweep folder"):
        collect(tmp_path / "absent")
    with pytest.raises(UserError, match=r"no plan\.json"):
        collect(tmp_path)
    change_plan(tmp_path)
    frame = collect(tmp_path)
    assert frame.empty
    assert {"method", "seed", "state", "seconds", "run"} <= set(frame.columns)


def test_a_run_archived_while_it_is_read_counts_as_it_is_then(tmp_path, monkeypatch):
    run = write_run(tmp_path, "none", 0)
    load = Result.load

    def archive_first(path):
        (run / "result.json").unlink(missing_ok=True)
        edit(run / "status.json", state="running", attempt=2)
        return load(path)

    monkeypatch.setattr(reading.Result, "load", archive_first)
    (found,) = read_runs(tmp_path)
    assert (found.state, found.attempt, found.reason) == ("running", 2, None)


@pytest.mark.parametrize(("vanishing", "state"), [("status.json", "ok"), ("result.json", "invalid"), (".", "queued")])
def test_files_that_vanish_between_two_looks_stop_nothing(tmp_path, monkeypatch, vanishing, state):
    run = write_run(tmp_path, "none", 0)
    read = reading.read_status

    def and_gone(folder):
        found = read(folder)
        shutil.rmtree(run, ignore_errors=True) if vanishing == "." else (run / vanishing).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(reading, "read_status", and_gone)
    (found,) = read_runs(tmp_path)
    assert found.state == state


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"epoch": 5, "epochs": 30, "metrics": {"val_eer": 0.21344}}', "epoch 5 of 30, val_eer 0.213"),
        ('{"stage": "teacher"}', "teacher"),
        ('{"epoch": 5, "metrics": [1]}', ""),
        ("{}", ""),
        ("[]", ""),
        ('{"epo', ""),
        (None, ""),
    ],
)
def test_progress_of_a_running_run(tmp_path, content, words):
    run = write_status(tmp_path, "none-s0", "running")
    if content is not None:
        (run / "progress.json").write_text(content)
    assert read_runs(tmp_path)[0].progress == words


def test_a_list_of_terms_is_a_condition_in_one_line(tmp_path):
    terms = [{"loss": "kd"}, {"loss": "l2", "margin": "auto", "weight": 4.0}]
    write_status(tmp_path, "a", "queued", chosen={"method": "none"})
    write_status(tmp_path, "b", "queued", chosen={"method": terms})
    write_status(tmp_path, "c", "queued", chosen={"method": [{"cost": "of another version"}]})
    methods = [run.method for run in read_runs(tmp_path)]
    assert methods == ["none", "1·kd (hard) + 4·l2 (hinge, margin auto)", '[{"cost": "of another version"}]']


def test_curves_are_one_row_per_run_and_epoch(tmp_path):
    write_sweep(tmp_path, 2, ("soft", "none"))
    write_status(tmp_path, "soft-s9", "failed", "why", method="soft", seed=9)
    curves = read_folder(tmp_path).curves
    assert len(curves) == 4 * 30
    assert {"method", "seed", "epoch", "val_eer", "train_distance"} <= set(curves.columns)
    for run in read_runs(tmp_path)[:4]:
        stored = json.loads((run.folder / "result.json").read_text())["curves"]["val_eer"]
        rows = curves[(curves.method == run.method) & (curves.seed == run.seed)]
        np.testing.assert_array_equal(rows.val_eer, stored)


def test_curves_of_other_shapes_are_left_out(tmp_path):
    odd = {"epoch": [1.0, 2.0], "long": [1.0, 2.0, 3.0], "fits": [4.0, 5.0]}
    write_result(tmp_path, result(curves=odd), 0, model="a")
    write_result(tmp_path, result(curves={"loss": [1.0]}), 1, model="a")
    write_result(tmp_path, result(curves={"epoch": [1.0], "late": [7.0]}), 2, model="a")
    curves = read_folder(tmp_path).curves.fillna(-1)
    assert curves[["seed", "epoch", "fits", "late"]].values.tolist() == [[0, 1, 4, -1], [0, 2, 5, -1], [2, 1, -1, 7]]
    assert "long" not in curves


def test_a_name_that_the_table_needs_is_written_longer(tmp_path):
    for n in (1, 2):
        write_result(tmp_path, result(metrics={"score": 0.5, "seed": 3.0, "mean": 4.0}), 0, n=n, score=n)
    frame = collect(tmp_path)
    assert frame.attrs["settings"] == ["settings.n", "settings.score"]
    assert frame[["settings.n", "settings.score"]].values.tolist() == [[1, 1], [2, 2]]
    assert frame[["seed", "metrics.seed", "metrics.mean", "score"]].values.tolist() == [[0, 3, 4, 0.5]] * 2


def test_settings_and_environment_are_of_the_finished_runs(tmp_path):
    write_run(tmp_path, "none", 0, extra=1)
    write_run(tmp_path, "soft", 0)
    found = read_folder(tmp_path)
    assert dict(found.settings)["method"] == "none, soft"
    assert dict(found.settings)["extra"] == "1, –"
    assert dict(found.environment)["torch"] == "2.13.0"


MEASURE = """
import resource, sys, tracemalloc
from xmkd_lib.sweep.folder import result_digest
from xmkd_lib.sweep.reading import read_folder
read_folder(sys.argv[1])
tracemalloc.start()
found = read_folder(sys.argv[1])
found.curves
kept, peak = tracemalloc.get_traced_memory()
print(kept, peak, len(found.runs))
"""


def test_reading_needs_little_memory_a_run(tmp_path):
    """A sweep's parent reads thousands: no result may stay whole in memory (an object of one takes 12 KB)."""
    figures = {f"metric_{k}": 0.1 * k for k in range(30)}
    curves = {name: [float(k) for k in range(6)] for name in ("epoch", "a", "b", "c", "d", "e", "f", "g")}
    settings = {f"setting_{k}": f"value {k}" for k in range(50)}
    full = result(settings=settings, metrics=figures, curves=curves)
    entries = []
    for seed in range(300):
        folder = tmp_path / f"run{seed}"
        path = full.save(folder / "result.json")
        status = {"format": 2, "state": "ok", "settings": settings, "result": result_digest(path.parent)}
        (folder / "status.json").write_text(json.dumps(status))
        entries.append({"name": folder.name, "seed": seed, "settings": {"method": "none"}})
    change_plan(tmp_path, runs=entries)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    kept, peak, runs = map(int, done.stdout.split())
    assert runs == 300
    assert kept / runs < 4000
    assert peak / runs < 8000


def test_nothing_measured_is_nan_not_zero(tmp_path):
    write_status(tmp_path, "none-s0", "failed", "why")
    assert math.isnan(collect(tmp_path).seconds[0])
