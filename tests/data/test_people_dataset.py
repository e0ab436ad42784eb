"""The data set `people`: its table, its splits, and that a row is the same whatever else is asked for."""

import hashlib

import numpy as np
import pytest
import torch

from xmkd_lib import data
from xmkd_lib.data import check_table
from xmkd_lib.data.people import VERSION
from xmkd_lib.data.people.dataset import _BATCH
from xmkd_lib.errors import UserError

SMALL = {"identities": 4, "utterances": 3, "val_identities": 3, "test_identities": 3, "eval_utterances": 2}


@pytest.fixture(scope="module")
def small():
    return data.create("people", **SMALL)


def test_table_has_disjoint_identities_and_labels(small):
    check_table(small.table, "people")
    labels = small.table.groupby("split").label.agg(set)
    assert labels["train"] == labels["heldout"] == set(range(4))
    assert small.num_classes == 4
    assert not labels["val"] & labels["test"]
    assert min(labels["val"] | labels["test"]) == 4
    assert len(small) == 4 * 3 + 3 * 2 + 3 * 2 + 4 * 4
    assert (small.table.groupby("identity").label.nunique() == 1).all()
    assert not small.table.duplicated(["identity", "session"]).any()
    assert (small.table.groupby("identity").face_age_years.nunique() == 1).all()


def test_ground_truth_stays_in_its_range():
    table = data.create("people", **SMALL, snr=[5, 9.0], blur=(0.5, 2)).table
    assert table.snr_db.between(5, 9).all()
    assert table.blur.between(0.5, 2).all()
    assert table.snr_db.nunique() == len(table) == table.blur.nunique()
    assert table.face_age_years.between(18, 80).all()
    assert set(table.voice_sex) <= {"female", "male"}


def test_inputs_are_quantised_and_shaped(small):
    image, speech = small.inputs("image", [5, 0]), small.inputs("speech", [5, 0])
    assert image.shape == (2, 3, 48, 48)
    assert image.dtype == torch.float32
    assert speech.shape == (2, 6400)
    assert speech.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert torch.equal(image, (image * 255).round() / 255)
    assert torch.equal(speech, (speech * 32767).round() / 32767)
    peaks = 20 * speech.abs().amax(1).log10()
    assert np.allclose(peaks, small.table.level_db.iloc[[5, 0]], atol=0.01)


def test_item_agrees_with_inputs(small):
    sample = small[7]
    assert sample.id == small.table.id[7]
    assert sample.label == small.table.label[7]
    assert torch.equal(sample.inputs["speech"], small.inputs("speech", [7])[0])


def test_modalities_are_drawn_apart_and_only_once():
    people = data.create("people", **SMALL)
    first = people.inputs("speech", people.rows("val"))
    assert set(people._cache) == {"speech"}
    assert people._drawn["speech"].sum() == 6
    assert torch.equal(people.inputs("speech", people.rows("val")), first)


def test_a_row_does_not_depend_on_order_batch_or_other_counts(small):
    other = data.create("people", identities=2, utterances=5, val_identities=9, test_identities=4, eval_utterances=7)
    ids = ["train-0001-002", "heldout-0001-003", "val-0002-001", "test-0000-001"]
    for modality in ("image", "speech"):
        for name in ids:
            here, there = (d.table.index[d.table.id == name].tolist() for d in (small, other))
            alone = other.inputs(modality, there)
            among = small.inputs(modality, [*range(len(small) - 1, 0, -1), *here])[-1:]
            assert torch.equal(alone, among), (modality, name)


def test_a_row_drawn_alone_is_the_row_drawn_among_others_of_every_blur_and_size():
    for image_size in (16, 48, 75):
        params = {**SMALL, "image_size": image_size, "blur": [0, 4], "seconds": 0.1}
        together, alone = data.create("people", **params), data.create("people", **params)
        rows = range(len(together))
        assert len(rows) > _BATCH
        for modality in ("image", "speech"):
            apart = torch.cat([alone.inputs(modality, [row]) for row in reversed(rows)]).flip(0)
            assert torch.equal(together.inputs(modality, rows), apart)


def test_seeds_sessions_and_splits_differ(small):
    other = data.create("people", seed=1, **SMALL)
    for modality in ("image", "speech"):
        everything = torch.cat([small.inputs(modality, range(len(small))), other.inputs(modality, range(len(other)))])
        assert len({sample.numpy().tobytes() for sample in everything}) == 2 * len(small)


def test_negative_rows_count_from_the_end_and_no_row_is_no_sample(small):
    assert torch.equal(small.inputs("image", [-1]), small.inputs("image", [len(small) - 1]))
    assert small.inputs("speech", []).shape == (0, 6400)


def test_size_and_rate_change_the_shape_only():
    large = data.create("people", **SMALL, image_size=96, sample_rate=16000, seconds=0.5)
    assert large.inputs("image", [0]).shape == (1, 3, 96, 96)
    assert large.inputs("speech", [0]).shape == (1, 8000)
    assert large.sample_rate == 16000


def test_a_face_at_another_size_is_the_same_face():
    small, large = (data.create("people", **SMALL, image_size=s, blur=[1, 1]).inputs("image", [0, 3]) for s in (48, 96))
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    distance = (small[:, None] - shrunk[None]).square().mean((2, 3, 4)).sqrt()
    assert distance[0, 0] < 0.06
    assert distance[1, 1] < 0.06
    assert distance[0, 1] > 0.12
    assert distance[1, 0] > 0.12


def test_fingerprint_follows_the_parameters():
    prints = {
        data.create("people", **SMALL, **p).fingerprint for p in ({}, {"seed": 1}, {"shared": 0.6}, {"snr": [1, 2]})
    }
    assert len(prints) == 4
    assert data.create("people", **SMALL, snr=[15, 35]).fingerprint == data.create("people", **SMALL).fingerprint


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"shared": 1.2}, r"shared is 1.2 \(float\); give a number from 0 to 1"),
        ({"shared": "0.5"}, r"shared is '0.5' \(str\)"),
        ({"shared": float("nan")}, "shared is nan"),
        ({"identities": 0}, "identities is 0"),
        ({"identities": 3.0}, r"identities is 3.0 \(float\); give a whole number"),
        ({"utterances": True}, r"utterances is True \(bool\)"),
        ({"eval_utterances": 1}, "eval_utterances is 1 .* from 2"),
        ({"snr": 20}, r"snr is 20 \(int\); give two numbers"),
        ({"snr": [30, 10]}, "lowest first"),
        ({"snr": [10, "x"]}, r"snr is 'x' \(str\)"),
        ({"blur": [-1, 1]}, "blur is -1"),
        ({"image_size": 4}, "image_size is 4"),
        ({"seed": -1}, "seed is -1"),
        ({"identites": 3}, "Did you mean 'identities'"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(UserError, match=message):
        data.create("people", **params)


def test_unknown_modality_is_named(small):
    with pytest.raises(UserError, match="Did you mean 'image'"):
        small.inputs("images", [0])


# SHA-256 of four faces and of four voices. Teacher outputs are cached under a fingerprint that holds VERSION: a change
# here without a higher VERSION would pair old outputs with new inputs. So: raise VERSION, then store the new digests.
DIGESTS = {
    "image": "0703d603d3129c4150ca0ce37c8f15d0c69d45e1682d0b90bb3db59394296d9e",
    "speech": "86ffe2ceb8c23ec928bf88109f9c1670a7fdf51c23c1e9edb9df2cb3cd7cc55b",
}


@pytest.mark.parametrize("modality", DIGESTS)
def test_samples_are_the_stored_ones(small, modality):
    ids = ["train-0000-000", "val-0002-001", "test-0001-000", "heldout-0003-003"]
    rows = [small.table.index[small.table.id == name].item() for name in ids]
    steps = {"image": 255, "speech": 32767}[modality]
    whole = np.rint(small.inputs(modality, rows).numpy().astype(np.float64) * steps).astype("<i4")
    assert VERSION == 3
    assert hashlib.sha256(whole.tobytes()).hexdigest() == DIGESTS[modality]
