import sys
import warnings

import numpy as np
import pytest
import soundfile
import torch

from xmkd_lib.errors import UserError
from xmkd_lib.modalities import LogMel, fit_length, read_audio

RATE = 8000


def reference_log_mel(waveform, rate, n_mels, window, hop, n_fft, f_min, f_max, floor):
    """Frame by frame in numpy: reflected edges, periodic Hann window, HTK triangles, log, minus the mean over time."""
    padded = np.pad(waveform, n_fft // 2, mode="reflect")
    hann = np.zeros(n_fft)
    start = (n_fft - window) // 2
    hann[start : start + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = [padded[i : i + n_fft] * hann for i in range(0, len(padded) - n_fft + 1, hop)]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    mel = np.linspace(2595 * np.log10(1 + f_min / 700), 2595 * np.log10(1 + f_max / 700), n_mels + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.arange(n_fft // 2 + 1) * rate / n_fft
    triangles = [
        np.interp(frequency, [low, centre, high], [0, 1, 0], left=0, right=0)
        for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    log_mel = np.log(power @ np.array(triangles).T + floor).T
    return log_mel - log_mel.mean(axis=1, keepdims=True)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.parametrize(("rate", "n_mels"), [(8000, 40), (16000, 80), (8000, 80)])
def test_equals_the_frame_by_frame_reference(rate, n_mels):
    front, waveform = LogMel(rate, n_mels), noise(3, rate // 2)
    expected = [
        reference_log_mel(w, rate, n_mels, rate // 40, rate // 100, front.n_fft, f_min=20, f_max=rate / 2, floor=1e-6)
        for w in waveform.double().numpy()
    ]
    assert front(waveform).shape == (3, n_mels, 51)
    np.testing.assert_allclose(front(waveform).numpy(), np.array(expected), atol=2e-3)


def test_level_keeps_the_long_term_spectrum_and_forgets_the_gain():
    quiet, loud = noise(1, RATE), 100 * noise(1, RATE)
    level, band = LogMel(floor=1e-12, subtract="level"), LogMel(floor=1e-12)
    features = level(quiet)
    assert features.mean().abs() < 1e-5
    assert features.mean(-1).std() > 0.1
    torch.testing.assert_close(level(loud), features, atol=1e-3, rtol=0)
    torch.testing.assert_close(features - features.mean(-1, keepdim=True), band(quiet), atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="Did you mean 'level'"):
        LogMel(subtract="levl")


def test_a_tone_peaks_in_its_band():
    tone_on = (torch.arange(2 * RATE) // RATE).float()  # silence, then the tone: the mean over time keeps the rise
    # 300, 1000, 3000 Hz are 402, 1000, 1876 mel; the centre of band b is 31.7 + (b + 1) · 51.6 mel
    for hertz, band in [(300, 6), (1000, 18), (3000, 35)]:
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(2 * RATE) / RATE) * tone_on
        assert LogMel()(tone[None])[0, :, 150].argmax().item() == band


@pytest.mark.parametrize(("rate", "n_mels"), [(8000, 40), (8000, 128), (16000, 80), (16000, 128), (8000, 23)])
def test_no_band_is_empty(rate, n_mels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        front = LogMel(rate, n_mels)
    assert (front.mel.mel_scale.fb.amax(dim=0) > 0).all()


def test_mean_over_time_is_zero_and_gain_does_not_matter():
    front, waveform = LogMel(floor=1e-12), noise(2, RATE)
    torch.testing.assert_close(front(waveform).mean(dim=-1), torch.zeros(2, 40), atol=1e-5, rtol=0)
    torch.testing.assert_close(front(waveform), front(3 * waveform), atol=1e-4, rtol=0)


def test_silence_is_finite_with_a_finite_gradient():
    silence = torch.zeros(1, RATE, requires_grad=True)
    features = LogMel()(silence)
    torch.testing.assert_close(features, torch.zeros(1, 40, 101), atol=1e-5, rtol=0)
    features.square().sum().backward()
    assert silence.grad.isfinite().all()


def test_autocast_and_half_precision_compute_in_float32():
    front, waveform = LogMel(), noise(2, RATE).bfloat16()
    plain = front(waveform.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = front(waveform)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, plain, atol=0, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_runs_on_the_device_of_the_waveform():
    front, waveform = LogMel(), noise(2, RATE)
    features = front.cuda()(waveform.cuda())
    torch.testing.assert_close(features.cpu(), front.cpu()(waveform), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"f_max": 5000},
        {"f_min": 4000},
        {"f_min": -1},
        {"n_mels": 0},
        {"hop_ms": 0},
        {"window_ms": 0.01},
        {"floor": 0},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UserError, match="LogMel"):
        LogMel(**settings)


@pytest.mark.parametrize("shape", [(100,), (1, 1, 8000), (2, 128)])
def test_waveforms_of_another_shape_are_refused(shape):
    with pytest.raises(UserError, match="fit_length"):
        LogMel()(torch.zeros(shape))


@pytest.mark.parametrize(("ending", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05)])
def test_reads_what_was_written(tmp_path, ending, tolerance):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    path = tmp_path / f"tone.{ending}"
    soundfile.write(path, tone, RATE)
    waveform = read_audio(path, RATE)
    assert waveform.dtype == torch.float32
    np.testing.assert_allclose(waveform.numpy(), tone, atol=tolerance)


def test_stereo_is_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.array([[0.5, 0.0], [0.25, -0.25]]), RATE, subtype="FLOAT")
    assert read_audio(str(path), RATE).tolist() == [0.25, 0.0]


def test_another_rate_is_resampled(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000), 16000)
    waveform = read_audio(path, RATE)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert waveform.shape == (RATE,)
    np.testing.assert_allclose(waveform[100:-100].numpy(), expected[100:-100], atol=0.01)


def write_text(path):
    path.write_text("this is no audio")


def write_damaged_flac(path):
    soundfile.write(path.with_suffix(".flac"), np.random.default_rng(0).normal(size=RATE) * 0.1, RATE)
    path.write_bytes(path.with_suffix(".flac").read_bytes()[:30])


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: None, "no such audio file"),
        (lambda path: path.mkdir(), "no such audio file"),
        (write_text, "not a readable audio file"),
        (lambda path: path.write_bytes(b""), "not a readable audio file"),
        (write_damaged_flac, "not a readable audio file"),
        (lambda path: soundfile.write(path, np.zeros(0), RATE), "empty"),
        (lambda path: soundfile.write(path, np.array([0.1, np.nan]), RATE, subtype="FLOAT"), "not finite"),
        (lambda path: soundfile.write(path, np.array([0.1, np.inf]), RATE, subtype="FLOAT"), "not finite"),
        (
            lambda path: soundfile.write(path, np.array([0.1, -1e4]), RATE, subtype="FLOAT"),
            "up to 10000.*full scale is 1",
        ),
        (lambda path: soundfile.write(path, np.zeros(9), 7999), "7999 Hz.*8000 Hz.*Convert the file"),
        (lambda path: soundfile.write(path, np.zeros(9), 22051), "22051 Hz"),
        (lambda path: soundfile.write(path, np.zeros(9), 44101), "44101 Hz"),
        (lambda path: soundfile.write(path, np.zeros(9), 192001), "192001 Hz"),
    ],
)
def test_bad_audio_is_named(tmp_path, write, says):
    path = tmp_path / "bad.wav"
    write(path)
    with pytest.raises(UserError, match=says) as caught:
        read_audio(path, RATE)
    assert str(path) in str(caught.value)


def test_a_path_that_is_too_long_is_no_file():
    with pytest.raises(UserError, match="no such audio file"):
        read_audio("a" * 300 + ".wav", RATE)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000])
def test_common_rates_become_common_rates(tmp_path, rate):
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(rate // 10), rate)
    for wanted in (8000, 16000, 22050, 24000, 44100, 48000):
        assert abs(len(read_audio(path, wanted)) - wanted / 10) <= 2


def test_missing_soundfile_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match="pip install soundfile"):
        read_audio(tmp_path / "any.wav", RATE)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (1, [2]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (4, [0, 1, 2, 3]),
        (5, [0, 1, 2, 3, 4]),
        (12, [0, 1, 2, 3, 4] * 2 + [0, 1]),
    ],
)
def test_fit_length(samples, expected):
    assert fit_length(torch.arange(5), samples).tolist() == expected
    assert fit_length(torch.arange(5).expand(2, 3, 5), samples).shape == (2, 3, samples)


def test_fit_length_refuses_nothing():
    with pytest.raises(UserError, match="0"):
        fit_length(torch.zeros(0), 4)
    with pytest.raises(UserError, match="-1"):
        fit_length(torch.zeros(4), -1)
