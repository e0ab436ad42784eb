"""Experiments accept what is valid, whole, and say the nearest when a name is not."""

import json

import pytest

from xmkd_lib import data, methods
from xmkd_lib.errors import UserError
from xmkd_lib.objective import Term
from xmkd_lib.settings import PRESETS, Experiment

# one valid value other than the default for every field
OTHERS = {
    "dataset": "digits",
    "dataset_params": {"snr": [0.0, 20.0], "identities": 9, "nothing": None},
    "pairing": "shuffled",
    "method": [Term(loss="l2", margin=1.5), Term(loss="kd", params={"temperature": 2.0}, mode="smooth", margin="auto")],
    "seed": 7,
    "teacher": "untrained",
    "teacher_bank": "outputs.npz",
    "teacher_model": "resnet34",
    "teacher_width": 0.5,
    "teacher_epochs": 2,
    "student_model": "resnet_small",
    "student_width": 1,
    "embedding_dim": 16,
    "teacher_embedding_dim": 48,
    "head_scale": 32.0,
    "head_margin": 0.2,
    "feature_loss": "cosine",
    "feature_margin": 0.5,
    "feature_weight": 2.0,
    "classifier_loss": "kd",
    "classifier_margin": 0,
    "classifier_weight": 0.0,
    "margin_mode": "smooth",
    "ce_quality": ["speech.wada_snr", "external.dnsmos"],
    "kd_quality": ["teacher.confidence", "pair.cca"],
    "label_smoothing": 0.1,
    "quality_mapping": "power",
    "quality_strength": 1.0,
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "warmup": 0.0,
    "evaluate_every": 1,
    "image_shift": 0,
    "device": "cpu",
    "precision": "bf16",
    "threads": 2,
}


def test_every_field_has_another_value_here():
    assert set(OTHERS) == set(Experiment.model_fields)
    assert all(getattr(Experiment(), name) != value for name, value in OTHERS.items())


@pytest.mark.parametrize("name", OTHERS)
def test_every_field_goes_through_json(name):
    experiment = Experiment(**{name: OTHERS[name]})
    assert Experiment(**experiment.model_dump(mode="json")) == experiment
    assert Experiment(**json.loads(experiment.model_dump_json())) == experiment
    assert experiment != Experiment()


def test_all_fields_together_go_through_json():
    experiment = Experiment(**OTHERS | {"teacher_bank": None})  # a file is the whole teacher
    assert Experiment(**json.loads(json.dumps(experiment.model_dump(mode="json")))) == experiment


def test_a_method_may_be_a_list_of_dictionaries():
    experiment = Experiment(method=[{"loss": "l2", "margin": 1.5}, {"loss": "kd", "weight": 2}])
    assert experiment.method == [Term(loss="l2", margin=1.5), Term(loss="kd", weight=2.0)]
    assert experiment.terms() == experiment.method
    assert Experiment(**experiment.model_dump(mode="json")) == experiment
    assert Experiment(method=[]).terms() == []


def test_tuples_become_what_json_makes_of_them():
    experiment = Experiment(dataset_params={"snr": (0.0, 20.0)})
    assert experiment.dataset_params == {"snr": [0.0, 20.0]}


@pytest.mark.parametrize("method", methods.names())
def test_every_method_has_terms(method):
    terms = Experiment(method=method).terms()
    assert (terms == []) == (method == "none")


def test_terms_take_the_settings():
    found = Experiment(
        method="soft", feature_loss="cosine", feature_margin=0.5, feature_weight=3, margin_mode="squared"
    )
    assert found.terms()[0] == Term(loss="cosine", margin=0.5, weight=3.0, mode="squared")
    assert found.terms()[1].margin == "auto"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epoch": 3}, ["setting 'epoch'", "'epochs'"]),
        ({"dataset": "peple"}, ["data set 'peple'", "'people'"]),
        ({"method": "soft_feture"}, ["method", "'soft_feature'"]),
        ({"student_model": "resnet43"}, ["model", "'resnet34'"]),
        ({"teacher_model": "tdn"}, ["model", "'tdnn'"]),
        ({"feature_loss": "l3", "method": "soft"}, ["loss 'l3'", "'l2'"]),
        ({"method": [{"loss": "cosin"}]}, ["loss 'cosin'", "'cosine'"]),
        ({"method": [{"loss": "l2", "mode": "hing", "margin": 1.0}]}, ["mode 'hing'", "'hinge'"]),
        ({"method": [{"loss": "kd"}, {"loss": "l2", "margn": 1.0}]}, ["'method'", "term 1", "'margn'", "'margin'"]),
        ({"method": [{"loss": "l2", "weight": "2"}]}, ["'method'", "term 0", "'weight' is '2'", "number"]),
        ({"method": [{"margin": 1.0}]}, ["'method'", "term 0", "'loss'", "required"]),
        ({"method": 3}, ["'method'", "3"]),
        ({"method": [3]}, ["'method'", "term 0 is 3", "mapping"]),
        ({"method": [{"loss": "l2", "margin": "Auto"}]}, ["term 0", "'margin' is 'Auto'", '"auto"']),
        ({"method": [{"loss": "l2", "margin": {"quantile": 2}}]}, ["term 0", "'quantile' is 2"]),
        ({"method": [{"loss": "kd", "params": {"temprature": 3}}]}, ["'temprature'", "'temperature'"]),
        ({"method": [{"loss": "kd", "params": {"temperature": 0}}]}, ["'kd'", "temperature is 0"]),
        ({"method": [{"loss": "simkd", "margin": {"class_spread": 1.0}}]}, ["'simkd'", "class mean"]),
        ({"method": [{"loss": "infonce", "margin": 1.0}]}, ["'infonce'", "no minimum"]),
        ({"method": [{"loss": "kd", "mode": "smooth"}]}, ["'smooth'", "Give a margin"]),
        ({"pairing": "shufled"}, ["'pairing'", "'shufled'", "'shuffled'"]),
        ({"margin_mode": "soft"}, ["'margin_mode'", "'hinge'"]),
        ({"precision": "fp8"}, ["'precision'", "'bf16'"]),
        ({"dataset_params": {"seed": 1}}, ["dataset_params", "'seed'"]),
        ({"dataset_params": {"blur": object()}}, ["'dataset_params'", "JSON"]),
        ({"dataset_params": {"shared": float("nan")}}, ["'dataset_params'", "JSON"]),
        ({"dataset_params": None}, ["'dataset_params'", "None"]),
        ({"epochs": "3"}, ["'epochs'", "'3'", "integer"]),
        ({"epochs": 3.0}, ["'epochs'", "3.0", "integer"]),
        ({"epochs": True}, ["'epochs'", "True", "integer"]),
        ({"learning_rate": "0.1"}, ["'learning_rate'", "number"]),
        ({"learning_rate": True}, ["'learning_rate'", "number"]),
        ({"feature_margin": "automatic"}, ["'feature_margin'", '"auto"']),
        ({"epochs": 0}, ["'epochs'", "greater"]),
        ({"batch_size": 1}, ["'batch_size'", "greater"]),
        ({"seed": -1}, ["'seed'", "greater"]),
        ({"seed": 2**32}, ["'seed'", "less"]),
        ({"warmup": 1.0}, ["'warmup'", "less"]),
        ({"head_margin": 1.6}, ["'head_margin'", "less"]),
    ],
)
def test_what_is_wrong_is_named(settings, words):
    with pytest.raises(UserError) as error:
        Experiment(**settings)
    assert all(word in str(error.value) for word in words), str(error.value)


NUMBERS = [name for name, value in OTHERS.items() if isinstance(value, int | float)]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_negative_or_not_finite(name, value):
    with pytest.raises(UserError, match=f"'{name}'"):
        Experiment(**{name: value})


def test_several_mistakes_are_all_named():
    with pytest.raises(UserError) as error:
        Experiment(epochs=0, seed=-1)
    assert [line.split("'")[1] for line in str(error.value).splitlines()] == ["seed", "epochs"]


def test_an_experiment_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Experiment().seed = 3


@pytest.mark.parametrize("dataset", data.names())
def test_presets_exist_for_each_data_set_and_smoke_is_small(dataset):
    assert set(PRESETS[dataset]) == {"smoke", "demo", "full"}
    smoke, demo, full = (Experiment.preset(name, dataset=dataset, seed=5) for name in ("smoke", "demo", "full"))
    assert smoke.dataset == demo.dataset == full.dataset == dataset
    assert smoke.seed == 5
    assert smoke.epochs <= 5 < demo.epochs <= full.epochs
    assert smoke.teacher_epochs <= 5
    assert smoke.dataset_params


def test_settings_win_over_the_preset():
    found = Experiment.preset("smoke", dataset="people", epochs=9, dataset_params={"utterances": 5})
    assert found.epochs == 9
    assert found.dataset_params["utterances"] == 5
    assert found.dataset_params["identities"] == PRESETS["people"]["smoke"]["dataset_params"]["identities"]
    assert PRESETS["people"]["smoke"]["dataset_params"]["utterances"] != 5
    assert Experiment.preset() == Experiment.preset("demo") == Experiment()


@pytest.mark.parametrize(
    ("preset", "settings", "words"),
    [
        ("smok", {}, "Did you mean 'smoke'"),
        ("smoke", {"dataset": "peopel"}, "Did you mean 'people'"),
        ("smoke", {"dataset_params": None}, "'dataset_params'"),
    ],
)
def test_wrong_presets_are_answered(preset, settings, words):
    with pytest.raises(UserError, match=words):
        Experiment.preset(preset, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "none", "feature_loss": "l3"}, "Did you mean 'l2'"),
        ({"quality_strength": 1.5}, "'quality_strength' is 1.5"),
    ],
)
def test_a_wrong_setting_is_refused_even_where_the_method_does_not_use_it(settings, message):
    with pytest.raises(UserError, match=message):
        Experiment(**settings)
