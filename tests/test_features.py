"""What networks read: the tokenizer knows training texts alone, and the bank's key knows the tokenizer."""

import pytest
import torch

from xmkd_lib import Experiment, Study, data, run
from xmkd_lib.errors import UserError
from xmkd_lib.features import extract, preprocessing, tokenizer


@pytest.fixture
def emoji(small_emoji, monkeypatch):
    monkeypatch.setenv("XMKD_DATA", str(small_emoji))
    return data.create("emoji", image_size=8)


def smoke(**settings):
    params = {"concepts": None, "image_size": 8, **settings.pop("dataset_params", {})}
    return Experiment.preset("smoke", dataset="emoji", device="cpu", dataset_params=params, **settings)


def change_text(dataset, split, text):
    dataset.table.loc[dataset.table.split == split, "text"] = text


def test_the_tokenizer_is_fitted_on_the_training_split(emoji):
    before = preprocessing(emoji, "text")
    change_text(emoji, "test", "words of the test split")
    change_text(emoji, "val", "words of the validation split")
    assert preprocessing(emoji, "text") == before
    assert not {"test", "validation"} & set(tokenizer(emoji).words)
    change_text(emoji, "train", "other words")
    assert preprocessing(emoji, "text") != before


def test_text_becomes_ids_in_table_order(emoji):
    ids = extract(emoji, "text", "cpu")
    assert ids.dtype == torch.int64
    assert ids.shape == (len(emoji), *tokenizer(emoji).shape)
    assert torch.equal(ids[[5]], tokenizer(emoji)(emoji.inputs("text", [5])))
    seen = torch.unique(ids[emoji.rows("train")])
    assert seen.tolist() == [0, *range(2, tokenizer(emoji).vocabulary)]
    change_text(emoji, "test", "§")
    assert set(extract(emoji, "text", "cpu")[emoji.rows("test")].unique().tolist()) == {0, 1}


@pytest.mark.parametrize("direction", ["text_to_image", "image_to_text"])
def test_both_directions_run_and_repeat(emoji, direction):
    experiment = smoke(method="soft", dataset_params={"direction": direction})
    first = run(experiment)
    assert first.metrics["margin_l2"] > 0
    assert {"val_accuracy", "test_accuracy_best", "teacher_test_accuracy"} <= set(first.metrics)
    torch.manual_seed(123)
    assert run(experiment).metrics == first.metrics


def test_a_text_teacher_and_a_text_student_learn_the_words_that_tell_the_class(emoji):
    taught = {"learning_rate": 0.02, "teacher_epochs": 20, "epochs": 20, "evaluate_every": 20}
    for model in ("text_ngram", "text_transformer"):
        assert Study(smoke(teacher_model=model, **taught)).assess_teacher()["teacher_test_accuracy"] == 1
    params = {"direction": "image_to_text"}
    assert run(smoke(method="none", dataset_params=params, **taught)).metrics["test_accuracy"] == 1


def test_models_that_do_not_read_the_modality_are_named(emoji):
    for settings, says in (
        ({"teacher_model": "resnet34"}, "'resnet34' reads no text"),
        ({"student_model": "text_ngram"}, "'text_ngram' reads text alone"),
    ):
        with pytest.raises(UserError, match=says):
            run(smoke(method="none", **settings))
