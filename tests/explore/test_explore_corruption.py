"""Corruptions of known strength: what the sliders say is what is done, and nothing else changes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from xmkd_lib import data, explore
from xmkd_lib.errors import UserError
from xmkd_lib.explore.corruption import mispaired

SIZES = {"identities": 4, "utterances": 2, "val_identities": 2, "test_identities": 2, "eval_utterances": 2}


@pytest.fixture(scope="module")
def people():
    return data.create("people", heldout_utterances=2, **SIZES)


@pytest.fixture(scope="module")
def clean(people):
    return explore.without_noise(people)


def test_without_noise_are_the_same_sessions_but_sharp_and_quiet(people, clean):
    same = [name for name in people.table if name not in ("snr_db", "blur")]
    assert clean.table[same].equals(people.table[same])
    assert (clean.table.snr_db == 60).all()
    assert (clean.table.blur == 0).all()
    voices, quiet = (side.inputs("speech", range(6)).numpy() for side in (people, clean))
    assert all(np.corrcoef(a, b)[0, 1] > 0.9 for a, b in zip(voices, quiet, strict=True))


def test_another_data_set_cannot_be_made_again(people):
    class Other:
        name = "digits"

    with pytest.raises(UserError, match="'digits': only 'people'"):
        explore.without_noise(Other())


def test_the_default_corruption_changes_nothing(clean):
    row = int(clean.rows("heldout")[1])
    found = explore.corrupted(clean, row, explore.Corruption())
    assert torch.equal(found.images, clean.inputs("image", [row]))
    assert torch.equal(found.waveforms, clean.inputs("speech", [row]))
    assert found.labels.tolist() == [clean.table.label[row]]


def test_strengths_are_what_was_asked_for(clean):
    row = int(clean.rows("heldout")[1])
    found = explore.corrupted(clean, row, explore.Corruption(blur=1.5, snr_db=5.0))
    voice = clean.inputs("speech", [row])
    added = (found.waveforms - voice).double()
    assert 10 * torch.log10(voice.double().square().sum() / added.square().sum()) == pytest.approx(5, abs=1e-4)
    face = clean.inputs("image", [row])[0].numpy()
    np.testing.assert_allclose(
        found.images[0], gaussian_filter(face, (0, 1.5, 1.5), mode="nearest", radius=(0, 6, 6)), atol=1e-5
    )
    noisy = explore.corrupted(clean, row, explore.Corruption(pixel_noise=0.05)).images[0].numpy()
    inside = (face > 0.25) & (face < 0.75)
    assert (noisy - face)[inside].std() == pytest.approx(0.05, rel=0.05)
    assert 0 <= noisy.min() <= noisy.max() <= 1


def test_the_noise_of_a_row_does_not_change_between_calls(clean):
    chosen = explore.Corruption(snr_db=0.0, pixel_noise=0.1)
    first, again = (explore.corrupted(clean, 3, chosen) for _ in range(2))
    assert torch.equal(first.waveforms, again.waveforms)
    assert torch.equal(first.images, again.images)


def test_the_other_face_is_always_another_persons_of_the_same_split(clean):
    faces = clean.inputs("image", range(len(clean)))
    for row in range(len(clean)):
        found = explore.corrupted(clean, row, explore.Corruption(other_face=True))
        (other,) = [k for k in range(len(clean)) if torch.equal(faces[k], found.images[0])]
        assert clean.table.identity[other] != clean.table.identity[row]
        assert clean.table.split[other] == clean.table.split[row]
        assert torch.equal(found.waveforms, clean.inputs("speech", [row]))


def test_a_split_of_one_person_has_no_other_face(clean):
    lonely = explore.without_noise(clean)
    lonely.table = clean.table[clean.table.identity == "train-0000"].reset_index(drop=True)
    with pytest.raises(UserError, match="one person only"):
        explore.corrupted(lonely, 0, explore.Corruption(other_face=True))


def test_grades_grow_with_their_strength():
    images = torch.rand(60, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for grade in explore.image_grades(images):
        changed = (grade.corrupted - images).square().mean((1, 2, 3))
        assert spearmanr(grade.strength, changed).statistic > 0.8, grade.axis
        assert 0 <= grade.corrupted.min() <= grade.corrupted.max() <= 1
        assert (grade.of, grade.better) == ("images", -1)


def test_voices_get_their_own_snr_each():
    waves = torch.randn(40, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = explore.voice_grades(waves, 15, 35)
    added = found.corrupted - waves
    snr = 10 * torch.log10(waves.square().sum(1) / added.square().sum(1))
    torch.testing.assert_close(snr, found.strength.double(), atol=1e-4, rtol=0)
    assert 15 <= snr.min() < 18
    assert 32 < snr.max() <= 35
    assert found.better == 1


@pytest.mark.parametrize("n", [10, 16, 200])
def test_of_all_pairs_30_percent_change_places(n):
    order, wrong = mispaired(n)
    assert sorted(order.tolist()) == list(range(n))
    assert wrong.sum() == round(0.3 * n)
    assert [a != b for a, b in enumerate(order.tolist())] == wrong.bool().tolist()
    images = torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 3, 2, 2)
    found = explore.mispaired_images(images)
    assert found.corrupted[:, 0, 0, 0].tolist() == order.tolist()
    assert torch.equal(found.errors, wrong)
