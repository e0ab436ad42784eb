"""Whole runs at smoke size: what they report, that they repeat, and that the student learns."""

import math
import os

import pytest
import torch
from safetensors.torch import load_file

from xmkd_lib import Experiment, Result, Study, losses, models, run, study
from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import LOSSES
from xmkd_lib.objective import Term
from xmkd_lib.settings import PRESETS
from xmkd_lib.training import Diverged

METHODS = ("none", "hard_feature", "soft_feature", "hard_classifier", "soft", "soft_quality")


def smoke(method="soft", **settings):
    fixed = {"method": method, "learning_rate": 0.003, "epochs": 4, "device": "cpu"}
    return Experiment.preset("smoke", **{**fixed, **settings})


def figures(result):
    return result.metrics, result.curves


def equal(first, second):
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    def empty(name):
        monkeypatch.setenv("XMKD_CACHE", str(tmp_path / name))

    empty("first")
    return empty


@pytest.fixture
def fits(monkeypatch):
    """The epochs of every training that really takes place."""
    epochs, fit = [], study.fit

    def counted(network, objective, data, schedule, *args):
        epochs.append(schedule.epochs)
        return fit(network, objective, data, schedule, *args)

    monkeypatch.setattr(study, "fit", counted)
    return epochs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def rows():
    return []


@pytest.fixture(scope="module")
def result(folder, rows):
    return run(smoke(), out=folder, on_epoch=rows.append)


# -- what a run reports ---------------------------------------------------------------------------------------------


def test_metrics_are_those_that_a_study_must_contain(result):
    students = {
        *(f"{split}_{metric}" for split in ("train", "val", "test", "heldout") for metric in ("eer", "distance")),
        *("train_accuracy", "heldout_accuracy", "test_min_dcf_0.01", "test_min_dcf_0.05"),
    }
    teachers = {f"teacher_{name}" for name in students if not name.endswith("distance")}
    both = students | {f"{name}_best" for name in students}
    others = {"best_epoch", "parameters", "margin_l2", "margin_teacher_head"}
    assert set(result.metrics) == both | teachers | others
    assert all(math.isfinite(value) for value in result.metrics.values())
    shares = [value for name, value in result.metrics.items() if "eer" in name or "accuracy" in name]
    assert all(0 <= value <= 1 for value in shares)
    assert all(0 <= value <= 4 for name, value in result.metrics.items() if "distance" in name)
    assert result.metrics["parameters"] == sum(p.numel() for p in Study(smoke()).student().parameters())


def test_curves_hold_a_value_per_evaluated_epoch(result, rows):
    assert result.curves["epoch"] == [2, 4]
    assert {"learning_rate", "loss_ce", "loss_l2", "loss_teacher_head_active", "val_eer"} <= set(result.curves)
    assert result.curves == {name: [row[name] for row in rows] for name in rows[0]}
    best = result.curves["epoch"].index(result.metrics["best_epoch"])
    assert result.curves["val_error"][best] == min(result.curves["val_error"])
    assert result.metrics["val_eer_best"] == result.curves["val_eer"][best]
    assert result.metrics["val_eer"] == result.curves["val_eer"][-1]
    assert result.metrics["train_distance"] == result.curves["train_distance"][-1]


def test_a_run_leaves_its_folder(result, folder):
    assert Result.load(folder / "result.json") == result
    assert Experiment(**result.settings) == smoke()
    assert {"seconds", "teacher_seconds", "reference_seconds", "train_seconds"} <= set(result.timings)
    assert sorted(os.listdir(folder / "checkpoint")) == ["student_best.safetensors", "student_last.safetensors"]


def test_the_checkpoint_gives_the_same_figures(result, folder):
    again = Study(smoke())
    for suffix, name in (("", "last"), ("_best", "best")):
        network = again.student()
        network.load_state_dict(load_file(folder / "checkpoint" / f"student_{name}.safetensors"))
        for metric, value in again.assess(network).items():
            assert value == result.metrics[f"{metric}{suffix}"], metric


# -- repetition -------------------------------------------------------------------------------------------------------


def test_runs_repeat_bit_for_bit_whoever_trains_the_reference(result, empty_cache):
    assert figures(run(smoke())) == figures(result)  # `soft` trains teacher and reference itself
    none = run(smoke("none"))
    empty_cache("second")
    assert figures(run(smoke("none"))) == figures(none)  # now `none` comes first and offers its student
    assert figures(run(smoke())) == figures(result)


def test_the_random_state_outside_does_not_matter(result):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert figures(run(smoke())) == figures(result)
    assert torch.equal(torch.get_rng_state(), before)


def test_other_seeds_are_other_runs(result):
    assert run(smoke(seed=1)).metrics["test_distance"] != result.metrics["test_distance"]


def test_all_methods_of_a_seed_start_from_the_same_weights():
    first = Study(smoke("none")).student().state_dict()
    for method in METHODS[1:]:
        assert equal(Study(smoke(method)).student().state_dict(), first)
    assert not equal(Study(smoke("none", seed=1)).student().state_dict(), first)


def test_the_first_step_differs_by_the_term_alone():
    one_step = {"epochs": 1, "evaluate_every": 1, "batch_size": 64, "teacher_epochs": 1}
    none, hard = (Study(smoke(method, **one_step)) for method in ("none", "hard_feature"))
    first, second = (each.train(each.terms())[1].curves for each in (none, hard))
    assert first["loss_ce"] == second["loss_ce"]
    assert "loss_l2" not in first
    assert second["loss_l2"][0] > 0
    assert first["train_distance"] != second["train_distance"]


def test_soft_at_margin_zero_is_hard_bit_for_bit():
    hard = run(smoke("hard_feature"))
    soft = run(smoke("soft_feature", feature_margin=0.0))
    assert soft.metrics.pop("margin_l2") == 0
    assert soft.curves.pop("loss_l2_margin") == [0, 0]
    assert figures(soft) == figures(hard)


def test_a_margin_that_all_samples_keep_is_no_distillation():
    none, soft = run(smoke("none")), run(smoke("soft_feature", feature_margin=4.0))
    assert all(soft.metrics[name] == value for name, value in none.metrics.items())
    assert soft.curves["loss_l2_active"] == [0, 0]


# -- every loss as a method -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", losses.names())
def test_every_loss_trains_a_student(name):
    with_margin = LOSSES[name].minimum is not None
    terms = [{"loss": name, "weight": 2.0, "warmup": 0.25}]
    if with_margin:
        terms.append({"loss": name, "margin": 0.01 if name == "centres" else "auto"})
    result = run(smoke(terms, epochs=2, evaluate_every=1))
    gradients = [result.curves[f"loss_{part}_gradient"][0] for part in ("ce", name, f"{name}_2")[: 2 + with_margin]]
    assert sum(gradients) == pytest.approx(1)
    assert gradients[1] > 0 or name == "centres"  # which moves the classifier, not the embedding
    if with_margin:
        assert result.metrics[f"margin_{name}_2"] >= 0
    assert ("auto_margin_seconds" in result.timings) == (with_margin and name != "centres")
    assert smoke(terms).terms()[0].warmup == 0.25


@pytest.mark.parametrize("name", ["sp", "rkd_distance", "vid", "crd", "simkd", "srrl", "l2"])
def test_teacher_and_student_of_other_widths(name):
    result = run(smoke([{"loss": name}], epochs=1, evaluate_every=1, teacher_embedding_dim=12))
    assert result.curves[f"loss_{name}_gradient"][0] > 0


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(UserError, match="'centres' compares no outputs"):
        run(smoke([{"loss": "centres", "margin": "auto"}]))
    with pytest.raises(UserError, match=r"'centres'.*width"):
        run(smoke([{"loss": "centres"}], teacher_embedding_dim=12))
    with pytest.raises(UserError, match="'infonce' has no minimum"):
        smoke([{"loss": "infonce", "margin": 1.0}])


# -- nothing leaks from one study into another ------------------------------------------------------------------------


def test_each_study_computes_with_its_own_threads(empty_cache):
    one, two = Study(smoke("soft", threads=1)), Study(smoke("soft", threads=2))
    assert two.bank.key
    assert torch.get_num_threads() == 2
    assert one.bank.key
    assert torch.get_num_threads() == 1
    torch.set_num_threads(2)
    assert one.terms()
    assert torch.get_num_threads() == 1


class Encoder(torch.nn.Module):
    def __init__(self, input_shape, embedding_dim, width):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.LazyLinear(embedding_dim))
        self.net(torch.zeros(2, *input_shape))

    def forward(self, x):
        return self.net(x)


class Deeper(Encoder):
    def forward(self, x):
        return torch.tanh(self.net(x))


def test_a_users_model_repeats_and_is_not_taken_for_an_earlier_one(empty_cache):
    try:
        models.registry.register("mine")(Encoder)
        settings = {"teacher_model": "mine", "student_model": "mine", "method": "soft_feature"}
        first, again = run(smoke(**settings)), run(smoke(**settings))
        assert figures(first) == figures(again)
        models.registry.register("mine")(Deeper)
        assert run(smoke(**settings)).metrics["margin_l2"] != first.metrics["margin_l2"]
    finally:
        del models.registry["mine"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "soft", "dataset_params": {"heldout_utterances": 0}}, "held-out recordings"),
        ({"method": [{"loss": "centres", "margin": "auto"}]}, "compares no outputs"),
        ({"student_model": "text_ngram"}, "reads text"),
        (
            {"method": "soft_quality", "kd_quality": ["teacher.stability"], "teacher": "random_centres"},
            "augmented views",
        ),
    ],
)
def test_what_needs_no_training_is_refused_before_any(fits, settings, words):
    with pytest.raises(UserError, match=words):
        run(smoke(**settings))
    assert fits == []


# -- the cache --------------------------------------------------------------------------------------------------------


def test_student_settings_keep_the_teacher_and_teacher_settings_do_not(empty_cache, fits):
    def trained(**settings):
        fits.clear()
        Study(smoke(**{"teacher_epochs": 1, "evaluate_every": 1, **settings})).bank  # noqa: B018
        return len(fits)

    assert trained() == 1
    assert trained() == 0
    student = {
        "method": "none", "epochs": 7, "student_width": 0.5, "student_model": "resnet_small", "head_margin": 0.1,
        "feature_margin": 1.0, "feature_weight": 2.0, "classifier_weight": 2.0, "margin_mode": "smooth",
        "quality_strength": 0.1, "pairing": "shuffled",
    }  # fmt: skip
    assert [trained(**{name: value}) for name, value in student.items()] == [0] * len(student)
    teacher = {
        "teacher_width": 0.5, "teacher_epochs": 2, "seed": 1, "image_shift": 0, "learning_rate": 0.01,
        "batch_size": 8, "evaluate_every": 2, "head_scale": 8.0, "embedding_dim": 16, "precision": "bf16",
        "dataset_params": {"shared": 0.9},
    }  # fmt: skip
    assert [trained(**{name: value}) for name, value in teacher.items()] == [1] * len(teacher)


def test_the_student_s_width_does_not_touch_a_teacher_of_its_own_width(empty_cache, fits):
    for width in (32, 24):
        Study(smoke("none", teacher_epochs=1, teacher_embedding_dim=16, embedding_dim=width)).bank  # noqa: B018
    assert len(fits) == 1


def test_the_reference_is_trained_once_for_all_methods(empty_cache, fits):
    for method in ("soft_feature", "soft", "none"):
        run(smoke(method, epochs=2, teacher_epochs=1))
    assert fits == [1, 2, 2, 2, 2]  # teacher; reference and soft_feature; soft; none


def test_a_study_trains_its_teacher_before_its_student(empty_cache, fits):
    Study(smoke("none", epochs=2, teacher_epochs=1)).train([])
    assert fits == [1, 2]


def test_a_damaged_cache_is_named(empty_cache, tmp_path):
    experiment = smoke("none", teacher_epochs=1)
    Study(experiment).bank  # noqa: B018
    for name in ("teacher.safetensors", "bank.safetensors"):
        path = next((tmp_path / "first" / "teachers").glob(f"*/{name}"))
        whole = path.read_bytes()
        path.write_bytes(whole[:-8])
        with pytest.raises(UserError, match=name):
            Study(experiment).bank  # noqa: B018
        path.write_bytes(whole)
    weights = load_file(path.with_name("teacher.safetensors"))
    weights["head.weight"] += 1
    study.save_file(weights, path.with_name("teacher.safetensors"))
    with pytest.raises(UserError, match="teacher, preprocessing or data differ"):
        Study(experiment).bank  # noqa: B018


# -- methods ----------------------------------------------------------------------------------------------------------


def test_a_method_given_as_dictionaries_runs():
    found = run(smoke([{"loss": "l2", "margin": 1.5}]))
    preset = run(smoke("soft_feature", feature_margin=1.5, feature_weight=1.0))
    assert figures(found) == figures(preset)
    assert found.settings["method"] == [Term(loss="l2", margin=1.5).model_dump()]


def test_auto_margins_are_fixed_by_training_and_validation_data(result):
    found = Study(smoke())
    margins = {term.loss: term.margin for term in found.terms()}
    assert margins["l2"] == result.metrics["margin_l2"] > 0
    assert margins["teacher_head"] == result.metrics["margin_teacher_head"] > 0
    other = Study(smoke())
    test = other.dataset.rows("test")
    other.bank.outputs.embedding[test] = 0  # what is tested plays no part
    other.reference["test"] *= 0
    assert {term.loss: term.margin for term in other.terms()} == margins
    with pytest.raises(UserError, match="heldout_utterances"):
        Study(smoke("soft_classifier", teacher_epochs=1, dataset_params={"heldout_utterances": 0})).terms()


def test_quality_weights_have_mean_one(result):
    found = Study(smoke("soft_quality"))
    w_ce, w_kd = found.quality_weights()
    for weights in (w_ce, w_kd):
        assert weights.shape == (len(found.dataset.rows("train")),)
        assert float(weights.mean()) == pytest.approx(1)
        assert weights.std() > 0.05
        assert weights.min() >= 0
    assert not torch.equal(w_ce, w_kd)
    assert run(smoke("soft_quality")).metrics["test_distance"] != result.metrics["test_distance"]
    unweighted = run(smoke("soft_quality", quality_strength=0.0))
    assert unweighted.metrics.pop("effective_sample_size_ce") == unweighted.metrics.pop("effective_sample_size_kd") == 1
    assert figures(unweighted) == figures(result)


def test_the_effective_sample_size_is_reported():
    found = smoke("soft_inverted", ce_quality=["external.snr_db"])
    metrics = run(found).metrics
    for side, w in zip(("ce", "kd"), Study(found).quality_weights(), strict=True):
        share = float(1 / (1 + w.double().var(correction=0)))
        assert metrics[f"effective_sample_size_{side}"] == pytest.approx(share, rel=1e-5)
        assert 0.5 < share < 1


def test_the_oracle_of_people_prefers_clean_recordings():
    w_ce, w_kd = Study(smoke("soft_oracle")).quality_weights()
    table = Study(smoke()).dataset.table.query("split == 'train'")
    assert (w_ce.argsort() == torch.tensor(table.snr_db.to_numpy(copy=True)).argsort()).all()
    assert (w_kd.argsort() == torch.tensor(table.blur.to_numpy(copy=True)).argsort(descending=True)).all()


def test_an_estimator_that_does_not_fit_ends_a_run_before_any_training(fits):
    with pytest.raises(UserError, match="data set 'people' has image"):
        run(smoke("soft_quality", kd_quality=["speech.wada_snr"]))
    with pytest.raises(UserError, match="Did you mean 'snr_db'"):
        run(smoke("soft_quality", ce_quality=["external.snr"]))
    assert fits == []


def test_cca_weights_a_real_study():
    _, w_kd = Study(smoke("soft_quality", kd_quality=["pair.cca", "image.resolution"])).quality_weights()
    assert w_kd.std() > 0.05
    assert float(w_kd.mean()) == pytest.approx(1)


def test_quality_weights_follow_the_pairing():
    true, shuffled = (Study(smoke("soft_quality", pairing=mode)) for mode in ("true", "shuffled"))
    assert torch.equal(true.quality_weights()[0], shuffled.quality_weights()[0])
    weights = [each.quality_weights()[1] for each in (true, shuffled)]
    assert not torch.equal(*weights)
    assert torch.equal(weights[0].sort().values, weights[1].sort().values)


def test_pairing_modes_give_other_teacher_rows():
    studies = {mode: Study(smoke(pairing=mode)) for mode in ("true", "shuffled", "shuffled_within_class")}
    true = studies["true"].teacher["train"].embedding
    rows = studies["true"].dataset.rows("train")
    assert torch.equal(true, studies["true"].bank.outputs.embedding[rows])
    labels = studies["true"].labels[rows]
    for mode in ("shuffled", "shuffled_within_class"):
        given = studies[mode].teacher["train"].embedding
        assert not (given == true).all(1).any()  # nobody keeps its own
        source = (given[:, None] == true[None]).all(2).int().argmax(1)
        assert sorted(source.tolist()) == list(range(len(rows)))
        assert (labels[source] == labels).all() == (mode == "shuffled_within_class")


def test_a_teacher_of_another_width_gets_a_projector():
    found = Study(smoke("hard_feature", teacher_embedding_dim=16))
    before = found.student()
    assert before.projector.weight.shape == (16, 32)
    assert found.teacher["train"].embedding.shape[1] == 16
    after, _ = found.train(found.terms())
    assert not torch.equal(after.projector.weight, before.projector.weight)
    assert equal(before.encoder.state_dict(), Study(smoke()).student().encoder.state_dict())
    metrics = run(smoke("soft", teacher_embedding_dim=16)).metrics
    assert metrics["parameters"] == sum(p.numel() for p in before.parameters())
    assert isinstance(Study(smoke()).student().projector, torch.nn.Identity)


def test_the_student_learns_and_a_hard_constraint_pulls_it_to_the_teacher():
    none, hard = (run(smoke(method, epochs=15, learning_rate=0.005)).metrics for method in ("none", "hard_feature"))
    assert none["train_eer"] < 0.2
    assert hard["train_eer"] < 0.3
    assert none["train_accuracy"] > 0.7
    assert hard["train_distance"] < 0.5 * none["train_distance"]


def test_a_run_that_diverges_says_so():
    with pytest.raises(Diverged, match=r"diverged in epoch \d+: .*learning_rate"):
        run(smoke("hard_feature", learning_rate=1e30))


# -- device and precision ---------------------------------------------------------------------------------------------


def test_precisions_do_not_mix_in_a_process(result):
    half, plain = Study(smoke(precision="bf16")), Study(smoke())  # both exist before either trains
    trained = {}
    for name, each in (("half", half), ("plain", plain)):
        trained[name] = each.assess(each.train(each.terms())[0])
    assert all(result.metrics[name] == value for name, value in trained["plain"].items())
    assert trained["half"]["test_distance"] != trained["plain"]["test_distance"]
    again = run(smoke(precision="bf16"))
    assert all(again.metrics[name] == value for name, value in trained["half"].items())


def test_a_device_that_is_not_there_is_named():
    if torch.cuda.is_available():
        assert Study(smoke(device="cuda")).device.type == "cuda"
    else:
        with pytest.raises(UserError, match="device='auto'"):
            Study(smoke(device="cuda"))
    assert Study(smoke(device="cpu")).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_gpu_gives_the_same_figures_within_its_rounding(result, precision):
    found = run(smoke(device="cuda", precision=precision))
    assert found.environment["device"] == "cuda"
    assert set(found.metrics) == set(result.metrics)
    assert found.metrics["train_distance"] == pytest.approx(result.metrics["train_distance"], rel=0.2)


def test_digits_choose_the_epoch_by_accuracy():
    if not os.environ.get("XMKD_DATA"):
        pytest.skip("XMKD_DATA is unset: no spoken digits to read")
    params = {**PRESETS["digits"]["smoke"]["dataset_params"], "utterances": 2}
    found = run(smoke(dataset="digits", dataset_params=params))
    assert {"val_accuracy", "test_accuracy", "test_accuracy_best", "teacher_test_accuracy"} <= set(found.metrics)
    assert found.curves["val_error"] == [1 - value for value in found.curves["val_accuracy"]]
    assert found.metrics["margin_teacher_head"] > 0  # validation has the training classes: no heldout split is needed


@pytest.mark.parametrize("params", [{"utterances": 1}, {"heldout_utterances": 1}])
def test_a_split_without_an_eer_is_refused_before_any_training(params):
    study = Study(Experiment.preset("smoke", dataset_params=params))
    with pytest.raises(UserError, match="two inputs of one of them"):
        _ = study.dataset


def test_the_number_of_threads_outside_does_not_matter(tmp_path, monkeypatch):
    """A sweep's worker has one thread, a notebook has all: with caches of their own, they must still agree."""
    found = []
    for threads in (1, 2):
        monkeypatch.setenv("XMKD_CACHE", str(tmp_path / str(threads)))
        torch.set_num_threads(threads)
        found.append(run(Experiment.preset("smoke", method="soft_feature")).metrics)
    torch.set_num_threads(1)
    assert found[0] == found[1]
