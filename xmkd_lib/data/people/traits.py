"""Who a synthetic person is: a face's and a voice's traits, of which `shared` decides how much they have in common."""

import math
from typing import NamedTuple

import numpy as np

SHARED = ("sex", "age", "size")
FACE_ONLY = (
    *("skin", "undertone", "hair_dark", "hair_red", "hair_length", "hair_volume", "hairline", "parting", "beard"),
    *("face_length", "jaw", "chin", "cheeks", "eye_distance", "eye_size", "eye_height", "eye_tilt", "eye_colour"),
    *("brow", "brow_arch", "nose_length", "nose_width", "mouth_width", "mouth_height", "lips"),
)
VOICE_ONLY = ("pitch", "tract", "tilt", "breath", "intonation", "rate", "nasal", "front", "open", "third")

_SPLITS = ("train", "val", "test", "heldout")
_KINDS = ("person", "face", "voice")
_LIMIT = 2.5  # sd: beyond it a drawing falls apart


class Person(NamedTuple):
    """Traits in standard deviations, by name: the shared ones as the face shows and as the voice tells them."""

    face: dict[str, float]
    voice: dict[str, float]


def stream(kind: str, seed: int, split: str, identity: int, session: int = 0) -> np.random.Generator:
    """The random numbers of one person or one session: the same however many others there are, in any order."""
    # Always five words: SeedSequence pads with zeros, so that a shorter list could equal a longer one.
    words = [seed, _KINDS.index(kind), _SPLITS.index(split), identity, session]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def draw_person(seed: int, split: str, identity: int, shared: float) -> Person:
    """Person number `identity` of a split. `shared` in [0, 1]: correlation of face and voice in the shared traits."""
    rng = stream("person", seed, split, identity)
    common, private_face, private_voice = rng.standard_normal((3, len(SHARED)))
    mix = math.sqrt(shared) * common
    face = [*(mix + math.sqrt(1 - shared) * private_face), *rng.standard_normal(len(FACE_ONLY))]
    voice = [*(mix + math.sqrt(1 - shared) * private_voice), *rng.standard_normal(len(VOICE_ONLY))]
    return Person(_named(SHARED + FACE_ONLY, face), _named(SHARED + VOICE_ONLY, voice))


def _named(names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return dict(zip(names, np.clip(values, -_LIMIT, _LIMIT).tolist(), strict=True))


def femininity(traits: dict[str, float]) -> float:
    """-1 (male) to 1 (female): continuous, with few people between."""
    return math.tanh(2 * traits["sex"])


def ageing(traits: dict[str, float]) -> float:
    """0 (youngest) to 1 (oldest), uniform over the population."""
    return 0.5 + 0.5 * math.erf(traits["age"] / math.sqrt(2))


def readable(traits: dict[str, float]) -> dict[str, str | float]:
    """The shared traits as one says them: sex as a word, age in years (18 to 80), body height in cm."""
    return {
        "sex": "female" if traits["sex"] > 0 else "male",
        "age_years": round(18 + 62 * ageing(traits), 1),
        "height_cm": round(170 - 6 * femininity(traits) + 7 * traits["size"], 1),
    }
