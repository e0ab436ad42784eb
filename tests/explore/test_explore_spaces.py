"""Spaces hold each row's embeddings and score as a study does; a view links one sample in both."""

import numpy as np
import pytest

from xmkd_lib import Experiment, Study, data
from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import eer
from xmkd_lib.explore import Spaces
from xmkd_lib.explore.spaces import class_names


@pytest.fixture(scope="module")
def study():
    return Study(Experiment.preset("smoke", method="none"))


@pytest.fixture(scope="module")
def network(study):
    return study.student()


@pytest.fixture(scope="module")
def spaces(study, network):
    return Spaces(study, {"raw": study.outputs(network)})


def unit(vector):
    return vector / np.sqrt(vector @ vector)


def test_every_row_has_its_own_embedding(study, network, spaces):
    outputs = study.outputs(network)
    for split in spaces.splits:
        np.testing.assert_array_equal(spaces.embeddings("raw", split), outputs[split].embedding.numpy())
        ids = list(study.dataset.table.id[study.dataset.rows(split)])
        np.testing.assert_array_equal(spaces.embeddings("teacher", split), study.bank.take(ids).embedding.numpy())


@pytest.mark.parametrize("split", ["train", "val", "test", "heldout"])
def test_trials_give_the_eer_of_the_study(study, network, spaces, split):
    assert eer(*spaces.trials("raw", split)) == study.assess(network)[f"{split}_eer"]
    assert eer(*spaces.trials("teacher", split)) == study.assess_teacher()[f"teacher_{split}_eer"]


def nearest_by_loop(study, spaces, space, split, row):
    train, vectors = study.dataset.rows("train"), {}
    for part in ("train", split):
        vectors |= dict(zip(study.dataset.rows(part), spaces.embeddings(space, part), strict=True))
    mean = np.mean([vectors[i] for i in train], axis=0)
    names = study.dataset.table.identity
    cosines = {i: unit(vectors[i] - mean) @ unit(vectors[row] - mean) for i in study.dataset.rows(split)}
    own = max(c for i, c in cosines.items() if names[i] == names[row] and i != row)
    others = {i: c for i, c in cosines.items() if names[i] != names[row]}
    best = max(others, key=others.get)
    return own, best, others[best]


def test_a_view_links_one_sample_and_its_neighbours(study, spaces):
    view = spaces.view("raw", "pca", "test", number=2, sample=1)
    row = study.dataset.rows("test")[2 * 3 + 1]  # three samples of each identity
    table = study.dataset.table
    assert next(iter(view.captions)) == row
    assert view.caption(table.iloc[row]) == f"chosen: {table.id[row]}"
    assert list(view.panels) == ["teacher (image)", "raw (speech)"]
    assert view.names[view.chosen] == table.identity[row] == view.named[0]
    assert view.training.sum() == len(study.dataset.rows("train"))
    assert len(view.names) == view.training.sum() + len(study.dataset.rows("test"))
    for space in ("teacher", "raw"):
        _, other, cosine = nearest_by_loop(study, spaces, space, "test", row)
        assert f"nearest in {space}, cosine {cosine:.2f}" in view.caption(table.iloc[other])
        assert table.id[other] in view.text
        assert table.identity[other] in view.named


def test_a_view_projects_unit_vectors(spaces):
    view = spaces.view("raw", "pca", "train")
    vectors = np.array([unit(vector) for vector in spaces.embeddings("raw", "train")])
    variances = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    np.testing.assert_allclose(view.panels["raw (speech)"].points.var(0, ddof=1), variances[:2], atol=1e-9)
    assert view.training.all()


def test_numbers_past_the_last_begin_again(spaces):
    assert spaces.most_classes == 8
    assert spaces.most_samples == 4
    first, again = (spaces.view("raw", "pca", "test", *place) for place in ((1, 2), (7, 5)))
    assert first.captions == again.captions


def test_neighbours_of_a_sample_in_every_space(study, spaces):
    found = spaces.neighbours("val", number=1, sample=0)
    row = study.dataset.rows("val")[3]
    for space in ("teacher", "raw"):
        own, other, cosine = nearest_by_loop(study, spaces, space, "val", row)
        assert found.loc[space].tolist() == [
            pytest.approx(own), study.dataset.table.id[other], pytest.approx(cosine)
        ]  # fmt: skip


def test_a_large_split_is_thinned_the_same_way_for_every_choice(study, network):
    few = Spaces(study, {"raw": study.outputs(network)}, most=20)
    views = [few.view("raw", "pca", "test", number) for number in (0, 3)]
    for view in views:
        assert view.training.sum() == 10
        assert (~view.training).sum() == 10
        np.testing.assert_array_equal(view.panels["raw (speech)"].points, views[0].panels["raw (speech)"].points)
    assert few.neighbours("test", 3)["other"]["raw"] == pytest.approx(_cosine(views[1]), abs=0.006)


def _cosine(view):
    return float(view.text.split("in raw (cosine ")[1].split(")")[0])


def test_unknown_names_are_named(spaces):
    with pytest.raises(UserError, match="Did you mean 'test'"):
        spaces.view("raw", "pca", "tset")
    with pytest.raises(UserError, match=r"Unknown space 'row'\. Did you mean 'raw'"):
        spaces.view("row", "pca", "test")
    with pytest.raises(UserError, match="Unknown projection"):
        spaces.view("raw", "tsne", "test")


def test_a_split_without_rows_is_refused(network):
    bare = Study(Experiment.preset("smoke", method="none", dataset_params={"heldout_utterances": 0}))
    spaces = Spaces(bare, {"raw": bare.outputs(network)})
    assert spaces.splits == ["train", "val", "test"]
    with pytest.raises(UserError, match="Unknown split of data set 'people' 'heldout'"):
        spaces.embeddings("raw", "heldout")


def test_one_class_alone_has_no_neighbour_of_another(study, network):
    spaces = Spaces(study, {"raw": study.outputs(network)})
    spaces.names = np.full(len(study.dataset), "ann", dtype=object)
    with pytest.raises(UserError, match="All 18 samples are of the class 'ann'"):
        spaces.view("raw", "pca", "test")
    with pytest.raises(UserError, match="non-target"):
        eer(*spaces.trials("raw", "test"))


def test_outputs_of_some_splits_are_refused(study, network):
    with pytest.raises(UserError, match="Give those of all splits"):
        Spaces(study, {"raw": study.outputs(network, ("train", "test"))})


def test_a_class_of_emoji_has_its_name(tiny_emoji, monkeypatch):
    monkeypatch.setenv("XMKD_DATA", str(tiny_emoji))
    emoji = data.create("emoji")
    assert set(class_names(emoji)) == {"animals", "plants", "tools"}


@pytest.mark.parametrize("most", [1, -5, 2.5, "x"])
def test_a_picture_of_no_samples_is_refused(study, network, most):
    with pytest.raises(UserError, match="whole number from 2"):
        Spaces(study, {"raw": study.outputs(network)}, most)


def test_a_student_may_not_hide_the_teacher(study, network):
    with pytest.raises(UserError, match="Give it another name"):
        Spaces(study, {"teacher": study.outputs(network)})


def test_a_student_of_another_data_set_is_refused(study, network):
    other = Study(Experiment.preset("smoke", method="none", dataset_params={"test_identities": 3}))
    with pytest.raises(UserError, match="'test': 9 for 18 rows"):
        Spaces(study, {"raw": other.outputs(network)})
