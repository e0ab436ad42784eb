"""Embeddings and logits that a user computed elsewhere, read from a file and checked."""

import json
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xmkd_lib.errors import UserError

_FORMAT = (
    "Needed: `id` (n strings) and `embedding` (n, D); optional `logits` (n, C), `weight` (C, D) and `scale`; in "
    ".safetensors the ids are a JSON list in the header's `ids`, in .parquet there is no weight and no scale."
)


_OBJECTS = (
    "(it holds Python objects, which are never loaded, or is no such file). Ids of a table are objects: save them as "
    "numpy.array(ids, dtype=str)."
)


class Imported(NamedTuple):
    """A file's content as it stands: ids (n), embedding (n, D), and where present logits (n, C), weight (C, D), scale.

    All float32; nothing is matched with a data set yet, and numbers may still be NaN.
    """

    ids: list[str]
    embedding: Tensor
    logits: Tensor | None
    weight: Tensor | None
    scale: float | None


def read_outputs(path: str | Path) -> Imported:
    """Read `.npz`, `.parquet` or `.safetensors`; never a pickle.

    npz: arrays id, embedding, logits, weight, scale. parquet: a column id, or an index of strings, and embedding either
    as one column of lists or as columns embedding_0, embedding_1, ...; logits alike. safetensors: tensors embedding,
    logits, weight, and in the header `ids` (a JSON list) and `scale`, which is also what `TeacherBank.save` writes.
    UserError naming the file when it is missing, of another kind, damaged, or holds other types or shapes.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise UserError(f"{path}: a teacher's outputs are read from {', '.join(_READERS)}. Save them as one of these.")
    if not os.path.isfile(path):  # also false for a path that is too long
        raise UserError(f"{path}: there is no such file. Check the path of the teacher's outputs.")
    try:
        found = _READERS[path.suffix](path)
    except ImportError:
        raise UserError(f"{path}: pyarrow, which reads parquet, is missing. Run: pip install pyarrow.") from None
    except _DAMAGED as error:
        why = _OBJECTS if "pickle" in str(error) else f"({error}). Write it again."
        raise UserError(f"{path}: not readable as {path.suffix} {why} {_FORMAT}") from None
    return _checked(path, found)


def _npz(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in ("id", *Imported._fields) if name in arrays}


def _safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        found = {name: file.get_tensor(name) for name in ("embedding", "logits", "weight") if name in file.keys()}  # noqa: SIM118
    # numpy has no bfloat16
    found = {name: (x.float() if x.is_floating_point() else x).numpy() for name, x in found.items()}
    if "ids" in header:
        found["id"] = np.array(json.loads(header["ids"]))
    if "scale" in header:
        found["scale"] = np.array(float(header["scale"]))
    return found


def _parquet(path: Path) -> dict[str, Any]:
    import pandas as pd

    frame = pd.read_parquet(path)
    if "id" not in frame and pd.api.types.is_string_dtype(frame.index):
        frame["id"] = frame.index
    found = {"id": np.array(frame["id"].tolist())} if "id" in frame else {}
    for name in ("embedding", "logits"):
        numbered = sum(re.fullmatch(rf"{name}_\d+", column) is not None for column in map(str, frame.columns))
        if name in frame:
            found[name] = np.stack(frame[name])
        elif numbered:
            part = frame[[f"{name}_{k}" for k in range(numbered)]]
            nullable = [column for column, kind in part.dtypes.items() if _is_nullable_number(kind)]
            found[name] = part.astype(dict.fromkeys(nullable, np.float32)).to_numpy()
    return found


def _is_nullable_number(kind: Any) -> bool:
    """Whether a column is of pandas' own numbers, such as Float32, whose gaps become NaN in numpy's float32."""
    return not isinstance(kind, np.dtype) and kind.kind in "fiu"


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".npz": _npz,
    ".parquet": _parquet,
    ".safetensors": _safetensors,
}
# what the readers raise on files that are cut short, of another kind, damaged anywhere (a header can announce more
# than any memory holds, or be nested too deep), or hold objects and lists of several lengths
_DAMAGED = (
    OSError, ValueError, TypeError, LookupError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error,
    SafetensorError, SyntaxError, tokenize.TokenError, ArithmeticError, MemoryError, RecursionError,
)  # fmt: skip


def _checked(path: Path, found: dict[str, Any]) -> Imported:
    for name in ("id", "embedding"):
        if name not in found:
            raise UserError(f"{path}: has no `{name}`, only: {', '.join(sorted(found)) or 'nothing known'}. {_FORMAT}")
    ids = _ids(path, found["id"])
    numbers = {name: _numbers(path, name, found[name]) for name in Imported._fields if name in found}
    embedding, logits = _matrix(path, numbers, "embedding", len(ids)), _matrix(path, numbers, "logits", len(ids))
    scale = numbers.get("scale")
    if scale is not None and not (scale.numel() == 1 and 0 < float(scale) < float("inf")):
        raise UserError(f"{path}: `scale` is {scale.tolist()}. Give one number above 0, or leave it out.")
    return Imported(ids, embedding, logits, _matrix(path, numbers, "weight"), None if scale is None else float(scale))


def _ids(path: Path, ids: np.ndarray) -> list[str]:
    if ids.ndim != 1 or (ids.dtype.kind != "U" and len(ids)):
        raise UserError(
            f"{path}: `id` has type {ids.dtype} and shape {ids.shape}. Give one string per row, as the data set's "
            "table has them: numpy.array(ids, dtype=str)."
        )
    names, counts = np.unique(ids, return_counts=True)
    if len(names) < len(ids):
        raise UserError(
            f"{path}: {(counts > 1).sum()} ids occur more than once, first {str(names[counts > 1][0])!r}. "
            "Give one row per sample."
        )
    return ids.tolist()


def _numbers(path: Path, name: str, values: np.ndarray) -> Tensor:
    if values.dtype.kind not in "fiu":
        raise UserError(f"{path}: `{name}` has type {values.dtype}. Give real numbers, without gaps.")
    return torch.from_numpy(values.astype(np.float32))


def _matrix(path: Path, numbers: dict[str, Tensor], name: str, rows: int | None = None) -> Tensor | None:
    values = numbers.get(name)
    if values is not None and (values.ndim != 2 or not values.shape[1] or rows not in (None, len(values))):
        wanted = "two dimensions" if rows is None else f"{rows} rows, one per id, and at least one column"
        raise UserError(f"{path}: `{name}` has shape {tuple(values.shape)}. Give {wanted}. {_FORMAT}")
    return values
