"""The stored corruption levels are what was done: noise at its SNR, blur and peak as stated."""

import itertools

import numpy as np
import pytest

from xmkd_lib import data
from xmkd_lib.data.people import faces, voices
from xmkd_lib.data.people.canvas import blur
from xmkd_lib.data.people.traits import draw_person, stream


def _voice(snr: float, number: int = 0, **changes):
    rng = stream("voice", 0, "train", number, 0)
    session = voices.draw_session(rng, (snr, snr))._replace(**changes)
    who = voices.speaker(draw_person(0, "train", number, 0.5).voice)
    return session, *voices.render(who, session, rng, 8000, 6400)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 15.0, 35.0])
def test_noise_is_added_at_the_stated_snr_and_level(snr):
    for number in range(4):
        session, speech, noise = _voice(snr, number)
        measured = 10 * np.log10((speech**2).mean() / (noise**2).mean())
        assert session.snr_db == snr
        assert measured == pytest.approx(snr, abs=1e-9)
        assert 20 * np.log10(np.abs(speech + noise).max()) == pytest.approx(session.level_db, abs=1e-9)


def test_the_table_states_the_snr_of_the_very_sample():
    people = data.create("people", identities=6, utterances=2, snr=[0, 40], heldout_utterances=0)
    for row in people.rows("train")[:6]:
        split, number, session = "train", row // 2, row % 2
        rng = stream("voice", 0, split, number, session)
        drawn = voices.draw_session(rng, (0, 40))
        who = voices.speaker(draw_person(0, split, number, 0.5).voice)
        speech, noise = voices.render(who, drawn, rng, 8000, 6400)
        heard = people.inputs("speech", [row])[0].numpy()
        residual = heard - speech  # what is in the sample beside the clean voice
        assert 10 * np.log10((speech**2).sum() / (residual**2).sum()) == pytest.approx(
            people.table.snr_db[row], abs=0.05
        )
        assert np.abs(residual - noise).max() < 1 / 32767


def test_noise_colour_runs_from_white_to_pink():
    slopes = []
    for colour in (0.0, 1.0):
        noise = np.concatenate([_voice(10, n, noise_colour=colour)[2] / (n + 1) for n in range(8)])
        power = np.abs(np.fft.rfft(noise)) ** 2
        octaves = [power[len(power) // 2**k : len(power) // 2 ** (k - 1)].mean() for k in range(1, 6)]
        slopes.append(np.polyfit(np.arange(5), 10 * np.log10(octaves), 1)[0])
    assert slopes[0] == pytest.approx(0, abs=0.5)
    assert slopes[1] == pytest.approx(3, abs=0.7)


def test_a_voice_is_harmonic_with_formants_where_the_vowels_are():
    who = voices.speaker(draw_person(0, "train", 0, 0.5).voice)._replace(f0_hz=110.0, tract_cm=17.0, intonation=0.0)
    rng = stream("voice", 0, "train", 0, 0)
    session = voices.draw_session(rng, (60, 60))._replace(pitch=0.0, tract=1.0, microphone=(0.0, 0.0, 0.0))
    seconds = np.arange(60) * 0.016
    source = voices._pulses(who._replace(jitter=0.0, shimmer=0.0), session, rng, seconds, 8000, 61 * 128)
    steady = np.tile([600.0, 1500.0, 2500.0], (60, 1))
    wave = voices._filter(source, steady, np.ones(60), who, session, 8000, 128)[1000:7000]
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / 8000)
    harmonic = np.abs(hz / 110 - np.rint(hz / 110)) < 0.25  # f0 declines by a few percent within the sample
    low = (hz > 80) & (hz < 500)
    assert power[low & harmonic].sum() > 0.95 * power[low].sum()
    for formant in (600, 1500, 2500):
        near = np.abs(hz - formant) < 120
        beside = (np.abs(np.abs(hz - formant) - 400) < 120) & (hz > formant)
        assert power[near].mean() > 4 * power[beside].mean()


def _face(**changes):
    rng = stream("face", 0, "train", 2, 0)
    session = faces.draw_session(rng, (0, 0))._replace(**changes)
    return faces.render([faces.look(draw_person(0, "train", 2, 0.5).face)], [session], [rng], 48)[0] / 255


def test_more_blur_less_sharpness():
    sharpness = [np.diff(_face(blur=width, noise=0.0), axis=2).var() for width in (0.0, 0.3, 0.6, 1.0, 1.5, 2.5)]
    assert all(a > b for a, b in itertools.pairwise(sharpness))


def test_blur_has_the_stated_width_and_keeps_brightness():
    point = np.zeros((3, 2, 41, 41))
    point[:, :, 20, 20] = 1
    spread = blur(point, np.array([1.7, 0.0])[:, None, None])
    offset = np.arange(41) - 20
    assert np.allclose(spread.sum((2, 3)), 1)
    assert np.sqrt((spread[0, 0].sum(0) * offset**2).sum()) == pytest.approx(1.7, rel=0.03)
    assert np.allclose(spread, spread.swapaxes(2, 3))
    assert np.array_equal(spread[:, 1], point[:, 1])  # no blur beside a blurred picture
    flat = np.full((3, 1, 16, 16), 0.4)
    assert np.allclose(blur(flat, np.full((1, 1, 1), 3.0)), flat)


def test_light_and_sensor_noise_do_as_they_say():
    plain = {"light": 1.0, "light_x": 0.0, "light_y": 0.0, "warmth": 0.0, "noise": 0.0}
    base, dim = _face(**plain), _face(**{**plain, "light": 0.5})
    assert np.abs(dim - base / 2).max() < 0.51 / 255 + 0.26 / 255
    noisy = _face(**{**plain, "light": 0.7, "noise": 0.04})
    assert (noisy - _face(**{**plain, "light": 0.7})).std() == pytest.approx(0.04, abs=0.003)


def test_a_turned_head_moves_nose_more_than_ears():
    plain = {"noise": 0.0, "blur": 0.0}
    left, right = _face(**plain, yaw=-1.0), _face(**plain, yaw=1.0)
    change = np.abs(left - right).mean((0, 1))
    assert change[18:30].mean() > 2 * change[:6].mean()


@pytest.mark.parametrize("number", range(40))
def test_hair_leaves_the_eyes_free(number):
    look = faces.look(draw_person(0, "train", number, 0.5).face)
    paint = np.array([0.0, 1.0, 0.0])  # hair that nothing else looks like; the eyes' own colours have little green
    look = look._replace(hair=paint, beard=0.0, iris=np.zeros(3))
    rng = stream("face", 0, "train", number, 0)
    session = faces.draw_session(rng, (0, 0))._replace(
        roll=0.0, yaw=0.0, shift_x=0.0, shift_y=0.0, noise=0.0, scale=1.0
    )
    image = faces.render([look], [session], [rng], 96)[0].astype(float)
    x, y, radius, _ = look.eye
    for side in (-1, 1):
        across, down = (round((place + 1) * 48) for place in (side * x, y - 0.04))
        reach = round(0.6 * radius * 48)
        eye = image[:, down - reach // 2 : down + reach // 2 + 1, across - reach : across + reach + 1]
        assert (eye[1] - eye[0]).max() < 60


@pytest.mark.parametrize(
    "trait", ["sex", "age", "size", "skin", "hair_dark", "jaw", "eye_distance", "mouth_width", "brow"]
)
def test_extreme_traits_still_draw(trait):
    who, rng = draw_person(0, "train", 1, 0.5), stream("face", 0, "train", 1, 0)
    session = faces.draw_session(rng, (0, 0))
    looks = [faces.look({**who.face, trait: z}) for z in (-2.5, 2.5)]
    images = faces.render(looks, [session] * 2, [stream("face", 0, "val", 0, 0) for _ in looks], 48)
    assert images.shape == (2, 3, 48, 48)
    assert not np.array_equal(*images)
