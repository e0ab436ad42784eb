"""Seeds of one condition trained in one process, for runs that then only assess them."""

import pytest
from tiny import printed, specification, statuses, table

from xmkd_lib import together
from xmkd_lib.sweep import Sweep, joint
from xmkd_lib.sweep.plan import tasks
from xmkd_lib.together import Trial


@pytest.fixture
def sweep(tmp_path, repository):
    shipped = str(repository / "notebooks" / "05_experiment.ipynb")
    return Sweep.read(specification(tmp_path, ["none", "soft_feature"], notebook=shipped))


def test_a_sweep_goes_on_from_what_was_trained_together(sweep, tmp_path, monkeypatch):
    folder = tmp_path / "runs"
    assert printed(sweep, tmp_path / "alone")[0]
    monkeypatch.setattr(together, "try_together", lambda *_: Trial(2.0))  # on a CPU it would not pay
    pair = [task for task in tasks(sweep, folder, list(sweep.runs())) if task.settings["method"] == "soft_feature"]
    assert joint.train([(task.settings, task.folder) for task in pair]).pays
    assert printed(sweep, folder)[0]
    assert [status["together"] for name, status in sorted(statuses(folder).items())] == [None, None, [0, 1], [0, 1]]
    for mine, alone in zip(table(folder), table(tmp_path / "alone"), strict=True):
        assert float(mine["train_distance"]) == pytest.approx(float(alone["train_distance"]), rel=0.01)


def test_the_trial_is_told_and_runs_follow(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(joint, "worthwhile", lambda: True)
    done, text = printed(sweep, tmp_path / "runs")
    assert done
    assert text.count("Seeds are trained ") == 2
    assert "failed" not in text


def test_what_fails_there_costs_nothing(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(joint, "worthwhile", lambda: True)
    monkeypatch.setattr(joint.sys, "executable", "false")
    said = []
    folder = tmp_path / "runs"
    folder.mkdir()
    joint.train_jointly(list(tasks(sweep, folder, list(sweep.runs()))), said.append)
    assert len(said) == 2
    assert "one by one" in said[0]


def test_groups_differ_in_the_seed_alone_and_have_not_begun(sweep, tmp_path):
    folder = tmp_path / "runs"
    everything = list(tasks(sweep, folder, list(sweep.runs())))
    assert [[task.seed for task in group] for group in joint._conditions(everything)] == [[0, 1], [0, 1]]
    begun = folder / everything[0].name / "checkpoint" / "training.safetensors"
    begun.parent.mkdir(parents=True)
    begun.touch()
    assert [[task.seed for task in group] for group in joint._conditions(everything)] == [[0, 1]]


@pytest.mark.parametrize(("devices", "tried"), [("", False), ("0", True), ("0,1", False)])
def test_it_is_tried_with_one_cuda_device(monkeypatch, devices, tried):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    assert joint.worthwhile() is tried
