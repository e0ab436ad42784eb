"""Which teacher teaches: controls, imported outputs, views and out-of-fold teachers, end to end at smoke size."""

import os

import numpy as np
import pytest
import torch

from xmkd_lib import Experiment, Study, run, study
from xmkd_lib.assessment import distance
from xmkd_lib.augmentation import VIEWS
from xmkd_lib.cache import cache_root, read_tensors
from xmkd_lib.errors import UserError
from xmkd_lib.models import AAMHead, Network, create
from xmkd_lib.teachers import TeacherBank, infer
from xmkd_lib.teaching import split_folds

KINDS = ("trained", "same_modality", "untrained", "random_centres")


def smoke(**settings):
    fixed = {"method": "none", "epochs": 2, "teacher_epochs": 2, "device": "cpu"}
    return Experiment.preset("smoke", **{**fixed, **settings})


@pytest.fixture(scope="module")
def trained():
    """One study with the trained teacher, whose artefacts the tests share."""
    return Study(smoke())


@pytest.fixture
def fits(monkeypatch):
    """The number of training samples of every training that really takes place."""
    sizes, fit = [], study.fit

    def counted(network, objective, data, *args):
        sizes.append(len(data.labels))
        return fit(network, objective, data, *args)

    monkeypatch.setattr(study, "fit", counted)
    return sizes


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XMKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# -- controls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_control_teacher_runs(kind):
    found = run(smoke(teacher=kind, method="soft", feature_margin=1.0, classifier_margin=1.0))
    assert found.settings["teacher"] == kind
    assert 0 <= found.metrics["teacher_test_eer"] <= 1
    assert found.metrics["train_distance"] > 0
    assert "teacher_matched" not in found.metrics
    assert run(smoke(teacher=kind, method="soft_feature")).metrics["margin_l2"] > 0


def test_no_two_kinds_of_teacher_are_ever_mixed():
    studies = [Study(smoke(teacher=kind)) for kind in KINDS]
    assert len({each.bank.key for each in studies}) == len(KINDS)
    for position, each in enumerate(studies):
        others = studies[:position] + studies[position + 1 :]
        assert not any(torch.equal(each.bank.outputs.embedding, other.bank.outputs.embedding) for other in others)
        again = Study(each.experiment)  # all from the cache that the others filled too
        assert again.bank.key == each.bank.key
        assert torch.equal(again.bank.outputs.embedding, each.bank.outputs.embedding)


def test_a_same_modality_teacher_reads_what_the_student_reads():
    found, chosen = Study(smoke(teacher="same_modality")), Experiment()
    assert found.teacher_modality == found.dataset.student_modality == "speech"
    network = Network(create("tdnn", input_shape=tuple(found.features["val"].shape[1:]), width=chosen.teacher_width),
                      AAMHead(32, 8, chosen.head_scale, 0.0))  # fmt: skip
    banks = [path.parent for path in (cache_root() / "teachers").glob("*/bank.safetensors")]
    (own,) = [path for path in banks if TeacherBank.load(path / "bank.safetensors").key == found.bank.key]
    network.load_state_dict(read_tensors(own / "teacher.safetensors"))
    wanted = infer(network, found.features["val"]).embedding
    torch.testing.assert_close(found.bank.outputs.embedding[found.dataset.rows("val")], wanted)


def test_an_untrained_teacher_is_not_trained(empty_cache, fits):
    found = Study(smoke(teacher="untrained"))
    first = found.bank.head["weight"]
    assert fits == []
    assert torch.equal(Study(smoke(teacher="untrained", teacher_epochs=7)).bank.head["weight"], first)
    one_step = {"teacher_epochs": 1, "learning_rate": 1e-12, "batch_size": 64, "weight_decay": 0.0}
    barely = Study(smoke(**one_step)).bank  # from the same initial weights
    torch.testing.assert_close(barely.head["weight"], first)
    assert fits == [len(found.dataset.rows("train"))]


def test_random_centres_know_the_labels_and_nothing_else():
    found = Study(smoke(teacher="random_centres"))
    metrics = found.assess_teacher()
    assert metrics["teacher_test_eer"] == metrics["teacher_val_eer"] == 0
    assert metrics["teacher_train_accuracy"] == metrics["teacher_heldout_accuracy"] == 1
    assert found.bank.outputs.embedding.shape[1] == found.teacher_dim == 32
    within = Study(smoke(teacher="random_centres", pairing="shuffled_within_class"))
    assert torch.equal(within.teacher["train"].embedding, found.teacher["train"].embedding)
    assert Study(smoke(teacher="random_centres", teacher_embedding_dim=6)).student().projector.out_features == 6


def test_the_reference_student_does_not_depend_on_the_teacher(empty_cache, fits, monkeypatch):
    first = Study(smoke()).reference
    count = len(fits)
    for settings in ({"teacher": "random_centres"}, {"teacher": "untrained"}, {"teacher_embedding_dim": 9}):
        again = Study(smoke(**settings)).reference
        assert all(torch.equal(again[split], first[split]) for split in first)
    assert len(fits) == count == 2  # teacher and reference, once
    for settings in ({"teacher": "random_centres"}, {"teacher_embedding_dim": 9}):
        monkeypatch.setenv("XMKD_CACHE", str(empty_cache / "_".join(settings)))  # nor does it when it is trained anew
        again = Study(smoke(**settings)).reference
        assert all(torch.equal(again[split], first[split]) for split in first)
    assert len(fits) == 5


# -- imported outputs -------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(trained, tmp_path):
    """The trained teacher's outputs as a user might bring them, and the file's path as a setting."""

    def export(name="mine.npz", logits=True, head=True, **changes):
        outputs, path = trained.bank.outputs, tmp_path / name
        arrays = {"id": np.array(trained.bank.ids)[::-1], "embedding": outputs.embedding.numpy()[::-1]}
        if logits:
            arrays["logits"] = outputs.logits.numpy()[::-1]
        if head:
            arrays |= {"weight": trained.bank.weight.numpy(), "scale": trained.bank.scale}
        np.savez(path, **arrays | changes)
        return str(path)

    return export


def test_an_imported_teacher_teaches_as_the_one_it_came_from(exported, fits):
    own = run(smoke(method="soft"))
    fits.clear()
    imported = run(smoke(method="soft", teacher_bank=exported()))
    assert imported.metrics.pop("teacher_matched") == len(Study(smoke()).dataset)
    assert imported.metrics == own.metrics
    assert imported.curves == own.curves
    assert len(fits) == 1  # the student; no teacher


def test_a_saved_bank_is_an_imported_teacher(trained, tmp_path):
    path = tmp_path / "saved.safetensors"
    trained.bank.save(path)
    found = Study(smoke(teacher_bank=str(path)))
    assert torch.equal(found.teacher["test"].embedding, trained.teacher["test"].embedding)


def test_the_width_comes_from_the_file(exported):
    path = exported(embedding=np.random.default_rng(0).standard_normal((len(Study(smoke()).dataset), 5)), head=False)
    found = Study(smoke(teacher_bank=path))
    assert found.teacher_dim == 5
    assert found.student().projector.weight.shape == (5, 32)
    assert run(smoke(method="hard_feature", teacher_bank=path)).metrics["train_distance"] > 0


def test_embeddings_alone_teach_by_feature_and_refuse_the_rest(exported):
    path = exported(logits=False, head=False)
    found = run(smoke(method="soft_feature", teacher_bank=path)).metrics
    assert found["margin_l2"] > 0
    assert "teacher_test_eer" in found
    assert not any("accuracy" in name for name in found if name.startswith("teacher"))
    for settings, words in (
        ({"method": "kd"}, "'kd' needs logits, but the teacher has none"),
        ({"method": [{"loss": "kd", "margin": "auto"}]}, "'kd' needs logits, but the teacher has none"),
        ({"method": "hard_classifier"}, "'teacher_head'.*weight"),
        ({"method": "soft"}, "'teacher_head'.*weight"),
    ):
        with pytest.raises(UserError, match=words):
            run(smoke(teacher_bank=path, **settings))


def test_a_file_that_does_not_fit_is_refused_before_any_training(exported, fits, tmp_path):
    short = exported("short.npz", id=np.array([*Study(smoke()).bank.ids[1:], "other"]))
    with pytest.raises(UserError, match=r"short\.npz: 1 of \d+ ids are missing, first 'train-0000-000'"):
        run(smoke(teacher_bank=short))
    with pytest.raises(UserError, match="there is no such file"):
        run(smoke(teacher_bank=str(tmp_path / "nowhere.npz")))
    assert fits == []


@pytest.mark.parametrize("settings", [{"teacher": "untrained"}, {"teacher_embedding_dim": 8}])
def test_a_file_is_the_whole_teacher(settings):
    with pytest.raises(UserError, match=r"'teacher_bank' is 'a\.npz'.*Leave out"):
        Experiment(teacher_bank="a.npz", **settings)


# -- views ------------------------------------------------------------------------------------------------------------


def test_views_are_near_their_sample(trained):
    views, own = trained.views, trained.bank.outputs.embedding[trained.dataset.rows("train")]
    assert views.shape == (len(own), 4, 32)
    assert views.device.type == "cpu"
    assert views.isfinite().all()
    for number in range(4):
        others = own.roll(1, 0)
        assert 0 < distance(views[:, number], own) < distance(views[:, number], others)
        assert all(not torch.equal(views[:, number], views[:, other]) for other in range(number))
    assert torch.equal(Study(smoke()).views, views)


@pytest.mark.parametrize("settings", [{"teacher": "same_modality"}, {"teacher": "untrained"}])
def test_views_are_of_the_chosen_teacher(trained, settings):
    found = Study(smoke(**settings))
    own = found.bank.outputs.embedding[found.dataset.rows("train")]
    assert distance(found.views[:, 0], own) < distance(found.views[:, 0], own.roll(1, 0))
    assert not torch.equal(found.views, trained.views)


def test_other_views_leave_the_bank_alone(empty_cache, fits, monkeypatch):
    first = Study(smoke())
    before = first.views
    monkeypatch.setitem(VIEWS, "image", {"shift": 1, "noise": 0.05})
    after = Study(smoke())
    assert not torch.equal(after.views, before)
    assert after.bank.key == first.bank.key
    monkeypatch.setattr("xmkd_lib.teaching.VIEW_COUNT", 2)
    assert Study(smoke()).views.shape[1] == 2
    assert len(fits) == 1
    kinds = {kind: len(list((empty_cache / kind).glob("*/recipe.json"))) for kind in ("teachers", "views")}
    assert kinds == {"teachers": 1, "views": 3}


def test_teacher_augmentation_makes_another_bank_and_student_augmentation_does_not(empty_cache, fits):
    """image_shift moves the images that people's teacher is trained on; a speech teacher has none."""
    for kind, trainings in (("trained", 2), ("same_modality", 1)):
        fits.clear()
        keys = {Study(smoke(teacher=kind, image_shift=shift)).bank.key for shift in (2, 0)}
        assert len(fits) == len(keys) == trainings


def test_an_image_student_s_augmentation_leaves_a_speech_teacher_alone(empty_cache, fits):
    if not os.environ.get("XMKD_DATA"):
        pytest.skip("XMKD_DATA is unset: no spoken digits to read")
    params = {"utterances": 2, "direction": "speech_to_image"}
    studies = [Study(smoke(dataset="digits", dataset_params=params, image_shift=shift)) for shift in (2, 0)]
    assert studies[0].bank.key == studies[1].bank.key
    assert len(fits) == 1
    assert not torch.equal(*(each.reference["val"] for each in studies))
    assert len(fits) == 3


def test_views_need_a_network(exported):
    for settings, words in (({"teacher": "random_centres"}, "random_centres"), ({"teacher_bank": exported()}, "mine")):
        with pytest.raises(UserError, match=rf"{words}.*no network.*views"):
            _ = Study(smoke(**settings)).views


# -- out of fold ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_a_stratified_partition(seed):
    sizes = [1, 2, 3, 4, 5, 9]
    labels = torch.repeat_interleave(torch.arange(6), torch.tensor(sizes))
    labels = labels[torch.randperm(24, generator=torch.Generator().manual_seed(seed))]
    folds = split_folds(labels, seed)
    assert len(folds) == 4
    assert sorted(torch.cat(folds).tolist()) == list(range(24))
    for fold in folds:
        assert fold.dtype == torch.int64
        assert len(fold) == 6
        for label, size in enumerate(sizes):
            held_out = int((labels[fold] == label).sum())
            assert size // 4 <= held_out <= -(-size // 4)
            assert size < 2 or held_out < size
    assert [fold.tolist() for fold in split_folds(labels, seed)] == [fold.tolist() for fold in folds]
    assert [fold.tolist() for fold in split_folds(labels, seed + 1)] != [fold.tolist() for fold in folds]


def test_each_fold_has_a_teacher_that_has_not_seen_it(empty_cache, fits):
    found = Study(smoke())
    folds, n = found.folds, len(found.dataset.rows("train"))
    assert fits == [n, *(n - len(fold.held_out) for fold in folds)]
    assert sorted(torch.cat([fold.held_out for fold in folds]).tolist()) == list(range(n))
    for fold in folds:
        assert fold.outputs.embedding.shape == (n, 32)
        assert fold.outputs.logits.shape == (n, 8)
        assert fold.outputs.embedding.device.type == "cpu"
    embeddings = [fold.outputs.embedding for fold in folds]
    assert not any(torch.equal(embeddings[0], other) for other in embeddings[1:])
    again = Study(smoke()).folds
    assert len(fits) == 5
    for first, second in zip(folds, again, strict=True):
        assert torch.equal(first.held_out, second.held_out)
        assert torch.equal(first.outputs.embedding, second.outputs.embedding)
        assert torch.equal(first.outputs.logits, second.outputs.logits)


def test_a_fold_s_teacher_does_not_depend_on_what_it_holds_out(empty_cache, monkeypatch):
    """Other labels of the held-out rows change nothing of their own fold's training, and everything of another's."""
    outputs = []
    for change in (False, True):
        found = Study(smoke())
        _ = found.bank
        held_out = split_folds(found.labels[found.dataset.rows("train")], 0)
        monkeypatch.setattr("xmkd_lib.teaching.split_folds", lambda labels, seed, kept=held_out: kept)
        monkeypatch.setenv("XMKD_CACHE", str(empty_cache / str(change)))
        if change:
            rows = found.dataset.rows("train")[held_out[0].numpy()]
            found.labels[rows] = (found.labels[rows] + 1) % 8
        outputs.append(found.folds)
    assert torch.equal(outputs[0][0].outputs.embedding, outputs[1][0].outputs.embedding)
    assert not torch.equal(outputs[0][1].outputs.embedding, outputs[1][1].outputs.embedding)


def test_a_teacher_that_is_well_trained_is_surer_of_what_it_has_seen():
    found = Study(smoke(teacher_epochs=10, evaluate_every=10))
    labels = found.labels[found.dataset.rows("train")]
    seen, unseen = [], []
    for fold in found.folds:
        sure = fold.outputs.logits.softmax(1).gather(1, labels[:, None])[:, 0]
        out = torch.zeros(len(labels), dtype=torch.bool)
        out[fold.held_out] = True
        seen.append(sure[~out])
        unseen.append(sure[out])
    assert torch.cat(seen).mean() > torch.cat(unseen).mean() + 0.05


@pytest.mark.parametrize("kind", ["untrained", "random_centres"])
def test_a_teacher_that_learns_nothing_has_its_own_outputs_in_all_folds(kind, fits):
    found = Study(smoke(teacher=kind))
    own = found.bank.outputs.map(lambda x: x[found.dataset.rows("train")])
    for fold in found.folds:
        assert torch.equal(fold.outputs.embedding, own.embedding)
        assert torch.equal(fold.outputs.logits, own.logits)
    assert fits == []


def test_an_imported_teacher_has_no_folds(exported):
    with pytest.raises(UserError, match=r"mine\.npz: an imported teacher .*out-of-fold"):
        _ = Study(smoke(teacher_bank=exported())).folds
