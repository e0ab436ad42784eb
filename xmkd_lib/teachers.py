"""Teacher outputs by sample id, computed once and never taken for another teacher's."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xmkd_lib.cache import digest
from xmkd_lib.data import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.features import preprocessing
from xmkd_lib.models import Network
from xmkd_lib.outputs import Outputs


def bank_key(weights: dict[str, Tensor], dataset: PairedDataset) -> str:
    """Hash of teacher weights (a state dict), preprocessing and data: all that a teacher's outputs depend on."""
    hashed = hashlib.sha256()
    for name, value in sorted(weights.items()):
        hashed.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    modality = dataset.teacher_modality
    return digest([hashed.hexdigest(), modality, preprocessing(dataset, modality), dataset.fingerprint])


@dataclass(frozen=True)
class TeacherBank:
    """A trained teacher's outputs for every row of a data set.

    ids (n) in table order, outputs with embedding (n, D) and logits (n, C), the classifier's rows `weight` (C, D) and
    `scale`, on the CPU. `key` names teacher weights, preprocessing and data.
    """

    ids: list[str]
    outputs: Outputs
    weight: Tensor
    scale: float
    key: str

    @classmethod
    def build(cls, network: Network, features: Tensor, dataset: PairedDataset) -> "TeacherBank":
        """Run the teacher once over the features of all rows."""
        outputs = infer(network, features)
        outputs = Outputs(outputs.embedding.cpu(), outputs.logits.cpu())
        weight = network.head.weight.detach().cpu().clone()
        scale = float(getattr(network.head, "scale", 1.0))
        return cls(list(dataset.table.id), outputs, weight, scale, bank_key(network.state_dict(), dataset))

    @property
    def head(self) -> dict[str, Any]:
        """The teacher's frozen classifier, as losses that read it take it: weight (C, D) and scale."""
        return {"weight": self.weight, "scale": self.scale}

    def save(self, path: str | Path) -> None:
        """Write as safetensors, ids and key in its header."""
        tensors = {"embedding": self.outputs.embedding, "logits": self.outputs.logits, "weight": self.weight}
        header = {"ids": json.dumps(self.ids), "key": self.key, "scale": repr(self.scale)}
        save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata=header)

    @classmethod
    def load(cls, path: str | Path, key: str | None = None) -> "TeacherBank":
        """Read a bank. UserError when the file is broken or `key` is given and differs from the file's."""
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata()
                embedding, logits, weight = (file.get_tensor(name) for name in ("embedding", "logits", "weight"))
            ids, scale, found = json.loads(header["ids"]), float(header["scale"]), header["key"]
        except (SafetensorError, OSError, TypeError, KeyError) as error:  # the last two: no header of a bank
            raise UserError(f"{path}: no readable teacher bank ({error}). Delete it and run again.") from None
        if key is not None and found != key:
            raise UserError(
                f"{path}: holds outputs for key {found}, needed is {key}: teacher, preprocessing or data differ. "
                "Build the bank again."
            )
        return cls(ids, Outputs(embedding, logits), weight, scale, found)

    def take(self, ids: Sequence[str]) -> Outputs:
        """Outputs of some samples, in the order of `ids`. UserError naming the first id that the bank lacks."""
        position = {name: row for row, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in position]
        if missing:
            raise UserError(
                f"Teacher bank {self.key}: {len(missing)} of {len(ids)} ids are missing, first {missing[0]!r}."
            )
        rows = torch.from_numpy(np.array([position[name] for name in ids], dtype=np.int64))
        return Outputs(self.outputs.embedding[rows], self.outputs.logits[rows])


@torch.no_grad()
def infer(network: Network, features: Tensor, chunk: int = 256) -> Outputs:
    """A network's outputs in evaluation mode: features (n, ...) -> Outputs on the same device."""
    network.eval()
    parts = [network(part) for part in features.split(chunk)]
    return Outputs(torch.cat([p.embedding for p in parts]), torch.cat([p.logits for p in parts]))
