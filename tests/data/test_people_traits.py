"""What face and voice have in common follows the knob; what one can measure follows the traits."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from xmkd_lib import data
from xmkd_lib.data.people import faces, voices
from xmkd_lib.data.people.traits import FACE_ONLY, SHARED, VOICE_ONLY, draw_person, stream


@pytest.mark.parametrize("shared", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_shared_is_the_correlation_of_face_and_voice(shared):
    drawn = [draw_person(0, "train", number, shared) for number in range(4000)]
    for trait in SHARED:
        face, voice = np.array([(who.face[trait], who.voice[trait]) for who in drawn]).T
        assert np.corrcoef(face, voice)[0, 1] == pytest.approx(shared, abs=0.05)
        assert abs(face.mean()) < 0.05
        assert voice.std() == pytest.approx(1, abs=0.04)


def test_private_traits_are_independent():
    drawn = [draw_person(0, "test", number, 1.0) for number in range(1500)]
    table = pd.DataFrame([[*who.face.values(), *(who.voice[t] for t in VOICE_ONLY)] for who in drawn])
    assert table.shape[1] == len(SHARED) + len(FACE_ONLY) + len(VOICE_ONLY)
    assert (table.corr().abs() - np.eye(table.shape[1])).to_numpy().max() < 0.12


def test_streams_differ_by_every_word():
    words = [("face", 0, "train", 0, 0), ("voice", 0, "train", 0, 0), ("face", 1, "train", 0, 0)]
    words += [("face", 0, "val", 0, 0), ("face", 0, "train", 1, 0), ("face", 0, "train", 0, 1)]
    assert len({stream(*w).standard_normal() for w in words}) == len(words)


def test_readable_traits_follow_the_shared_ones():
    people = data.create("people", identities=200, utterances=1, shared=1.0, heldout_utterances=0)
    table = people.table[people.table.split == "train"].set_index("identity")
    traits = people.people.loc[table.index]
    assert (table.face_sex == table.voice_sex).all()
    assert (table.face_age_years == table.voice_age_years).all()
    assert (table.face_sex == "female").mean() == pytest.approx(0.5, abs=0.1)
    assert table.voice_age_years.corr(traits["voice"].age, method="spearman") > 0.999
    assert ((table.face_sex == "female") == (traits["face"].sex > 0)).all()
    women = table[table.voice_sex == "female"]
    men = table[table.voice_sex == "male"]
    assert women.voice_f0_hz.mean() > 1.4 * men.voice_f0_hz.mean()
    assert men[["voice_height_cm", "voice_tract_cm"]].corr().iloc[0, 1] > 0.5


def _pair(trait: str):
    """One person as drawn, with a trait set low and high, and the same session for both."""
    who = draw_person(3, "train", 0, 1.0)
    return [({**who.face, trait: v}, {**who.voice, trait: v}) for v in (-1.5, 1.5)]


def test_a_large_body_has_a_wide_face_and_a_long_vocal_tract():
    (small_face, small_voice), (large_face, large_voice) = _pair("size")
    small, large = faces.look(small_face), faces.look(large_face)
    assert large.width > 1.1 * small.width
    assert large.neck > small.neck
    assert large.shoulders > small.shoulders
    small, large = voices.speaker(small_voice), voices.speaker(large_voice)
    assert large.tract_cm > small.tract_cm
    assert large.f0_hz < small.f0_hz


def test_an_old_voice_is_rough_breathy_and_slow_and_the_face_is_lined():
    (young_face, young_voice), (old_face, old_voice) = _pair("age")
    young, old = voices.speaker(young_voice), voices.speaker(old_voice)
    assert old.jitter > young.jitter
    assert old.shimmer > young.shimmer
    assert old.breath > young.breath
    assert old.rate < young.rate
    assert old.f0_hz < young.f0_hz
    young, old = faces.look(young_face), faces.look(old_face)
    assert np.ptp(old.hair) < np.ptp(young.hair)  # grey


def test_a_woman_has_longer_hair_a_softer_jaw_and_a_higher_voice():
    (man_face, man_voice), (woman_face, woman_voice) = _pair("sex")
    man, woman = faces.look(man_face), faces.look(woman_face)
    assert woman.hair_length > man.hair_length
    assert woman.square < man.square
    assert woman.beard < man.beard
    assert voices.speaker(woman_voice).f0_hz > 1.5 * voices.speaker(man_voice).f0_hz


@pytest.fixture(scope="module")
def crowd():
    return data.create("people", identities=40, utterances=5, heldout_utterances=0, snr=[25, 35], blur=[0.2, 0.6])


def _identity_share(values: np.ndarray, sessions: int) -> float:
    """Share of the variance that lies between identities (one-way intraclass correlation)."""
    groups = values.reshape(-1, sessions)
    within = groups.var(axis=1, ddof=1).mean()
    between = groups.mean(axis=1).var(ddof=1) - within / sessions
    return between / (between + within)


def test_voices_of_a_person_are_alike_and_people_differ(crowd):
    waves = crowd.inputs("speech", crowd.rows("train")).numpy()
    f0 = np.array([_pitch(wave, 8000) for wave in waves])
    centroid = np.array([_centroid(wave, 8000) for wave in waves])
    assert _identity_share(np.log(f0), 5) > 0.8
    assert 0.1 < _identity_share(np.log(centroid), 5) < 0.9
    known = crowd.table.voice_f0_hz.to_numpy()[crowd.rows("train")]
    assert np.corrcoef(np.log(f0), np.log(known))[0, 1] > 0.9


def test_faces_of_a_person_are_alike_and_people_differ(crowd):
    images = crowd.inputs("image", crowd.rows("train")).numpy()
    red, _, blue = images[:, :, 24:30, 20:28].mean((2, 3)).T  # between eyes and mouth
    assert 0.5 < _identity_share(np.log(red / blue), 5) < 0.98
    assert _identity_share(images[:, :, :3, :3].mean((1, 2, 3)), 5) < 0.3  # the background tells nothing


def test_what_is_heard_can_be_seen_only_as_far_as_it_is_shared():
    correlation = {}
    for shared in (0.0, 1.0):
        people = data.create("people", identities=150, utterances=1, shared=shared, snr=[30, 30], heldout_utterances=0)
        rows = people.rows("train")
        images = people.inputs("image", rows).numpy()
        beside_the_neck = np.abs(images[:, :, 36:42, 8:13].mean((1, 2, 3)) - images[:, :, 36:42, :2].mean((1, 2, 3)))
        f0 = [_pitch(wave, 8000) for wave in people.inputs("speech", rows).numpy()]
        correlation[shared] = spearmanr(beside_the_neck, f0).statistic  # long hair, high voice
    assert abs(correlation[0.0]) < 0.15
    assert correlation[1.0] > 0.3


def _pitch(wave: np.ndarray, rate: int) -> float:
    """f0 in Hz, 70 to 330: the median over windows of the autocorrelation's peak, formants flattened by a root."""
    windows = np.lib.stride_tricks.sliding_window_view(wave, rate // 16)[:: rate // 40] * np.hanning(rate // 16)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(windows, rate // 8)) ** 0.7)
    low, high = rate // 330, rate // 70
    return rate / np.median(low + correlation[:, low:high].argmax(axis=1))


def _centroid(wave: np.ndarray, rate: int) -> float:
    power = np.abs(np.fft.rfft(wave)) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / rate)
    band = (hz > 300) & (hz < 3500)
    return float((hz * power)[band].sum() / power[band].sum())
