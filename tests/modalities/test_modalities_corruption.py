"""Corruptions: strengths against independent formulas, identity at strength 0, samples apart."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from xmkd_lib.errors import UserError
from xmkd_lib.modalities.corruption import add_noise, clip, excerpts, gaussian_blur


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_snr_is_what_was_asked_for():
    waves, noise, snr = rand(5, 400) - 0.5, rand(5, 400, seed=1) * 7, torch.tensor([-20.0, -5.0, 0.0, 12.5, 60.0])
    added = add_noise(waves, noise, snr) - waves
    found = 10 * np.log10((waves.numpy() ** 2).sum(1) / (added.numpy() ** 2).sum(1))
    np.testing.assert_allclose(found, snr, atol=1e-6)
    torch.testing.assert_close(added / added[:, :1], noise / noise[:, :1])
    torch.testing.assert_close(add_noise(waves, noise, 3.0), add_noise(waves, noise, torch.full((5,), 3.0)))


def test_silence_stays_silent_and_silent_noise_is_refused():
    silence, noise = torch.zeros(2, 9), rand(2, 9, dtype=torch.float32)
    assert torch.equal(add_noise(silence, noise, 0.0), silence)
    noise[1] = 0
    with pytest.raises(UserError, match="sample 1 is silent"):
        add_noise(silence, noise, 0.0)


def test_blur_equals_scipys():
    images, sigma = rand(4, 3, 20, 17), [0.0, 0.3, 1.1, 2.5]
    found = gaussian_blur(images, torch.tensor(sigma))
    for i, width in enumerate(sigma):
        expected = gaussian_filter(images[i].numpy(), (0, width, width), mode="nearest", radius=(0, 10, 10))
        np.testing.assert_allclose(found[i], expected, atol=1e-7)
    assert torch.equal(found[0], images[0])
    assert torch.equal(gaussian_blur(images, 0.0), images)


def test_blur_keeps_constants_and_samples_apart():
    flat = torch.full((1, 1, 8, 8), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, 3.0), flat)
    images, sigma = rand(3, 1, 9, 9), torch.tensor([0.5, 1.0, 2.0])
    alone = torch.cat([gaussian_blur(x[None], s) for x, s in zip(images, sigma, strict=True)])
    torch.testing.assert_close(gaussian_blur(images, sigma), alone, atol=1e-4, rtol=0)  # its kernel ends earlier


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_clipping_cuts_the_share_of_largest_samples(share):
    waves = rand(3, 1001) - 0.5
    clipped = clip(waves, share)
    changed = clipped != waves
    assert abs(changed.float().mean() - share) < 2e-3
    for before, after, cut in zip(waves, clipped, changed, strict=True):
        assert torch.equal(after[~cut], before[~cut])
        assert (before[cut].abs() > after.abs().max()).all()
        assert torch.equal(after.sign(), before.sign())


def test_clipping_takes_a_share_each():
    waves = (rand(2, 101) - 0.5).repeat(2, 1)
    both = clip(waves, torch.tensor([0.0, 0.0, 0.5, 0.5]))
    assert torch.equal(both[:2], waves[:2])
    assert torch.equal(both[2:], clip(waves[2:], 0.5))


def test_excerpts_are_parts_of_clips_and_repeat_with_the_seed():
    clips = torch.arange(1, 61.0).reshape(3, 20)
    found = excerpts(clips, 600, 7, torch.Generator().manual_seed(0))
    assert (found.diff() == 1).all()
    assert ((found[:, 0] - 1) // 20 == (found[:, -1] - 1) // 20).all()
    starts = set((found[:, 0].long() - 1).tolist())
    assert starts == {20 * clip + start for clip in range(3) for start in range(14)}
    assert torch.equal(found, excerpts(clips, 600, 7, torch.Generator().manual_seed(0)))
    assert not torch.equal(found, excerpts(clips, 600, 7, torch.Generator().manual_seed(1)))


def test_excerpts_leave_out_silence():
    clips = torch.zeros(2, 30)
    clips[1, 10] = 1.0
    assert excerpts(clips, 50, 5, torch.Generator().manual_seed(0)).any(1).all()
    with pytest.raises(UserError, match="2 clips"):
        excerpts(torch.zeros(2, 30), 3, 5, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: add_noise(torch.ones(2, 3), torch.ones(2, 4), 0.0), ["(2, 3)", "(2, 4)"]),
        (lambda: add_noise(torch.ones(2, 3), torch.ones(2, 3), torch.zeros(3)), ["(3,)", "2 samples"]),
        (lambda: gaussian_blur(torch.ones(3, 8, 8), 1.0), ["(3, 8, 8)"]),
        (lambda: gaussian_blur(torch.ones(1, 1, 8, 8), -1.0), ["-1"]),
        (lambda: gaussian_blur(torch.ones(1, 1, 8, 8), 9.0), ["9 pixels"]),
        (lambda: clip(torch.ones(4), 0.1), ["(4,)"]),
        (lambda: clip(torch.ones(2, 4), 1.0), ["below 1"]),
        (lambda: excerpts(torch.ones(2, 4), 1, 5, torch.Generator()), ["(2, 4)", "5 samples"]),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(UserError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)
