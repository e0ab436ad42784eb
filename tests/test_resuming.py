"""Whole runs and cached teachers that are killed and started again, at smoke size."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from xmkd_lib import Experiment, Result, Study, checkpoint, experiment, models, run
from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json
from xmkd_lib.training import TrainingSet

EPOCHS = 3
WEIGHTS = ("student_last", "student_best")
METHODS = {
    "none": {"method": "none"},
    "auto margins, quality weights": {"method": "soft_quality"},
    "a memory and a running margin": {
        "method": [{"loss": "crd", "params": {"memory": 40}}, {"loss": "l2", "margin": {"quantile": 0.5}}]
    },
    "a projector and a connector": {"method": [{"loss": "vid"}, {"loss": "sp"}], "teacher_embedding_dim": 12},
    "dropout": {"method": "hard_feature", "student_model": "with_dropout"},
    "half precision": {"method": "hard_feature", "precision": "bf16"},
}


class Killed(Exception):
    pass


def smoke(method="hard_feature", **settings):
    fixed = {"method": method, "epochs": EPOCHS, "teacher_epochs": EPOCHS, "evaluate_every": 1, "device": "cpu"}
    return Experiment.preset("smoke", **{**fixed, **settings})


def kill_at(epoch):
    def on_epoch(row):
        if row["epoch"] == epoch:
            raise Killed

    return on_epoch


def assert_same(found, wanted, folders):
    assert found.metrics == wanted.metrics
    assert found.curves == wanted.curves
    for name in WEIGHTS:
        first, second = (load_file(folder / "checkpoint" / f"{name}.safetensors") for folder in folders)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "INTERVAL", 0)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    def empty(name):
        monkeypatch.setenv("XMKD_CACHE", str(tmp_path / name))
        return tmp_path / name

    return empty


@pytest.fixture
def epochs(monkeypatch):
    """The number of samples of every epoch that is really trained; `epochs.limit`: kill before epoch so many."""

    class Epochs(list):
        limit = None

    found, batches = Epochs(), TrainingSet.batches

    def counted(self, *args):
        if len(found) == found.limit:
            raise Killed
        found.append(len(self.labels))
        return batches(self, *args)

    monkeypatch.setattr(TrainingSet, "batches", counted)
    return found


@pytest.fixture
def with_dropout():
    class Encoder(torch.nn.Module):
        def __init__(self, input_shape, embedding_dim, width):
            super().__init__()
            size = input_shape[0] * input_shape[1]
            self.net = torch.nn.Sequential(
                torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(size, embedding_dim)
            )

        def forward(self, x):
            return self.net(x)

    models.registry.register("with_dropout")(Encoder)
    yield
    del models.registry["with_dropout"]


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", METHODS.values(), ids=METHODS)
def test_a_run_killed_after_every_epoch_gives_the_same(tmp_path, with_dropout, epochs, settings):
    chosen, folders = smoke(**settings), (tmp_path / "killed", tmp_path / "whole")
    wanted = run(chosen, out=folders[1])
    epochs.clear()
    for epoch in range(1, EPOCHS + 1):
        with pytest.raises(Killed):
            run(chosen, out=folders[0], on_epoch=kill_at(epoch))
        assert len(epochs) == epoch  # each is trained once
        assert os.listdir(folders[0] / "checkpoint") == ["training.safetensors"]
    rows = []
    found = run(chosen, out=folders[0], on_epoch=rows.append)
    assert len(epochs) == EPOCHS
    assert_same(found, wanted, folders)
    assert Result.load(folders[0] / "result.json").metrics == wanted.metrics
    assert [row["epoch"] for row in rows] == wanted.curves["epoch"]
    assert sorted(os.listdir(folders[0])) == ["checkpoint", "progress.json", "result.json"]
    assert sorted(os.listdir(folders[0] / "checkpoint")) == [f"{name}.safetensors" for name in sorted(WEIGHTS)]


def test_an_image_student_whose_images_are_shifted(tmp_path, small_emoji, monkeypatch, epochs):
    monkeypatch.setenv("XMKD_DATA", str(small_emoji))
    chosen, folders = smoke(dataset="emoji"), (tmp_path / "killed", tmp_path / "whole")
    assert Study(chosen).dataset.student_modality == "image"
    wanted = run(chosen, out=folders[1])
    epochs.clear()
    with pytest.raises(Killed):
        run(chosen, out=folders[0], on_epoch=kill_at(2))
    assert_same(run(chosen, out=folders[0]), wanted, folders)
    assert len(epochs) == EPOCHS


def test_other_settings_start_anew_in_the_same_folder(tmp_path, epochs):
    with pytest.raises(Killed):
        run(smoke(), out=tmp_path, on_epoch=kill_at(2))
    for settings in ({"feature_weight": 2.0}, {"pairing": "shuffled"}, {"learning_rate": 0.006}, {"seed": 1}):
        wanted = run(smoke(**settings))
        with pytest.raises(Killed):
            run(smoke(), out=tmp_path, on_epoch=kill_at(2))
        epochs.clear()
        found = run(smoke(**settings), out=tmp_path)
        assert len(epochs) == EPOCHS
        assert found.metrics == wanted.metrics
        assert found.curves == wanted.curves


def test_another_teacher_bank_of_the_same_name_starts_anew(tmp_path, epochs):
    path, chosen = tmp_path / "bank.safetensors", smoke(teacher_bank=str(tmp_path / "bank.safetensors"))
    for seed in (0, 1):
        bank = Study(smoke(teacher="random_centres")).bank if seed else Study(smoke()).bank
        bank.save(path)
        epochs.clear()
        with pytest.raises(Killed):
            run(chosen, out=tmp_path / "run", on_epoch=kill_at(2))
        assert len(epochs) == 2


def test_what_another_program_has_trained_is_taken(tmp_path, epochs):
    chosen = smoke()
    wanted = run(chosen)
    study = Study(chosen)
    terms = study.terms()
    _, fitted = study.train(terms)
    fitted.save(study.checkpoint(tmp_path / "checkpoint" / "training.safetensors", terms))
    epochs.clear()
    found = run(chosen, out=tmp_path)
    assert epochs == []
    assert found.metrics == wanted.metrics
    assert not (tmp_path / "checkpoint" / "training.safetensors").exists()


def test_progress_is_told(tmp_path, empty_cache, monkeypatch):
    empty_cache("cache")
    seen, write = [], experiment.write_atomically

    def note(path, content, **how):
        assert path == tmp_path / "run" / "progress.json"
        assert how == {"durable": False}
        seen.append(json.loads(content))
        write(path, content, **how)
        assert read_json(path) == seen[-1]

    monkeypatch.setattr(experiment, "write_atomically", note)
    found = run(smoke("soft"), out=tmp_path / "run")
    assert [each["stage"] for each in seen] == ["teacher", "reference", "student", *["student"] * EPOCHS]
    assert [(each["epoch"], each["epochs"]) for each in seen[2:]] == [(epoch, EPOCHS) for epoch in range(EPOCHS + 1)]
    for place, each in enumerate(seen[3:]):
        row = {name: values[place] for name, values in found.curves.items() if name != "epoch"}
        assert each["metrics"] == row


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(smoke())
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_refused_before_any_training(tmp_path, epochs, empty_cache):
    empty_cache("cache")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "run", str(tmp_path / "file" / "run")):
        with pytest.raises(UserError, match=r"file.*: cannot be written \(.*\)\. Choose another folder"):
            run(smoke(), out=out)
    assert epochs == []
    assert not (tmp_path / "cache").exists()


# -- teachers and references ------------------------------------------------------------------------------------------


def test_a_teacher_and_a_reference_go_on_where_they_were_killed(empty_cache, epochs):
    empty_cache("whole")
    study = Study(smoke("soft"))
    bank, reference, terms = study.bank, study.reference, study.terms()
    assert len(epochs) == 2 * EPOCHS
    root = empty_cache("killed")
    epochs.clear()
    for limit in (1, 2, 3, 4, 5):  # the teacher's last epoch is the third
        epochs.limit = limit
        with pytest.raises(Killed):
            Study(smoke("soft")).terms()
        kind = "teachers" if limit < EPOCHS else "references"
        places = [root / kind, *(root / kind).glob("*.part/checkpoint/*.safetensors")]
        assert len(places) == 1 + (limit != EPOCHS)
    epochs.limit = None
    again = Study(smoke("soft"))
    assert again.terms() == terms
    assert len(epochs) == 2 * EPOCHS
    assert again.bank.key == bank.key
    assert torch.equal(again.bank.outputs.embedding, bank.outputs.embedding)
    assert torch.equal(again.bank.outputs.logits, bank.outputs.logits)
    assert all(torch.equal(again.reference[split], reference[split]) for split in reference)
    assert not list(root.rglob("*.part"))
    assert not list(root.rglob("checkpoint"))


def test_another_method_goes_on_with_a_reference(empty_cache, epochs):
    empty_cache("whole")
    wanted = Study(smoke("soft")).reference
    empty_cache("killed")
    epochs.clear()
    epochs.limit = EPOCHS + 2
    with pytest.raises(Killed):
        _ = Study(smoke("soft")).reference
    epochs.limit = None
    found = Study(smoke("soft_feature", feature_weight=1.0)).reference
    assert len(epochs) == 2 * EPOCHS
    assert all(torch.equal(found[split], wanted[split]) for split in wanted)


def test_out_of_fold_teachers_that_are_trained_are_not_trained_again(empty_cache, epochs):
    empty_cache("whole")
    wanted = Study(smoke()).folds
    sizes = list(epochs)
    root = empty_cache("killed")
    epochs.clear()
    for limit in (4, 8, 9, 14):  # within the first, the second, between, in the last
        epochs.limit = limit
        with pytest.raises(Killed):
            _ = Study(smoke()).folds
    epochs.limit = None
    found = Study(smoke()).folds
    assert list(epochs) == sizes
    for first, second in zip(found, wanted, strict=True):
        assert torch.equal(first.outputs.embedding, second.outputs.embedding)
        assert torch.equal(first.outputs.logits, second.outputs.logits)
    assert not list(root.rglob("checkpoint"))


# -- killed outright --------------------------------------------------------------------------------------------------

KILLS = """
import json, os, random, signal, sys, time, torch
torch.set_num_threads(1)
from pathlib import Path
from xmkd_lib import Experiment, checkpoint, run
checkpoint.INTERVAL = 0
out, chosen = Path(sys.argv[1]), Experiment(**json.loads(sys.argv[2]))
ended, moments = [], random.Random(0)
while not (out / "result.json").exists():
    child = os.fork()
    if not child:
        os.environ["XMKD_CACHE"] = sys.argv[3]
        run(chosen, out=out)
        os._exit(0)
    if len(ended) < 6:
        time.sleep(moments.uniform(0.05, 0.5))
        os.kill(child, signal.SIGKILL)
    ended.append(os.waitpid(child, 0)[1])
print(json.dumps(ended))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks of a process that has its imports behind it")
def test_a_run_killed_at_random_moments_gives_the_same(tmp_path):
    """Wherever it is: in the teacher, in the reference, in an epoch, in the middle of a save."""
    chosen, folders = smoke("soft", epochs=15, teacher_epochs=5), (tmp_path / "killed", tmp_path / "whole")
    arguments = [str(folders[0]), chosen.model_dump_json(), str(tmp_path / "cache")]
    done = subprocess.run([sys.executable, "-c", KILLS, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout)
    assert ended.count(9) >= 3
    assert ended[-1] in (0, 9)
    assert_same(Result.load(folders[0] / "result.json"), run(chosen, out=folders[1]), folders)
