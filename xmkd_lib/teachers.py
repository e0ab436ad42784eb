"""Teacher outputs by sample id, computed once and never taken for another teacher's."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xmkd_lib.cache import digest
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.features import preprocessing
from xmkd_lib.losses import unit
from xmkd_lib.models import Network
from xmkd_lib.outputs import Outputs
from xmkd_lib.teacher_files import read_outputs


def bank_key(weights: dict[str, Tensor], dataset: PairedDataset, modality: str) -> str:
    """Hash of all that a teacher's outputs depend on: weights (a state dict), what it reads and how, and the data."""
    return digest([_hash(weights), modality, preprocessing(dataset, modality), dataset.fingerprint])


class Fold(NamedTuple):
    """A teacher that has not seen a part of the training split.

    held_out: (m,) int64, positions within the training split that this teacher was trained without. outputs: its
    outputs for all training rows, on the CPU; those of `held_out` are out of fold.
    """

    held_out: Tensor
    outputs: Outputs


@dataclass(frozen=True)
class TeacherBank:
    """A teacher's outputs for every row of a data set.

    ids (n) in table order, outputs with embedding (n, D) and logits (n, C), the classifier's rows `weight` (C, D) and
    `scale`, on the CPU; logits, weight and scale are None where a bank holds embeddings alone. `key` names all that the
    outputs depend on.
    """

    ids: list[str]
    outputs: Outputs
    weight: Tensor | None
    scale: float | None
    key: str

    @classmethod
    def build(cls, network: Network, features: Tensor, dataset: PairedDataset, modality: str) -> "TeacherBank":
        """Run the teacher once over the features of all rows. UserError when it answers NaN or infinity."""
        outputs = infer(network, features).map(Tensor.cpu)
        weight = network.head.weight.detach().cpu().clone()
        scale = float(getattr(network.head, "scale", 1.0))
        bank = cls(list(dataset.table.id), outputs, weight, scale, bank_key(network.state_dict(), dataset, modality))
        return bank._finite(f"Teacher bank {bank.key}")

    @classmethod
    def random_centres(cls, dataset: PairedDataset, dim: int, scale: float, seed: int) -> "TeacherBank":
        """A control without any network: a random unit vector (dim) per label, the same for all samples of a label.

        Labels of other identities than the training ones get a vector too. logits are scale · cosine to the training
        labels' vectors, which are `weight`. A student that gains as much from it as from the trained teacher was only
        told its classes.
        """
        labels = torch.from_numpy(dataset.table.label.to_numpy(dtype="int64", copy=True))
        # a stream of its own: networks and pairing draw from the plain seed
        drawn = np.random.default_rng([seed, 1]).standard_normal((int(labels.max()) + 1, dim))
        centres = unit(torch.from_numpy(drawn)).float()
        embedding, weight = centres[labels], centres[: dataset.num_classes].clone()
        key = digest(["random centres", _hash({"centres": centres}), scale, dataset.fingerprint])
        return cls(list(dataset.table.id), Outputs(embedding, scale * embedding @ weight.T), weight, scale, key)

    @classmethod
    def read(cls, path: str | Path, dataset: PairedDataset) -> "TeacherBank":
        """Import the user's own outputs for a data set: `.npz`, `.parquet` or `.safetensors`, see `read_outputs`.

        Every row of the data set must be in the file, by its id; other ids are ignored. Column c of logits, and row c
        of weight, belong to label c. The key hashes the file's bytes and the data. UserError naming the file and what
        does not fit.
        """
        found = read_outputs(path)
        _check_classes(path, found.embedding.shape[1], found.logits, found.weight, dataset)
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        ids = list(dataset.table.id)
        rows = _rows(found.ids, ids, path)
        outputs = Outputs(found.embedding, found.logits).map(lambda x: x[rows])
        bank = cls(ids, outputs, found.weight, found.scale, digest([content, dataset.fingerprint]))
        return bank._finite(path)

    @property
    def head(self) -> dict[str, Any]:
        """The teacher's frozen classifier, as losses that read it take it: weight (C, D) and scale; {} without one."""
        if self.weight is None:
            return {}
        return {"weight": self.weight} | ({} if self.scale is None else {"scale": self.scale})

    def save(self, path: str | Path) -> None:
        """Write as safetensors, ids, key and scale in its header; `load` and `read` take it."""
        tensors = {"embedding": self.outputs.embedding, "logits": self.outputs.logits, "weight": self.weight}
        header = {"ids": json.dumps(self.ids), "key": self.key}
        if self.scale is not None:
            header["scale"] = repr(self.scale)
        present = {name: value.contiguous() for name, value in tensors.items() if value is not None}
        save_file(present, path, metadata=header)

    @classmethod
    def load(cls, path: str | Path, key: str | None = None) -> "TeacherBank":
        """Read a saved bank as it is.

        UserError when the file is broken, holds NaN or infinity, or when `key` is given and differs from the file's.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header, names = file.metadata(), file.keys()
                embedding = file.get_tensor("embedding")
                logits, weight = (file.get_tensor(x) if x in names else None for x in ("logits", "weight"))
            ids, found = json.loads(header["ids"]), header["key"]
            scale = float(header["scale"]) if "scale" in header else None
        # the last three: no header of a bank
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise UserError(f"{path}: no readable teacher bank ({error}). Delete it and run again.") from None
        if key is not None and found != key:
            raise UserError(
                f"{path}: holds outputs for key {found}, needed is {key}: teacher, preprocessing or data differ. "
                "Build the bank again."
            )
        return cls(ids, Outputs(embedding, logits), weight, scale, found)._finite(path)

    def take(self, ids: Sequence[str]) -> Outputs:
        """Outputs of some samples, in the order of `ids`. UserError naming the first id that the bank lacks."""
        rows = _rows(self.ids, ids, f"Teacher bank {self.key}")
        return self.outputs.map(lambda x: x[rows])

    def _finite(self, where: str | Path) -> "TeacherBank":
        """The bank itself. UserError naming `where` when a number in it is none."""
        for name, values in self.outputs._asdict().items():
            broken = [] if values is None else torch.nonzero(~values.isfinite().all(1))[:, 0].tolist()
            if broken:
                raise UserError(
                    f"{where}: {name} of {len(broken)} of {len(self.ids)} samples hold NaN or infinity, first of "
                    f"{self.ids[broken[0]]!r}. Mend the teacher or its inputs and make it again."
                )
        if self.weight is not None and not self.weight.isfinite().all():
            raise UserError(
                f"{where}: the classifier's weight holds NaN or infinity. Mend the teacher and make it again."
            )
        return self


def _rows(known: Sequence[str], ids: Sequence[str], where: str | Path) -> Tensor:
    """Positions of `ids` in `known`, int64."""
    position = {name: row for row, name in enumerate(known)}
    missing = [name for name in ids if name not in position]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of {len(ids)} ids are missing, first {missing[0]!r}; {len(ids) - len(missing)} "
            "matched. Give outputs for every sample of the data set, by the ids of its table."
        )
    return torch.from_numpy(np.array([position[name] for name in ids], dtype=np.int64))


def _check_classes(
    path: str | Path, width: int, logits: Tensor | None, weight: Tensor | None, dataset: PairedDataset
) -> None:
    classes = dataset.num_classes
    if logits is not None and logits.shape[1] != classes:
        raise UserError(
            f"{path}: `logits` has {logits.shape[1]} columns, and data set {dataset.name!r} has {classes} training "
            "classes. Give a column per label, in the order of the labels, or leave logits out."
        )
    if weight is not None and weight.shape != (classes, width):
        raise UserError(
            f"{path}: `weight` has shape {tuple(weight.shape)}, needed is ({classes}, {width}): a row per label of "
            f"data set {dataset.name!r}, of the embedding's width. Correct it, or leave weight out."
        )


def _hash(tensors: dict[str, Tensor]) -> str:
    hashed = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        hashed.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()


@torch.no_grad()
def infer(network: Network, features: Tensor, chunk: int = 256) -> Outputs:
    """A network's outputs in evaluation mode: features (n, ...) -> Outputs on the same device."""
    network.eval()
    parts = [network(part) for part in features.split(chunk)]
    return Outputs(torch.cat([p.embedding for p in parts]), torch.cat([p.logits for p in parts]))
