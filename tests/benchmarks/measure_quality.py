"""Sign and strength of every quality estimator: `XMKD_DATA=... python tests/benchmarks/measure_quality.py`.

Prints one Markdown table. Spearman is with the known corruption, positive where the less corrupted score higher. Gain
is that of the error-versus-reject curve: 1 where all errors are rejected first, 0 like chance, negative where they are
kept. Errors are a network's wrong answers on the corrupted inputs, or the wrong pairs themselves.
"""

import os
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

from xmkd_lib import Outputs, data, models, quality
from xmkd_lib.data.noise import noise_clips
from xmkd_lib.explore.corruption import MISPAIRED, image_grades, mispaired, normal, uniform
from xmkd_lib.features import extract, shifted
from xmkd_lib.modalities import LogMel, read_image
from xmkd_lib.modalities.corruption import add_noise, clip, excerpts
from xmkd_lib.objective import Objective
from xmkd_lib.teachers import infer
from xmkd_lib.training import Schedule, TrainingSet, fit

EMOJI = Path(os.environ["XMKD_DATA"], "emoji")
RATE = 8000
IMAGE = ("image.sharpness", "image.contrast", "image.resolution", "image.exposure")
SPEECH = ("speech.energy_snr", "speech.wada_snr", "speech.duration", "speech.clipping")
TEXT = ("text.length", "text.in_vocabulary")
TEACHER = ("teacher.confidence", "teacher.logit_margin", "teacher.neg_entropy", "teacher.centre_ratio", "teacher.norm")


class Measured(NamedTuple):
    """One line of the table; gain is None where there are no errors to reject."""

    estimator: str
    data: str
    corruption: str
    n: int
    spearman: float
    gain: float | None = None

    def __str__(self) -> str:
        gain = "" if self.gain is None else f"{self.gain:+.2f}"
        return f"| {self.estimator} | {self.data} | {self.corruption} | {self.n} | {self.spearman:+.2f} | {gain} |"


def measured(estimator: str, scores: Tensor, about: str, corruption: str, strength, errors=None) -> Measured:
    """Score (n,) against the strength of a corruption (n,), and errors (n,) where there are some."""
    gain = None if errors is None else quality.error_versus_reject(scores, errors).gain
    return Measured(estimator, about, corruption, len(scores), quality.spearman(scores, -np.asarray(strength)), gain)


def graded(images: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What was done, strength (n,) and corrupted images (n, C, H, W)."""
    for grade in image_grades(images):
        yield f"{grade.axis}: {grade.strength.min():.1f} to {grade.strength.max():.1f}", grade.strength, grade.corrupted


def speech_corruptions(waveforms: Tensor, noise: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, strength (n,) and corrupted waveforms; noise: clips (k, L)."""
    strength = uniform(len(waveforms), 0, 1, seed=3)
    snr = 30 - 35 * strength
    yield "white noise, SNR −5 to 30 dB", strength, add_noise(waveforms, normal(waveforms, seed=4), snr)
    real = excerpts(noise, *waveforms.shape, torch.Generator().manual_seed(5))
    yield "noise clips, SNR −5 to 30 dB", strength, add_noise(waveforms, real, snr)
    yield "0 to 30 % of samples clipped", strength, clip(waveforms, 0.3 * strength)
    kept = torch.arange(waveforms.shape[1]) < (1 - 0.9 * strength[:, None]) * waveforms.shape[1]
    yield "silence after 10 to 100 %", strength, waveforms * kept


def trained(features: Tensor, labels: Tensor, model: str, epochs: int, augment: Callable | None = None):
    """A classifier trained on features (n, ...) with labels (n,)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = models.create(model, input_shape=tuple(features.shape[1:]), embedding_dim=32, width=0.5)
        network = models.Network(encoder, models.AAMHead(32, int(labels.max()) + 1, 16.0, 0.0))
    schedule = Schedule(epochs, 64, 0.007, 1e-4, warmup=0.05, evaluate_every=epochs, seed=0)
    fit(
        network,
        Objective([]),
        TrainingSet(features, labels, augment=augment),
        schedule,
        Accelerator(cpu=True),
        lambda net: {"epochs": 0.0},
        "epochs",
    )
    return network


def of_images() -> Iterator[Measured]:
    """Image estimators on digits, emoji and drawn faces without other blur, and against the faces' own table."""
    manifest = pd.read_csv(EMOJI / "manifest.csv").sample(600, random_state=0)
    digits = data.create("digits", utterances=2)
    faces = data.create("people", identities=600, utterances=1, heldout_utterances=0, blur=[0, 0])
    sets = {
        "600 emoji": torch.stack([read_image(EMOJI / path, 64) for path in manifest.path]),
        "120 MNIST digits": digits.inputs("image", range(len(digits))),
        "600 faces": faces.inputs("image", faces.rows("train")),
    }
    for about, images in sets.items():
        for corruption, strength, corrupted in graded(images):
            for name in IMAGE:
                yield measured(name, quality.create(name)(corrupted), about, corruption, strength)
    for column, blur in (("blur", [0, 3]), ("image_noise", [0.5, 0.5])):
        people = data.create("people", identities=600, utterances=1, heldout_utterances=0, blur=blur)
        images, table = people.inputs("image", people.rows("train")), people.table.iloc[people.rows("train")]
        for name in IMAGE:
            corruption = f"table: {column}, {table[column].min():.2f} to {table[column].max():.2f}"
            yield measured(name, quality.create(name)(images), "600 faces", corruption, table[column])


def speech_score(name: str, waveforms: Tensor) -> Tensor:
    """Estimators of clipping and WADA-SNR take no sample rate."""
    return quality.create(name, **({"sample_rate": RATE} if name in SPEECH[::2] else {}))(waveforms)


def of_speech() -> Iterator[Measured]:
    """Speech estimators on spoken digits of two speakers that the recogniser has not heard, and on voices."""
    digits, noise = data.create("digits", utterances=30), noise_clips(RATE).waveforms
    labels = torch.from_numpy(digits.table.label.to_numpy(copy=True))
    rows = digits.rows("train")
    recogniser = trained(extract(digits, "speech", "cpu")[rows], labels[rows], "tdnn", epochs=15)
    front_end = LogMel(sample_rate=RATE, n_mels=40, subtract="level")
    rows = np.concatenate([digits.rows("val"), digits.rows("test")])
    clean = digits.inputs("speech", rows)
    for pause in (0.0, 0.15):
        padded = torch.nn.functional.pad(clean, [round(pause * RATE)] * 2)
        about = f"{len(rows)} spoken digits" + (f", {pause:g} s of pause around" if pause else "")
        for corruption, strength, corrupted in speech_corruptions(padded, noise):
            wrong = (infer(recogniser, front_end(corrupted)).logits.argmax(1) != labels[rows]).float()
            for name in SPEECH:
                yield measured(name, speech_score(name, corrupted), about, corruption, strength, wrong)
    for snr in ([-5, 30], [15, 35]):
        people = data.create("people", identities=600, utterances=1, heldout_utterances=0, snr=snr)
        rows = people.rows("train")
        for name in SPEECH:
            scores = speech_score(name, people.inputs("speech", rows))
            strength = -people.table.snr_db.iloc[rows]
            yield measured(name, scores, "600 voices", f"table: SNR {snr[0]} to {snr[1]} dB", strength)


def of_texts() -> Iterator[Measured]:
    """Text estimators on names and keywords of emoji whose concepts were not in training, and on training texts."""
    manifest = pd.read_csv(EMOJI / "manifest.csv").drop_duplicates("codepoint")
    training = manifest.text[manifest.split == "train"].tolist()
    create = {"text.length": {}, "text.in_vocabulary": {"texts": training}}
    for about, texts in (("texts", manifest.text[manifest.split != "train"].tolist()), ("training texts", training)):
        rng = np.random.default_rng(0)
        share = rng.random(len(texts))
        chosen = [rng.random(len(text.split())) < s for text, s in zip(texts, share, strict=True)]
        rubbish = [replaced(text, lost, rng) for text, lost in zip(texts, chosen, strict=True)]
        dropped = [" ".join(np.array(text.split())[~lost]) for text, lost in zip(texts, chosen, strict=True)]
        for corruption, corrupted in (("words replaced by letters", rubbish), ("words dropped", dropped)):
            for name in TEXT:
                scores = quality.create(name, **create[name])(corrupted)
                yield measured(name, scores, f"{len(texts)} {about}", f"0 to 100 % of {corruption}", share)


def replaced(text: str, lost: np.ndarray, rng: np.random.Generator) -> str:
    """The text with its lost words replaced by random letters."""
    letters = list(string.ascii_lowercase)
    return " ".join(
        "".join(rng.choice(letters, len(word))) if gone else word for word, gone in zip(text.split(), lost, strict=True)
    )


def of_teacher() -> Iterator[Measured]:
    """Estimators of the teacher's side on recordings that it has not seen, of people that it knows."""
    people = data.create("people", heldout_utterances=12)
    labels = torch.from_numpy(people.table.label.to_numpy(copy=True))
    features = extract(people, "image", "cpu")
    train, held_out = people.rows("train"), people.rows("heldout")
    network = trained(
        features[train], labels[train], "resnet_small", 20, lambda x, generator: shifted(x, generator, most=2)
    )
    reference = infer(network, features[train])

    def scored(images: Tensor) -> tuple[Outputs, dict[str, Tensor]]:
        standardised = (images - 0.5) / 0.25
        generator = torch.Generator().manual_seed(6)
        views = [infer(network, shifted(standardised, generator, most=2)).embedding for _ in range(8)]
        outputs = infer(network, standardised)
        scores = {name: quality.create(name)(outputs, labels[held_out], reference, labels[train]) for name in TEACHER}
        scores |= {name: quality.create(name)(images) for name in IMAGE}
        return outputs, scores | {"teacher.stability": quality.create("teacher.stability")(torch.stack(views, 1))}

    images, about = people.inputs("image", held_out), f"{len(held_out)} faces, held out"
    for corruption, strength, corrupted in graded(images):
        outputs, scores = scored(corrupted)
        wrong = (outputs.logits.argmax(1) != labels[held_out]).float()
        for name, score in scores.items():
            yield measured(name, score, about, corruption, strength, wrong)
    order, wrong = mispaired(len(images))
    for name, score in scored(images[order])[1].items():
        if name.startswith("teacher."):
            yield measured(name, score, about, f"{MISPAIRED:.0%} of pairs wrong", wrong, wrong)


def mispaired_within(labels: Tensor) -> tuple[Tensor, Tensor]:
    """As `mispaired`, with another row of the same class."""
    order, wrong = mispaired(len(labels))
    for label in labels.unique():
        own = ((labels == label) & (wrong > 0)).nonzero()[:, 0]
        order[own] = own.roll(1)
    return order, (order != torch.arange(len(labels))).float()


def of_pairs() -> Iterator[Measured]:
    """CCA on training pairs, as a study sees them: both networks were trained on these rows."""
    sets = {f"people, shared {shared}": data.create("people", shared=shared) for shared in (0.5, 0.9)}
    sets["digits"] = data.create("digits", utterances=10)
    for about, pairs in sets.items():
        rows = pairs.rows("train")
        labels = torch.from_numpy(pairs.table.label.to_numpy(copy=True))[rows]
        embeddings = []
        for modality, model in (("speech", "tdnn"), ("image", "resnet_small")):
            features = extract(pairs, modality, "cpu")[rows]
            embeddings.append(infer(trained(features, labels, model, 20), features).embedding)
        identity = torch.from_numpy(pairs.table.identity.factorize()[0][rows])
        for kind, (order, wrong) in {"": mispaired(len(rows)), " within class": mispaired_within(labels)}.items():
            for grouping, groups in (("groups: identity", identity), ("no groups", None)):
                scores = quality.create("pair.cca", folds=4)(embeddings[0], embeddings[1][order], groups)
                corruption = f"{MISPAIRED:.0%} of pairs wrong{kind}"
                yield measured("pair.cca", scores, f"{about}, {grouping}", corruption, wrong, wrong)


def main() -> None:
    torch.set_num_threads(1)
    print("| estimator | data | corruption | n | Spearman | gain |\n|---|---|---|---|---|---|", flush=True)
    for part in (of_images, of_speech, of_texts, of_teacher, of_pairs):
        for line in part():
            print(line, flush=True)


if __name__ == "__main__":
    main()
