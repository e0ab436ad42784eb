"""The other image, speech and text estimators: values by hand, signs against known corruption, edge cases."""

import os
import warnings

import numpy as np
import pytest
import torch

from xmkd_lib import data, quality
from xmkd_lib.data.noise import noise_clips
from xmkd_lib.errors import UserError
from xmkd_lib.modalities.corruption import add_noise, clip, excerpts, gaussian_blur
from xmkd_lib.modalities.text import split_words
from xmkd_lib.quality.wada_snr import expected_g

RATE = 8000
IMAGES = ("image.sharpness", "image.contrast", "image.resolution", "image.exposure")
SPEECH = ("speech.energy_snr", "speech.wada_snr", "speech.duration", "speech.clipping")
needs_data = pytest.mark.skipif("XMKD_DATA" not in os.environ, reason="XMKD_DATA names no folder of real data")


def create(name):
    return quality.create(name, **({"sample_rate": RATE} if name in ("speech.energy_snr", "speech.duration") else {}))


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def people():
    """80 faces of blur 0 to 3 and voices at -5 to 30 dB."""
    found = data.create("people", identities=80, utterances=1, heldout_utterances=0, blur=[0, 3], snr=[-5, 30])
    rows = found.rows("train")
    return found.inputs("image", rows), found.inputs("speech", rows), found.table.iloc[rows]


@pytest.fixture(scope="module")
def digits():
    """120 spoken digits, and which noise to add at which SNR."""
    waveforms = data.create("digits", utterances=2)
    waveforms = waveforms.inputs("speech", range(len(waveforms)))
    noise = excerpts(noise_clips(RATE).waveforms, *waveforms.shape, torch.Generator().manual_seed(0))
    return waveforms, noise, rand(len(waveforms)) * 35 - 5


def test_contrast_and_exposure_by_hand():
    image = torch.tensor([[[0.0, 1.0], [0.5, 0.1]]])
    assert create("image.contrast")(image).item() == pytest.approx(np.std([0, 1, 0.5, 0.1]))
    assert create("image.exposure")(image).item() == 0.5
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 2, 2)
    assert create("image.exposure")(red).item() == 1  # its luminance is 0.3


def test_resolution_equals_the_formula_in_plain_loops():
    image = gaussian_blur(rand(1, 1, 12, 12), 1.2)[0].double().numpy()[0]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(12) / 11)
    window = np.outer(hann, hann)
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2 / (window**2).sum()
    rings, corners = {}, []
    for i, fy in enumerate(np.fft.fftfreq(12)):
        for j, fx in enumerate(np.fft.rfftfreq(12)):
            f = np.hypot(fy, fx)
            rings.setdefault(min(round(12 * f), 6), []).append(power[i, j])
            if f > 0.5:
                corners.append(power[i, j])
    noise = max(np.mean(corners), 1e-4)
    expected = np.mean([np.mean(rings[k]) > 2 * noise for k in range(1, 6)])
    assert 0 < expected < 1
    assert create("image.resolution")(torch.from_numpy(image)[None]).item() == pytest.approx(expected)


def test_resolution_falls_with_blur_and_with_noise(people):
    images, _, table = people
    assert quality.spearman(create("image.resolution")(images), -table.blur) > 0.85
    strength = rand(len(images))[:, None, None, None]
    sharp = images[table.blur.to_numpy() < 1]
    noisy = sharp + 0.2 * strength[: len(sharp)] * normal(*sharp.shape)
    assert quality.spearman(create("image.resolution")(noisy), -strength[: len(sharp), 0, 0, 0]) > 0.5


def test_contrast_falls_with_haze_and_exposure_with_overexposure(people):
    images, strength = people[0], rand(len(people[0]))
    each = strength[:, None, None, None]
    assert quality.spearman(create("image.contrast")(images * (1 - 0.9 * each) + 0.45 * each), -strength) > 0.6
    assert quality.spearman(create("image.exposure")((images * (1 + 2 * each)).clamp(0, 1)), -strength) > 0.6


@pytest.mark.parametrize("snr", [0.0, 15.0, 60.0])
def test_the_table_of_wada_equals_a_simulation(snr):
    rng = np.random.default_rng(0)
    speech = rng.gamma(0.4, size=2_000_000) * rng.choice([-1, 1], 2_000_000)
    x = np.abs(speech + rng.standard_normal(2_000_000) * np.sqrt(0.56 / 10 ** (snr / 10)))
    assert expected_g(torch.tensor([snr])).item() == pytest.approx(np.log(x.mean()) - np.log(x).mean(), abs=4e-3)


def test_the_table_of_wada_rises_between_its_known_ends():
    g = expected_g(torch.linspace(-20, 100, 241))
    assert (g.diff() > 0).all()
    noise, speech = expected_g(torch.tensor([-200.0, 400.0])).tolist()
    assert noise == pytest.approx(0.5 * np.log(2 / np.pi) + 0.5 * (np.euler_gamma + np.log(2)), abs=1e-9)
    assert speech == pytest.approx(1.64515, abs=1e-4)  # ln 0.4 - digamma(0.4)


def test_wada_ignores_gain_and_exact_zeros():
    waves = normal(3, 4000) * rand(3, 4000, seed=1)
    plain = create("speech.wada_snr")(waves)
    assert ((plain > -20) & (plain < 100)).all()
    torch.testing.assert_close(create("speech.wada_snr")(waves * 1e-3), plain, rtol=0, atol=1e-3)
    padded = torch.nn.functional.pad(waves, (500, 3000))
    torch.testing.assert_close(create("speech.wada_snr")(padded), plain, rtol=0, atol=1e-3)


@needs_data
def test_snr_estimators_on_spoken_digits_in_real_noise(digits):
    noisy = add_noise(*digits)
    assert quality.spearman(create("speech.wada_snr")(noisy), digits[2]) > 0.4
    assert quality.spearman(create("speech.energy_snr")(noisy), digits[2]) > 0.4


@pytest.mark.parametrize("name", ["speech.wada_snr", "speech.energy_snr"])
def test_snr_estimators_on_voices_see_wide_differences_and_not_narrow_ones(people, name):
    _, waves, table = people
    assert quality.spearman(create(name)(waves), table.snr_db) > 0.4
    good = data.create("people", identities=80, utterances=1, heldout_utterances=0, snr=[15, 35])
    rows = good.rows("train")
    assert abs(quality.spearman(create(name)(good.inputs("speech", rows)), good.table.snr_db.iloc[rows])) < 0.4


def test_duration_is_that_of_the_sound_and_ignores_gain():
    sound = torch.sin(torch.arange(RATE) * 0.3)
    for seconds in (0.2, 0.5, 0.9):
        wave = sound * (torch.arange(RATE) < seconds * RATE)
        for gain in (1.0, 1e-4):
            assert create("speech.duration")(gain * wave).item() == pytest.approx(seconds, abs=0.03)
    quiet = torch.cat([sound, 0.02 * sound])  # 34 dB below
    assert create("speech.duration")(quiet).item() == pytest.approx(1, abs=0.03)


def test_clipping_by_hand():
    clipping = create("speech.clipping")
    assert clipping(torch.tensor([0.0, 1, 1, 0, -1, -1, -1, 0.5])).item() == pytest.approx(3 / 8)
    assert clipping(torch.tensor([0.0, 1, -1, 0.5])).item() == 1  # single peaks, next to each other, touch other rails
    assert clipping(3 * torch.tensor([0.0, 1, 1, 0, -2]) + 7).item() == pytest.approx(3 / 5)


def test_clipping_falls_with_the_share_of_clipped_samples(people):
    waves, share = people[1], 0.3 * rand(len(people[1]))
    assert quality.spearman(create("speech.clipping")(clip(waves, share)), -share) > 0.9


def test_text_estimators_by_hand():
    length = quality.create("text.length", n0=4)
    expected = [np.log(1 + n) / np.log(5) for n in (0, 1, 4, 4, 9, 3)]
    texts = ["", "Word", "two, words!", "a b c d", "a " * 9, "\U0001f431 cat \U0001f600"]
    np.testing.assert_allclose(length(texts), expected, rtol=1e-6)
    known = quality.create("text.in_vocabulary", texts=["a red cat", "a RED dog", "Red bird", "Red bird"])
    np.testing.assert_allclose(known(["red", "a cat", "blue cat", "", "Red, red; cat!"]), [1, 0.5, 0, 0, 2 / 6])


def test_a_training_text_is_judged_as_if_it_were_left_out():
    texts = ["a b c", "b c d", "c d e", "x y"]
    known = quality.create("text.in_vocabulary", texts=texts)
    for place, text in enumerate(texts):
        others = {word for other in texts[:place] + texts[place + 1 :] for word in other.split()}
        assert known(text).item() == pytest.approx(np.mean([word in others for word in text.split()]))


def test_text_scores_fall_with_what_is_lost():
    rng = np.random.default_rng(0)
    words = [f"word{k}" for k in range(50)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(100)]
    share = rng.random(100)
    lost = [rng.random(12) < s for s in share]
    known = quality.create("text.in_vocabulary", texts=texts)
    rubbish = [" ".join(np.where(m, "zzz", t.split())) for t, m in zip(texts, lost, strict=True)]
    dropped = [" ".join(np.array(t.split())[~m]) for t, m in zip(texts, lost, strict=True)]
    assert quality.spearman(known(rubbish), -share) > 0.8
    assert quality.spearman(create("text.length")(dropped), -share) > 0.8
    assert abs(quality.spearman(create("text.length")(rubbish), -share)) < 0.3  # blind to it


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_images_edges(name, dtype):
    estimator = create(name)
    flat = torch.stack([torch.full((3, 8, 8), level) for level in (0.0, 0.3, 1.0)]).to(dtype)
    detailed = rand(3, 3, 8, 8).to(dtype)
    assert estimator(flat).isfinite().all()
    assert estimator(flat).dtype == torch.float32
    assert (estimator(flat)[[0, 2]] <= estimator(detailed).min()).all()
    torch.testing.assert_close(estimator(detailed), torch.stack([estimator(x) for x in detailed]))
    assert estimator(detailed[0]).shape == ()
    assert estimator(rand(2, 1, 9, 14).to(dtype)).isfinite().all()


@pytest.mark.parametrize("name", SPEECH)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_speech_edges(name, dtype):
    estimator = create(name)
    silence, sound = torch.zeros(2, 2000, dtype=dtype), (0.1 * normal(3, 2000)).to(dtype)
    assert (estimator(silence) <= estimator(sound).min()).all()
    assert estimator(torch.full((1, 2000), 0.25, dtype=dtype)).isfinite().all()
    torch.testing.assert_close(estimator(sound), torch.stack([estimator(x) for x in sound]))
    assert estimator(sound[0]).shape == ()
    for length in (1, 2, 50, 250):
        assert estimator(sound[:, :length]).isfinite().all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: create("image.contrast")(torch.rand(8, 8)), ["image.contrast", "(8, 8)"]),
        (lambda: create("image.exposure")(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), ["image.exposure", "255"]),
        (lambda: create("image.resolution")(torch.rand(1, 3, 7, 8)), ["image.resolution", "at least 8 by 8"]),
        (lambda: create("speech.wada_snr")(torch.rand(2, 3, 8)), ["speech.wada_snr", "(2, 3, 8)"]),
        (lambda: create("speech.clipping")(torch.rand(2, 0)), ["speech.clipping", "(2, 0)"]),
        (lambda: create("speech.duration")(torch.zeros(9, dtype=torch.int16)), ["speech.duration", "int16"]),
        (lambda: quality.create("speech.duration", sample_rate=16), ["speech.duration", "sample_rate is 16"]),
        (lambda: create("text.length")(["a", 3]), ["text.length", "text 1 is 3", "int"]),
        (lambda: quality.create("text.length", n0=0), ["n0 is 0"]),
        (lambda: quality.create("text.in_vocabulary", texts=["a", "b"]), ["none of 2 words"]),
        (lambda: quality.create("text.in_vocabulary", texts=[None]), ["text.in_vocabulary", "text 0 is None"]),
        (lambda: quality.create("text.length", n0="ten"), ["n0 is 'ten'"]),
        (lambda: quality.create("text.length", n0=float("inf")), ["n0 is inf"]),
        (lambda: quality.create("speech.duration", sample_rate="8000"), ["speech.duration", "sample_rate is '8000'"]),
        (lambda: quality.create("speech.energy_snr", sample_rate=float("inf")), ["sample_rate is inf"]),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(UserError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("name", [*IMAGES, *SPEECH])
def test_samples_that_are_not_finite_are_counted_and_the_first_named(name):
    batch = rand(4, 3, 8, 8) if name in IMAGES else normal(4, 400)
    batch[2].view(-1)[5] = torch.inf
    batch[3].view(-1)[0] = torch.nan
    with pytest.raises(UserError, match=rf"{name}: 2 of 4 samples hold NaN or inf, first sample 2"):
        create(name)(batch)
    with pytest.raises(UserError, match=rf"{name}: 1 of 1 samples"):
        create(name)(batch[3])


@pytest.mark.parametrize("name", [*IMAGES, *SPEECH])
def test_arrays_and_lists_are_refused_and_no_samples_give_no_scores(name):
    empty = torch.zeros((0, 3, 8, 8) if name in IMAGES else (0, 400))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert create(name)(empty).shape == (0,)
    for given in (np.zeros((2, 3, 8, 8), np.float32), [[0.5, 0.1]]):
        with pytest.raises(UserError, match=rf"{name}: got {type(given).__name__}.*torch\.as_tensor"):
            create(name)(given)


@pytest.mark.parametrize("name", IMAGES)
def test_float_pixels_up_to_255_are_refused_and_noise_is_not(name):
    with pytest.raises(UserError, match=rf"{name}: pixels from 0 to 255.*divide by 255"):
        create(name)(torch.linspace(0, 255, 192).reshape(1, 3, 8, 8))
    assert create(name)(rand(2, 3, 8, 8) * 3 - 1).isfinite().all()


def test_no_texts_give_no_scores():
    assert create("text.length")([]).shape == (0,)
    assert quality.create("text.in_vocabulary", texts=["a b", "a c"])([]).shape == (0,)


@pytest.mark.parametrize("text", ["", "Café №1: ❤ it!", "\U0001f431\U0001f600", "a\tb c's"])
def test_words_are_those_of_the_tokenizer(text):
    words = split_words(text)
    assert create("text.length")(text).item() == pytest.approx(np.log1p(len(words)) / np.log1p(10))
    known = quality.create("text.in_vocabulary", texts=[f"x {text}", f"y {text}", "z x", "z y"])
    assert known(text).item() == float(len(words) > 0)
