"""Views differ a little from what they are views of, and are the same again for the same generator."""

import numpy as np
import pytest
import torch

from xmkd_lib import augmentation
from xmkd_lib.augmentation import VIEWS, view
from xmkd_lib.errors import UserError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sample(modality):
    if modality == "text":
        tokens = torch.randint(1, 50, (30, 8, 3), generator=generator(9))
        tokens[:, 6:], tokens[:, :, 2] = 0, 0  # padding of words and of pieces
        return tokens
    return torch.randn(30, *((3, 12, 12) if modality == "image" else (5, 40)), generator=generator(9))


@pytest.fixture
def without_noise(monkeypatch):
    for modality in ("image", "speech"):
        monkeypatch.setitem(VIEWS, modality, {**VIEWS[modality], "noise": 0.0})


@pytest.mark.parametrize("modality", VIEWS)
def test_a_view_has_the_shape_of_its_sample_and_repeats(modality):
    features = sample(modality)
    before = features.clone()
    found = view(features, modality, generator())
    assert (found.shape, found.dtype) == (features.shape, features.dtype)
    assert torch.equal(view(features, modality, generator()), found)
    assert not torch.equal(view(features, modality, generator(1)), found)
    assert torch.equal(features, before)


@pytest.mark.usefixtures("without_noise")
def test_speech_is_rolled_in_time_by_all_allowed_shifts():
    speech = torch.randn(400, 2, 40, generator=generator(9))
    found = view(speech, "speech", generator())
    shifts = []
    for before, after in zip(speech.numpy(), found.numpy(), strict=True):
        fits = [k for k in range(-20, 20) if np.array_equal(np.roll(before, k, axis=1), after)]
        assert len(fits) == 1
        shifts += fits
    assert set(shifts) == set(range(-10, 11))


@pytest.mark.usefixtures("without_noise")
def test_images_are_shifted_by_up_to_two_pixels():
    images = sample("image")
    found = view(images, "image", generator())
    wide = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="replicate")
    for image, frame in zip(found, wide, strict=True):
        assert sum(torch.equal(image, frame[:, i : i + 12, j : j + 12]) for i in range(5) for j in range(5)) == 1


@pytest.mark.parametrize("modality", ["image", "speech"])
def test_the_noise_has_the_stated_deviation(modality):
    features = torch.zeros(200, *sample(modality).shape[1:])
    found = view(features, modality, generator())
    assert float(found.std()) == pytest.approx(VIEWS[modality]["noise"], rel=0.03)
    assert abs(float(found.mean())) < 0.01


def test_text_loses_one_word_in_ten_but_never_all():
    tokens = sample("text").repeat(20, 1, 1)
    found = view(tokens, "text", generator())
    word = (tokens != 0).any(2)
    left = (found != 0).any(2)
    assert torch.equal(found[left], tokens[left])  # whole words, all their pieces
    assert not left[~word].any()
    assert 1 - float(left.sum() / word.sum()) == pytest.approx(0.1, abs=0.01)
    single = tokens[:, :1]
    assert torch.equal(view(single, "text", generator()), single)
    nothing = torch.zeros_like(tokens)
    assert torch.equal(view(nothing, "text", generator()), nothing)


def test_another_modality_is_refused():
    with pytest.raises(UserError, match="Did you mean 'speech'"):
        view(torch.zeros(1, 2, 3), "speach", generator())
    assert set(augmentation._CHANGES) == set(VIEWS)
