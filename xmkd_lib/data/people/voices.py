"""Voices by source and filter: glottal pulses and breath, shaped by a vocal tract that moves from vowel to vowel."""

import math
from typing import NamedTuple

import numpy as np

from xmkd_lib.data.people.traits import ageing, femininity

# Mean formants F1-F3 in Hz of ten American English vowels, 33 men: Peterson and Barney, JASA 24 (1952), table II.
VOWELS = np.array([
    (270.0, 2290.0, 3010.0), (390.0, 1990.0, 2550.0), (530.0, 1840.0, 2480.0), (660.0, 1720.0, 2410.0),
    (730.0, 1090.0, 2440.0), (570.0, 840.0, 2410.0), (440.0, 1020.0, 2240.0), (300.0, 870.0, 2240.0),
    (640.0, 1190.0, 2390.0), (490.0, 1350.0, 1690.0),
])  # fmt: skip
_NEUTRAL = VOWELS.mean(0)
_UPPER = ((3500.0, 200.0), (4500.0, 260.0))  # F4 and F5 hardly move with the vowel: frequency and bandwidth in Hz
_BANDWIDTHS = (70.0, 100.0, 150.0)  # of F1 to F3, Hz
_TRACT_CM = 17.0  # the vocal tract that the table of vowels belongs to
_WINDOW_S = 0.032
_TAPS = np.arange(-7, 9)
_SIGNS = (1 - 2 * (_TAPS % 2 == 0)) / math.pi


class Speaker(NamedTuple):
    """What a voice's traits come to in units of acoustics."""

    f0_hz: float
    tract_cm: float
    tilt_db: float  # fall of the glottal spectrum per octave
    breath: float  # aspiration noise relative to the pulses
    jitter: float  # sd of a pulse's time, in periods
    shimmer: float  # sd of a pulse's strength
    intonation: float  # sd of log f0
    rate: float  # syllables per second
    nasal: float  # 0 to 1
    front: float  # spread of F2: the accent
    open: float  # spread of F1
    third: float  # factor on F3


class VoiceSession(NamedTuple):
    """What differs between recordings of a speaker, and is kept as ground truth."""

    snr_db: float
    level_db: float
    pitch: float  # shift of log f0
    effort: float  # change of tilt, dB per octave
    tract: float  # factor on all formants: posture of lips and larynx
    noise_colour: float  # 0 white, 1 pink
    microphone: tuple[float, ...]  # dB, weights of cosines over frequency


def draw_session(rng: np.random.Generator, snr: tuple[float, float]) -> VoiceSession:
    """A recording's circumstances; `snr` is the range in dB."""
    return VoiceSession(
        snr_db=rng.uniform(*snr),
        level_db=rng.uniform(-15.0, -1.0),
        pitch=0.05 * rng.standard_normal(),
        effort=1.0 * rng.standard_normal(),
        tract=1 + 0.01 * rng.standard_normal(),
        noise_colour=rng.uniform(0.0, 1.0),
        microphone=tuple(1.5 * rng.standard_normal(3)),
    )


def speaker(traits: dict[str, float]) -> Speaker:
    """Traits to acoustics. Men near 115 Hz and 17 cm, women near 205 Hz and 14.7 cm; large bodies lower and longer."""
    sex, age, size = femininity(traits), ageing(traits), traits["size"]
    return Speaker(
        f0_hz=150 * math.exp(0.28 * sex - 0.07 * size - 0.10 * (age - 0.5) + 0.10 * traits["pitch"]),
        tract_cm=15.9 - 1.1 * sex + 0.65 * size + 0.30 * traits["tract"],
        tilt_db=-4.5 - 0.8 * sex - 1.2 * traits["tilt"],
        breath=0.05 * math.exp(0.9 * (2 * age - 1) + 0.35 * sex + 0.6 * traits["breath"]),
        jitter=0.006 * math.exp(1.0 * (2 * age - 1)),
        shimmer=0.05 * math.exp(1.0 * (2 * age - 1)),
        intonation=0.06 * math.exp(0.6 * traits["intonation"] + 0.2 * sex),
        rate=5.0 - 1.4 * (2 * age - 1) + 0.6 * traits["rate"],
        nasal=1 / (1 + math.exp(-1.5 * traits["nasal"])),
        front=1 + 0.10 * traits["front"],
        open=1 + 0.10 * traits["open"],
        third=1 + 0.04 * traits["third"],
    )


def render(
    who: Speaker, session: VoiceSession, rng: np.random.Generator, rate: int, samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Speech and the noise to add to it, apart, each (samples,) float64; the sum has the session's peak level."""
    hop = round(_WINDOW_S * rate / 2)
    seconds = np.arange(-(-samples // hop) + 1) * hop / rate  # the middle of each window
    formants, loudness = _articulate(who, session, rng, seconds)
    length = (len(seconds) + 1) * hop
    # White noise of unit power, uniform because that is quick, rising by 6 dB an octave: the glottis takes it down.
    breath = math.sqrt(12) * np.diff(rng.random(length + 1))
    source = _pulses(who, session, rng, seconds, rate, length) + who.breath * breath
    speech = _filter(source, formants, loudness, who, session, rate, hop)[hop : hop + samples]
    noise = _coloured_noise(rng, samples, session.noise_colour)
    noise *= np.sqrt((speech**2).mean() / (noise**2).mean()) * 10 ** (-session.snr_db / 20)
    gain = 10 ** (session.level_db / 20) / np.abs(speech + noise).max()
    return speech * gain, noise * gain


def quantise(wave: np.ndarray) -> np.ndarray:
    """To 16 bits: the last bits, in which processors differ, vanish."""
    return np.rint(np.clip(wave, -1, 1) * 32767).astype(np.int16)


def _articulate(
    who: Speaker, session: VoiceSession, rng: np.random.Generator, seconds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A random sequence of vowels: formants in Hz (frames, 3) and loudness (frames,)."""
    position = rng.uniform() + seconds * who.rate * (1 + 0.06 * rng.standard_normal())
    syllable = np.floor(position).astype(int)
    within = position - syllable
    accent = (VOWELS - _NEUTRAL) * (who.open, who.front, 1) + _NEUTRAL * (1, 1, who.third)
    count = syllable[-1] + 2
    spoken = accent[rng.integers(len(VOWELS), size=count)] * (1 + 0.03 * rng.standard_normal((count, 3)))
    glide = np.maximum(within / 0.4 - 1.5, 0)[:, None]  # the last 40 % of a syllable lead to the next
    formants = spoken[syllable] * (1 - glide) + spoken[syllable + 1] * glide
    loudness = 0.35 + 0.65 * np.sin(math.pi * within) ** 2
    return formants * session.tract * _TRACT_CM / who.tract_cm, loudness


def _pulses(
    who: Speaker, session: VoiceSession, rng: np.random.Generator, seconds: np.ndarray, rate: int, samples: int
) -> np.ndarray:
    """Glottal pulses of unit mean power (samples,): band-limited impulses at jittered times, of shimmering strength."""
    swing = -0.12 * (seconds - seconds.mean())  # declination
    for hz, depth, phase in zip((0.9, 2.1, 3.7), rng.standard_normal(3), rng.random(3), strict=True):
        swing += 0.8 * who.intonation * depth * np.sin(2 * math.pi * (hz * seconds + phase))
    f0 = who.f0_hz * np.exp(session.pitch + swing)
    step = seconds[1] - seconds[0]
    cycles = np.concatenate([[0.0], np.cumsum((f0[1:] + f0[:-1]) * (step / 2))]) + rng.uniform()
    instants = np.interp(np.arange(1, int(cycles[-1]) + 1), cycles, seconds)
    instants = instants + who.jitter / who.f0_hz * rng.standard_normal(len(instants))
    strength = (1 + who.shimmer * rng.standard_normal(len(instants))) * math.sqrt(rate / who.f0_hz)
    start = np.floor(instants * rate)
    late = np.maximum(instants * rate - start, 1e-9)[:, None]
    offset = _TAPS - late
    sinc = np.sin(math.pi * late) * _SIGNS / offset  # from tap to tap the sine only changes its sign
    kernel = sinc * np.square(1 - np.square(offset / 9))
    where = (start[:, None] + _TAPS).astype(int) + len(_TAPS)
    wave = np.bincount(where.ravel(), (strength[:, None] * kernel).ravel(), samples + 2 * len(_TAPS))
    return wave[len(_TAPS) : len(_TAPS) + samples]


def _filter(
    source: np.ndarray,
    formants: np.ndarray,
    loudness: np.ndarray,
    who: Speaker,
    session: VoiceSession,
    rate: int,
    hop: int,
) -> np.ndarray:
    """The source (T,) through glottis, vocal tract, nose and microphone, by half overlapping windows."""
    blocks = source.reshape(-1, hop)
    window = 0.5 - 0.5 * np.cos(math.pi * np.arange(2 * hop) / hop)
    frames = np.concatenate([blocks[:-1], blocks[1:]], axis=1) * (loudness[:, None] * window)
    spectrum = np.fft.rfft(frames, 3 * hop)
    hz = np.arange(spectrum.shape[1]) * (rate / (3 * hop))
    spectrum *= _fixed_response(hz, who, session, rate)
    spectrum /= math.prod(_resonance(hz, f, b) for f, b in zip(formants.T[:, :, None], _BANDWIDTHS, strict=True))
    parts = np.fft.irfft(spectrum, 3 * hop).reshape(-1, 3, hop)
    wave = np.zeros((len(spectrum) + 2, hop))
    for part in range(3):
        wave[part : part + len(spectrum)] += parts[:, part]
    return wave.ravel()


def _resonance(hz: np.ndarray, centre: np.ndarray | float, bandwidth: float) -> np.ndarray:
    """The inverse response of a resonator: 1 at 0 Hz, small at its centre."""
    return 1 + hz * (1j * bandwidth - hz) * (1 / centre**2 + 0j)  # complex by complex: numpy casts slowly


def _fixed_response(hz: np.ndarray, who: Speaker, session: VoiceSession, rate: int) -> np.ndarray:
    """What does not move with the vowels: glottal slope, upper formants, nose, microphone; little below 60 Hz."""
    scale = session.tract * _TRACT_CM / who.tract_cm
    upper = math.prod(_resonance(hz, centre * scale, bandwidth) for centre, bandwidth in _UPPER)
    slope = (who.tilt_db + session.effort) / 20 / math.log10(2)  # exponent of frequency
    response = hz**2 / (hz**2 + 60**2) * (1 + (hz / 200) ** 2) ** (slope / 2) / upper
    zero, pole = 280 + 500 * who.nasal, 280 + 150 * who.nasal  # apart when nasal; equal they cancel
    response = response * _resonance(hz, zero * scale, 120) / _resonance(hz, pole * scale, 120)
    shape = np.cos(math.pi * np.arange(1, 4)[:, None] * hz / (rate / 2))
    return response * 10 ** (sum(w * s for w, s in zip(session.microphone, shape, strict=True)) / 20)


def _coloured_noise(rng: np.random.Generator, samples: int, colour: float) -> np.ndarray:
    """Noise whose power falls like 1/f^colour: white at 0, pink at 1. Normal, as a sum of so many random waves."""
    bins = samples // 2 + 1
    spectrum = (rng.random((bins, 2)) - 0.5) * np.exp(-colour / 2 * np.log(np.arange(1, bins + 1)))[:, None]
    return np.fft.irfft(spectrum.view(complex)[:, 0], samples)
