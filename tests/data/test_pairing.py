import numpy as np
import pandas as pd
import pytest

from xmkd_lib.data.pairing import pair
from xmkd_lib.errors import UserError


@pytest.fixture
def table():
    generator = np.random.default_rng(0)
    splits = generator.permutation(["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    return pd.DataFrame({"split": splits, "label": generator.integers(0, 4, 100)}, index=range(500, 600))


def test_true_pairs_are_the_identity(table):
    assert pair(table, "true", seed=0).tolist() == list(range(100))


@pytest.mark.parametrize(("mode", "kept"), [("shuffled", ["split"]), ("shuffled_within_class", ["split", "label"])])
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_is_a_derangement_within_its_groups(table, mode, kept, seed):
    before = table.copy()
    taught_by = pair(table, mode, seed)
    assert sorted(taught_by) == list(range(100))
    assert (taught_by != np.arange(100)).all()
    for column in kept:
        assert (table[column].to_numpy()[taught_by] == table[column].to_numpy()).all()
    pd.testing.assert_frame_equal(table, before)


def test_shuffling_over_all_rows_crosses_classes(table):
    label = table.label.to_numpy()
    same = np.mean([label[pair(table, "shuffled", seed)] == label for seed in range(20)])
    assert same == pytest.approx((table.label.value_counts(normalize=True) ** 2).sum(), abs=0.05)


def test_every_other_row_is_equally_likely():
    table = pd.DataFrame({"split": ["train"] * 4, "label": 0})
    partners = [pair(table, "shuffled", seed)[0] for seed in range(600)]
    assert np.bincount(partners, minlength=4)[1:] == pytest.approx([200] * 3, abs=50)


def test_a_row_alone_in_its_group_keeps_its_pair():
    table = pd.DataFrame({"split": ["train", "train", "val"], "label": [0, 1, 0]})
    assert pair(table, "shuffled_within_class", seed=0).tolist() == [0, 1, 2]
    assert pair(table, "shuffled", seed=0).tolist() == [1, 0, 2]


def test_the_seed_decides(table):
    first = pair(table, "shuffled", seed=1)
    assert (first == pair(table, "shuffled", seed=1)).all()
    assert (first != pair(table, "shuffled", seed=2)).any()


def test_unknown_mode_says_the_nearest(table):
    with pytest.raises(UserError, match="Did you mean 'shuffled'"):
        pair(table, "shufled", seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_one_input_never_get_it(seed):
    inputs = pd.Series(np.random.default_rng(1).permutation(np.repeat(list("abcdefgh"), [3, 3, 3, 3, 2, 2, 1, 1])))
    table = pd.DataFrame({"split": "train", "label": 0}, index=range(len(inputs)))
    taught_by = pair(table, "shuffled_within_class", seed, inputs)
    assert sorted(taught_by) == list(range(len(inputs)))
    assert (inputs.to_numpy()[taught_by] != inputs.to_numpy()).all()


def test_different_inputs_are_shuffled_as_without_being_told(table):
    for mode in ("shuffled", "shuffled_within_class"):
        assert (pair(table, mode, 3, pd.Series(range(100))) == pair(table, mode, 3)).all()


def test_one_input_in_more_than_half_of_the_rows_is_as_good_as_can_be():
    inputs = pd.Series(list("aaab"))
    table = pd.DataFrame({"split": ["train"] * 4, "label": 0})
    same = (inputs.to_numpy()[pair(table, "shuffled", 0, inputs)] == inputs.to_numpy()).sum()
    assert same == 2
