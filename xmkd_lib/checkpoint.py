"""What a killed training resumes from: one safetensors file, whole and of the same training, or not used at all."""

import hashlib
import json
import random
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from xmkd_lib.cache import source_digest
from xmkd_lib.records import write_atomically

FORMAT = 1
OF_STUDENT = Path("checkpoint", "training.safetensors")  # in a run's folder
INTERVAL = 20.0  # seconds between two saves: what a kill costs at most, beside the epoch that it interrupts


@dataclass
class Checkpoint:
    """A place for the state of one training. `key`, JSON, is all that its numbers depend on.

    The library's code and torch's version are added to the key. A state is a nest of dictionaries (names are strings)
    and lists of tensors and JSON values; tuples come back as lists. The file is safetensors; its header holds `format`,
    `key`, `content` (the nest, with {"tensor": name} for each tensor) and `digest`, a hash of content and tensors.
    """

    path: Path
    key: dict[str, Any]

    def __post_init__(self):
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last save, or the start, is `INTERVAL` seconds ago."""
        return time.monotonic() - self._saved >= INTERVAL

    def save(self, state: dict[str, Any]) -> None:
        """Replace what is there. Only a warning where that cannot be written: the training itself is well."""
        tensors: dict[str, Tensor] = {}
        content = json.dumps(_take_tensors(state, "", tensors))
        header = {"format": str(FORMAT), "key": self._key(), "content": content, "digest": _digest(content, tensors)}
        try:
            write_atomically(self.path, save(tensors, header))
        except OSError as error:
            warnings.warn(f"{self.path}: not written ({error}), so this training cannot resume.", stacklevel=2)
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state, tensors on the CPU. None where there is none, or it is damaged, of another format or key."""
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata()
                if (header["format"], header["key"]) != (str(FORMAT), self._key()):
                    return None
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  no mapping
            if header["digest"] != _digest(header["content"], tensors):
                return None
            return _put_tensors(json.loads(header["content"]), tensors)
        except (OSError, SafetensorError, TypeError, KeyError):  # the last two: a header without these entries
            return None

    def remove(self) -> None:
        """Delete the file, if there is one, and what a save that was killed has left beside it."""
        for path in (self.path, *self.path.parent.glob(f".{self.path.name}.*")):
            with suppress(OSError):
                path.unlink()

    def _key(self) -> str:
        return json.dumps({**self.key, "code": source_digest(), "torch": torch.__version__}, sort_keys=True)


def random_state() -> dict[str, Any]:
    """Of all global generators: torch's on the CPU and on each CUDA device in use, numpy's and Python's."""
    name, words, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [name, words.tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `random_state` was taken; devices that are not here are left out."""
    torch.set_rng_state(state["torch"])
    for device, drawn in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(drawn, device)
    np.random.set_state(tuple(state["numpy"]))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


def _digest(content: str, tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(content.encode() + save(tensors)).hexdigest()


def _take_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; its tensors go to `tensors`, each under the path that leads to it."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        return {key: _take_tensors(item, f"{name}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_take_tensors(item, f"{name}/{place}", tensors) for place, item in enumerate(value)]
    return value


def _put_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"tensor"}:
            return tensors[value["tensor"]]
        return {key: _put_tensors(item, tensors) for key, item in value.items()}
    return [_put_tensors(item, tensors) for item in value] if isinstance(value, list) else value
