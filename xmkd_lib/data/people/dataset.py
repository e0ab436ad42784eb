"""The paired data set `people`: who is in which split, and inputs drawn when first asked for."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from xmkd_lib.data.base import DATASETS, PairedDataset, check_table
from xmkd_lib.data.parameters import interval, real, whole
from xmkd_lib.data.people import faces, voices
from xmkd_lib.data.people.traits import Person, draw_person, readable, stream
from xmkd_lib.errors import unknown_name

VERSION = 3  # of the generator: raise it when a pixel or a sample changes, so that cached teacher outputs expire
_BATCH = 32  # rows drawn together: few numpy calls a row, and small enough for a processor's cache


@DATASETS.register("people")
class People(PairedDataset):
    """Synthetic persons: a drawn face (teacher) and a synthesised voice (student), for speaker verification.

    identities, utterances: of the training split; heldout_utterances: more of the same people (0: none).
    val_identities, test_identities, eval_utterances: people never trained on. shared: correlation in [0, 1] of the
    traits that face and voice have in common. image_size: pixels. sample_rate: Hz. seconds: of a voice. snr: range in
    dB. blur: range of the Gaussian's sd, in 1/48 of the image's width. UserError names a value out of range.

    `inputs("image", rows)` is (n, 3, image_size, image_size) in steps of 1/255, `inputs("speech", rows)` is
    (n, seconds · sample_rate) in steps of 1/32767. Counts, order and batch change no sample: each has its own stream of
    random numbers, by seed, split, identity and session.
    """

    name = "people"
    task = "verification"
    teacher_modality = "image"
    student_modality = "speech"
    oracle: ClassVar = {"speech": ("snr_db", 1), "image": ("blur", -1)}

    def __init__(
        self,
        seed: int = 0,
        identities: int = 50,
        utterances: int = 8,
        val_identities: int = 30,
        test_identities: int = 60,
        eval_utterances: int = 8,
        heldout_utterances: int = 4,
        shared: float = 0.5,
        image_size: int = 48,
        sample_rate: int = 8000,
        seconds: float = 0.8,
        snr: Sequence[float] = (15.0, 35.0),
        blur: Sequence[float] = (0.2, 1.0),
    ):
        self.params = {
            "seed": whole("people", "seed", seed, 0, 2**32 - 1),
            "identities": whole("people", "identities", identities, 2),
            "utterances": whole("people", "utterances", utterances, 1),
            "val_identities": whole("people", "val_identities", val_identities, 2),
            "test_identities": whole("people", "test_identities", test_identities, 2),
            "eval_utterances": whole("people", "eval_utterances", eval_utterances, 2),
            "heldout_utterances": whole("people", "heldout_utterances", heldout_utterances, 0),
            "shared": real("people", "shared", shared, 0, 1),
            "image_size": whole("people", "image_size", image_size, 16, 512),
            "sample_rate": whole("people", "sample_rate", sample_rate, 4000, 48000),
            "seconds": real("people", "seconds", seconds, 0.1, 60),
            "snr": interval("people", "snr", snr, -20, 100),
            "blur": interval("people", "blur", blur, 0, 10),
        }
        self.sample_rate = sample_rate
        self._samples = round(seconds * sample_rate)
        self._persons: dict[str, Person] = {}
        self.table = self._build_table()
        check_table(self.table, "data set 'people'")
        self._shapes = {"image": (3, image_size, image_size), "speech": (self._samples,)}
        self._cache: dict[str, np.ndarray] = {}
        self._drawn: dict[str, np.ndarray] = {}

    @property
    def people(self) -> pd.DataFrame:
        """Every identity's traits in standard deviations: `people["face"].sex`, `people["voice"].tilt`, by identity."""
        index = pd.Index(self._persons, name="identity")
        sides = {side: [getattr(who, side) for who in self._persons.values()] for side in Person._fields}
        return pd.concat({side: pd.DataFrame(traits, index) for side, traits in sides.items()}, axis=1)

    @property
    def fingerprint(self) -> str:
        content = json.dumps([self.name, VERSION, self.params], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def inputs(self, modality: str, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Raw inputs of some rows, drawn when first asked for and then kept in 8 or 16 bits a value."""
        if modality not in self._shapes:
            raise unknown_name("modality of data set 'people'", modality, self._shapes)
        if modality not in self._cache:
            kind = np.uint8 if modality == "image" else np.int16
            self._cache[modality] = np.zeros((len(self.table), *self._shapes[modality]), kind)
            self._drawn[modality] = np.zeros(len(self.table), bool)
        cache, drawn = self._cache[modality], self._drawn[modality]
        rows = np.arange(len(self.table))[self.positions(rows)]
        wanted = np.unique(rows[~drawn[rows]])
        draw = self._photographs if modality == "image" else self._recordings
        np.empty(2**24, np.uint8)  # freed at once: glibc then keeps the memory of temporaries, which halves the time
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            cache[batch] = draw(batch)
            drawn[batch] = True
        steps = 255 if modality == "image" else 32767
        return torch.from_numpy(cache[rows].astype(np.float32) / np.float32(steps))

    def _photographs(self, rows: np.ndarray) -> np.ndarray:
        origins = [self._origin[row] for row in rows]
        looks = {name: faces.look(self._persons[name].face) for name in {identity for *_, identity in origins}}
        rngs = [stream("face", self.params["seed"], *origin) for *origin, _ in origins]
        sessions = [faces.draw_session(rng, self.params["blur"]) for rng in rngs]
        return faces.render([looks[name] for *_, name in origins], sessions, rngs, self.params["image_size"])

    def _recordings(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self._recording(*self._origin[row]) for row in rows])

    def _recording(self, split: str, number: int, session: int, identity: str) -> np.ndarray:
        rng = stream("voice", self.params["seed"], split, number, session)
        recording = voices.draw_session(rng, self.params["snr"])
        speaker = voices.speaker(self._persons[identity].voice)
        speech, noise = voices.render(speaker, recording, rng, self.sample_rate, self._samples)
        return voices.quantise(speech + noise)

    def _build_table(self) -> pd.DataFrame:
        p, rows, self._origin = self.params, [], []
        sizes = {
            "train": (p["identities"], p["utterances"]),
            "val": (p["val_identities"], p["eval_utterances"]),
            "test": (p["test_identities"], p["eval_utterances"]),
            "heldout": (p["identities"], p["heldout_utterances"]),
        }
        first_label = {"train": 0, "heldout": 0, "val": p["identities"], "test": p["identities"] + p["val_identities"]}
        for split, (identities, sessions) in sizes.items():
            home = "train" if split == "heldout" else split
            for number in range(identities):
                identity = f"{home}-{number:04d}"
                if identity not in self._persons:
                    self._persons[identity] = draw_person(p["seed"], home, number, p["shared"])
                known = _ground_truth(self._persons[identity])
                for session in range(sessions):
                    self._origin.append((split, number, session, identity))
                    rows.append(
                        {
                            "id": f"{split}-{number:04d}-{session:03d}",
                            "label": first_label[split] + number,
                            "split": split,
                            "identity": identity,
                            "session": session + (p["utterances"] if split == "heldout" else 0),
                            **known,
                            **self._circumstances(split, number, session),
                        }
                    )
        return pd.DataFrame(rows)

    def _circumstances(self, split: str, number: int, session: int) -> dict[str, float]:
        seed = self.params["seed"]
        photo = faces.draw_session(stream("face", seed, split, number, session), self.params["blur"])
        recording = voices.draw_session(stream("voice", seed, split, number, session), self.params["snr"])
        return {
            "snr_db": recording.snr_db,
            "level_db": recording.level_db,
            "blur": photo.blur,
            "light": photo.light,
            "image_noise": photo.noise,
        }


def _ground_truth(who: Person) -> dict[str, Any]:
    known = {f"face_{name}": value for name, value in readable(who.face).items()}
    known |= {f"voice_{name}": value for name, value in readable(who.voice).items()}
    voice = voices.speaker(who.voice)
    return known | {"voice_f0_hz": voice.f0_hz, "voice_tract_cm": voice.tract_cm}
