"""The teacher half of a study: outputs of the chosen teacher, its views, and its out-of-fold copies."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from xmkd_lib.assessment import assess
from xmkd_lib.augmentation import VIEWS, view
from xmkd_lib.cache import CHECKPOINTS, artefact, read_tensors
from xmkd_lib.checkpoint import Checkpoint
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.features import CHUNK, extract
from xmkd_lib.models import Network
from xmkd_lib.outputs import Outputs
from xmkd_lib.settings import Experiment
from xmkd_lib.teachers import Fold, TeacherBank, bank_key, infer
from xmkd_lib.training import Fitted, TrainingSet

VIEW_COUNT = 4
FOLD_COUNT = 4
Assess = Callable[[Network, tuple[str, ...]], dict[str, float]]
Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Teaching:
    """Makes the teacher outputs of an experiment; what costs time is kept in the cache.

    experiment.teacher_bank is a file of outputs made elsewhere. Without one, experiment.teacher chooses; the last three
    are controls, and each says something where a student gains as much from it as from "trained":
    - trained: reads the teacher's modality.
    - same_modality: trained on what the student reads; the gain needs no other modality.
    - untrained: initial weights; the gain needs nothing that a teacher learns.
    - random_centres: a random unit vector per label; the gain is that of being told the classes.

    modality: what the teacher reads. labels: of all rows, on the device. recipe: what a teacher's weights depend on,
    beside the width of its embedding. `new_network(modality, features, model, width, embedding_dim, margin)` has the
    seed's initial weights; `fit(network, training set, assess, checkpoint)` trains it as a teacher; `augment` changes
    its batches.
    """

    experiment: Experiment
    dataset: PairedDataset
    modality: str
    labels: Tensor
    recipe: dict[str, Any]
    new_network: Callable[..., Network]
    fit: Callable[[Network, TrainingSet, Assess, Checkpoint], Fitted]
    augment: Augment | None

    @property
    def dim(self) -> int:
        """Width of the embedding of a teacher that is made here."""
        return self.experiment.teacher_embedding_dim or self.experiment.embedding_dim

    def bank(self) -> TeacherBank:
        """The teacher's outputs for every row's own teacher input."""
        chosen = self.experiment
        if chosen.teacher_bank is not None:
            return TeacherBank.read(chosen.teacher_bank, self.dataset)
        if chosen.teacher == "random_centres":
            return TeacherBank.random_centres(self.dataset, self.dim, chosen.head_scale, chosen.seed)
        folder = self._trained()
        key = bank_key(read_tensors(folder / "teacher.safetensors"), self.dataset, self.modality)
        return TeacherBank.load(folder / "bank.safetensors", key)

    def network(self) -> Network:
        """The network that made the bank, at its validation-chosen epoch. UserError where none did."""
        self._check_network("other inputs")
        return self._loaded(self._features())

    def views(self, bank: TeacherBank) -> Tensor:
        """Embeddings (n_train, V, D) of V augmented views of every training row's own teacher input, on the CPU.

        UserError where no network made the bank: there is nothing to show the views to.
        """
        self._check_network("augmented views")
        recipe = {
            "bank": bank.key,
            "augmentation": VIEWS.get(self.modality),
            "views": VIEW_COUNT,
            **{name: self.recipe[name] for name in ("seed", "device", "threads", "torch")},
        }
        return read_tensors(artefact("views", recipe, self._build_views) / "views.safetensors")["views"]

    def folds(self, bank: TeacherBank) -> list[Fold]:
        """Four teachers that each have not seen a quarter of the training split, the classes dealt evenly to quarters.

        A teacher that learns nothing from samples gives the bank's outputs. Each teacher's epoch is chosen on the
        validation split, as the bank's is; its scores are centred on the embeddings of all training rows. UserError on
        an imported bank: what it was trained on is unknown.
        """
        if self.experiment.teacher_bank is not None:
            raise UserError(
                f"{self.experiment.teacher_bank}: an imported teacher cannot be trained again without a part of the "
                "data, so it has no out-of-fold outputs. Train a teacher, or use a quality that needs none."
            )
        held_out = split_folds(self.labels[self._rows("train")].cpu(), self.experiment.seed)
        if self.experiment.teacher in ("untrained", "random_centres"):
            outputs = bank.outputs.map(lambda x: x[self._rows("train").cpu()])
            return [Fold(positions, outputs) for positions in held_out]
        folder = artefact(
            "folds", {**self._recipe, "folds": FOLD_COUNT}, lambda folder: self._build_folds(folder, held_out)
        )
        tensors = read_tensors(folder / "folds.safetensors")
        outputs = map(Outputs, tensors["embedding"], tensors["logits"])
        return [Fold(*pair) for pair in zip(held_out, outputs, strict=True)]

    def _check_network(self, what: str) -> None:
        if self.experiment.teacher_bank is not None or self.experiment.teacher == "random_centres":
            which = self.experiment.teacher_bank or self.experiment.teacher
            raise UserError(f"Teacher {which!r} has no network here that could see {what}. Train a teacher.")

    def _trained(self) -> Path:
        """The cached folder of the teacher's weights and bank."""
        return artefact("teachers", self._recipe, self._build_teacher)

    @property
    def _recipe(self) -> dict[str, Any]:
        return {**self.recipe, "dim": self.dim}

    def _build_teacher(self, folder: Path) -> None:
        features = self._features()
        network = self._train(features, self._rows("train"), self._checkpoint(folder, "teacher"))
        weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(weights, folder / "teacher.safetensors")
        TeacherBank.build(network, features, self.dataset, self.modality).save(folder / "bank.safetensors")

    def _build_views(self, folder: Path) -> None:
        features = self._features()
        network = self._loaded(features)
        generator = torch.Generator().manual_seed(self.experiment.seed)

        def views_of(samples: Tensor) -> Tensor:
            seen = (infer(network, view(samples, self.modality, generator)) for _ in range(VIEW_COUNT))
            return torch.stack([outputs.embedding.cpu() for outputs in seen], dim=1)

        chunks = features[self._rows("train")].split(CHUNK)
        save_file({"views": torch.cat([views_of(chunk) for chunk in chunks])}, folder / "views.safetensors")

    def _build_folds(self, folder: Path, held_out: list[Tensor]) -> None:
        features, rows = self._features(), self._rows("train")
        found = []
        for number, positions in enumerate(held_out):
            seen = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
            seen[positions.to(rows.device)] = False
            network = self._train(features, rows[seen], self._checkpoint(folder, f"fold_{number}"))
            found.append(infer(network, features[rows]).map(Tensor.cpu))
        embedding, logits = (torch.stack(outputs) for outputs in zip(*found, strict=True))
        save_file({"embedding": embedding, "logits": logits}, folder / "folds.safetensors")

    def _checkpoint(self, folder: Path, name: str) -> Checkpoint:
        return Checkpoint(folder / CHECKPOINTS / f"{name}.safetensors", {**self._recipe, "name": name})

    def _train(self, features: Tensor, rows: Tensor, checkpoint: Checkpoint) -> Network:
        """A teacher trained on some rows, at its validation-chosen epoch; an untrained one as it begins."""
        network = self._network(features)
        if self.experiment.teacher == "untrained":
            return network
        by_split = {split: features[self._rows(split)] for split in ("train", "val")}

        def assess_teacher(net: Network, splits: tuple[str, ...]) -> dict[str, float]:
            outputs = {split: infer(net, by_split[split]) for split in splits}
            return assess(self.dataset, outputs, self.modality)

        training = TrainingSet(features[rows], self.labels[rows], augment=self.augment)
        network.load_state_dict(self.fit(network, training, assess_teacher, checkpoint).best)
        return network

    def _network(self, features: Tensor) -> Network:
        chosen = self.experiment
        model = (chosen.teacher_model, chosen.teacher_width, self.dim)
        return self.new_network(self.modality, features, *model, margin=0.0)

    def _loaded(self, features: Tensor) -> Network:
        """The trained teacher of such features."""
        network = self._network(features)
        network.load_state_dict(read_tensors(self._trained() / "teacher.safetensors"))
        return network

    def _features(self) -> Tensor:
        """What the teacher reads, of all rows; not kept, since the outputs are all that a study needs of it."""
        return extract(self.dataset, self.modality, self.labels.device)

    def _rows(self, split: str) -> Tensor:
        return torch.from_numpy(self.dataset.rows(split)).to(self.labels.device)


def split_folds(labels: Tensor, seed: int) -> list[Tensor]:
    """Positions 0..n-1 dealt to four folds, ascending in each, stratified by labels (n,).

    Sizes differ by one at most, also within a class: what two or more samples have is left in every training part.

    >>> [fold.tolist() for fold in split_folds(torch.tensor([0, 0, 1, 1, 1, 1]), seed=0)]
    [[0, 5], [1, 2], [4], [3]]
    """
    n = len(labels)
    # a class's samples in random order, class after class, are dealt like cards; the stream is not the pairing's
    order = np.lexsort((np.random.default_rng([seed, 2]).random(n), labels.numpy()))
    return [torch.from_numpy(np.sort(order[fold::FOLD_COUNT])) for fold in range(FOLD_COUNT)]
