"""Estimators: values by hand, signs against known corruption, edge cases."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from xmkd_lib import quality
from xmkd_lib.errors import UserError

RATE = 8000
needs_data = pytest.mark.skipif("XMKD_DATA" not in os.environ, reason="XMKD_DATA names no folder of real data")


def test_names():
    assert {"image.sharpness", "speech.energy_snr"} <= set(quality.names())
    with pytest.raises(UserError, match=r"Did you mean 'image\.sharpness'"):
        quality.create("image.sharpnes")


def speech_like(n, rng, pauses=True):
    """Tones of changing loudness, with pauses between: 1 s at 8 kHz."""
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * rng.uniform(100, 300, (n, 1)) * time)
    loudness = np.sin(2 * np.pi * (2 * time + rng.random((n, 1))))
    return tone * (loudness.clip(0) if pauses else 1 + 0.1 * loudness)


def mixed(clean, noise, snr):
    gain = np.sqrt((clean**2).mean(1, keepdims=True) / (noise**2).mean(1, keepdims=True))
    return torch.from_numpy(clean + gain * noise * 10 ** (-snr[:, None] / 20)).float()


def test_snr_equals_the_formula_on_plain_frames():
    x = np.random.default_rng(0).standard_normal(2000) * np.linspace(0.01, 1, 2000)
    energy = [x[i : i + 200].var() for i in range(0, 2000 - 200 + 1, 80)]
    low, high = np.quantile(energy, [0.10, 0.95])
    found = quality.create("speech.energy_snr", sample_rate=RATE)(torch.from_numpy(x))
    assert found.item() == pytest.approx(10 * np.log10((high - low) / low), abs=1e-3)


def test_snr_rises_with_the_true_one():
    rng = np.random.default_rng(0)
    snr = rng.uniform(-5, 30, 200)
    noisy = mixed(speech_like(200, rng), rng.standard_normal((200, RATE)), snr)
    assert spearmanr(snr, quality.create("speech.energy_snr", sample_rate=RATE)(noisy))[0] > 0.97


def test_snr_ignores_gain_offset_and_padding():
    rng = np.random.default_rng(0)
    noisy = mixed(speech_like(4, rng), rng.standard_normal((4, RATE)), np.array([0.0, 10, 20, 30]))
    estimator = quality.create("speech.energy_snr", sample_rate=RATE)
    plain = estimator(noisy)
    torch.testing.assert_close(estimator(noisy * 1e-3), plain, rtol=0, atol=0.01)
    torch.testing.assert_close(estimator(noisy + 0.5), plain, rtol=0, atol=0.01)
    for value in (0.0, 0.37):
        padded = torch.nn.functional.pad(noisy + value, (0, 4000), value=value)
        padded[:, RATE::3] += value * 1e-7  # rounding, as a resampler leaves it
        torch.testing.assert_close(estimator(padded), plain, rtol=0, atol=1.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_snr_edges(dtype):
    estimator = quality.create("speech.energy_snr", sample_rate=RATE)
    silence = torch.zeros(2, 4000, dtype=dtype)
    assert torch.equal(estimator(silence), torch.full((2,), -20.0))
    for level in (0.1, 0.3, 0.37, 0.7):
        assert estimator(torch.full((1, 4000), level, dtype=dtype)).item() == -20
    one = torch.randn(4000, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert estimator(one).shape == ()
    torch.testing.assert_close(estimator(one), estimator(one[None])[0])
    for length in (1, 50, 250):
        assert estimator(one[:length]).isfinite()


def test_samples_do_not_mix():
    rng = np.random.default_rng(0)
    batch = mixed(speech_like(3, rng), rng.standard_normal((3, RATE)), np.array([0.0, 10, 20]))
    estimator = quality.create("speech.energy_snr", sample_rate=RATE)
    torch.testing.assert_close(estimator(batch), torch.stack([estimator(x) for x in batch]))
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sharpness = quality.create("image.sharpness")
    torch.testing.assert_close(sharpness(images), torch.stack([sharpness(x) for x in images]))


def test_sharpness_equals_the_formula_in_plain_loops():
    image = np.random.default_rng(0).random((3, 7, 9))
    grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    laplacian = [
        grey[i - 1, j] + grey[i + 1, j] + grey[i, j - 1] + grey[i, j + 1] - 4 * grey[i, j]
        for i in range(1, 6)
        for j in range(1, 8)
    ]
    found = quality.create("image.sharpness")(torch.from_numpy(image))
    assert found.item() == pytest.approx(np.log(np.var(laplacian)), abs=1e-5)


def test_sharpness_falls_with_blur():
    rng = np.random.default_rng(0)
    width = rng.uniform(0, 3, 100)
    shapes = (rng.random((100, 1, 8, 8)) > 0.5).astype(np.float32).repeat(4, 2).repeat(4, 3)
    blurred = np.stack([gaussian_filter(x, (0, s, s)) for x, s in zip(shapes, width, strict=True)])
    estimator = quality.create("image.sharpness")
    assert spearmanr(width, estimator(torch.from_numpy(blurred)))[0] < -0.95
    rgb = torch.from_numpy(blurred).expand(-1, 3, -1, -1)
    torch.testing.assert_close(estimator(rgb), estimator(torch.from_numpy(blurred)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_sharpness_of_constant_images_is_finite_and_lowest(dtype):
    estimator = quality.create("image.sharpness")
    flat = torch.stack([torch.full((3, 8, 8), level) for level in (0.0, 0.3, 1.0)]).to(dtype)
    found = estimator(flat)
    assert found.isfinite().all()
    assert found.max() < -22
    assert estimator(flat[0]).shape == ()


@pytest.mark.parametrize(
    ("name", "batch", "words"),
    [
        ("image.sharpness", torch.rand(8, 8), ["(8, 8)"]),
        ("image.sharpness", torch.rand(2, 4, 8, 8), ["(2, 4, 8, 8)"]),
        ("image.sharpness", torch.rand(2, 3, 2, 8), ["at least 3 by 3"]),
        ("image.sharpness", torch.zeros(2, 3, 8, 8, dtype=torch.uint8), ["uint8", "255"]),
        ("speech.energy_snr", torch.rand(2, 3, 8), ["(2, 3, 8)"]),
        ("speech.energy_snr", torch.rand(2, 0), ["(2, 0)"]),
        ("speech.energy_snr", torch.zeros(2, 9, dtype=torch.int16), ["int16", "32768"]),
    ],
)
def test_wrong_input_is_named(name, batch, words):
    with pytest.raises(UserError) as error:
        quality.create(name)(batch)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_wrong_sample_rate_is_named():
    with pytest.raises(UserError, match="sample_rate is 16"):
        quality.create("speech.energy_snr", sample_rate=16)


@needs_data
@pytest.mark.parametrize(("pause", "least"), [(0.0, 0.7), (0.3, 0.97)])
def test_snr_on_spoken_digits_in_white_noise(pause, least):
    soundfile = pytest.importorskip("soundfile")
    root = Path(os.environ["XMKD_DATA"], "fsdd")
    rng = np.random.default_rng(0)
    with open(root / "manifest.csv", newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    estimator = quality.create("speech.energy_snr", sample_rate=RATE)
    snr, scores = rng.uniform(-5, 30, 150), []
    for path, level in zip(rng.choice(paths, 150, replace=False), snr, strict=True):
        clean = np.pad(soundfile.read(root / path)[0], int(pause * RATE / 2))[None]
        scores.append(estimator(mixed(clean, rng.standard_normal(clean.shape), np.array([level]))[0]).item())
    assert spearmanr(snr, scores)[0] > least


@needs_data
def test_snr_on_spoken_digits_in_real_noise():
    soundfile = pytest.importorskip("soundfile")
    root = Path(os.environ["XMKD_DATA"])
    rng = np.random.default_rng(0)
    digits, noises = (sorted(root.glob(p)) for p in ("fsdd/recordings/*.wav", "noise/audio/*/*.ogg"))
    noises = [noise[::5] for noise in (soundfile.read(path)[0] for path in noises[::3])]  # 44.1 to 8.8 kHz
    estimator = quality.create("speech.energy_snr", sample_rate=RATE)
    snr, scores = [], []
    while len(snr) < 200:
        clean, noise = soundfile.read(rng.choice(digits))[0][None], noises[rng.integers(len(noises))]
        start = rng.integers(len(noise) - clean.shape[1])
        noise = noise[None, start : start + clean.shape[1]]
        if (noise**2).mean() > 1e-6:  # not the silence between two ticks
            snr.append(rng.uniform(-5, 30))
            scores.append(estimator(mixed(clean, noise, np.array(snr[-1:]))[0]).item())
    assert spearmanr(snr, scores)[0] > 0.5


@needs_data
def test_sharpness_on_emoji():
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    paths = sorted(Path(os.environ["XMKD_DATA"], "emoji").glob("images/*/*.png"))
    width = rng.uniform(0, 3, 150)
    blurred = []
    for path, s in zip(rng.choice(paths, 150, replace=False), width, strict=True):
        pixels = np.asarray(image.open(path).convert("RGB"), np.float32).transpose(2, 0, 1) / 255
        blurred.append(gaussian_filter(pixels, (0, s, s)))
    assert spearmanr(width, quality.create("image.sharpness")(torch.from_numpy(np.stack(blurred))))[0] < -0.85
