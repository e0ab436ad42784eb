"""Costly intermediate results, built once by whichever process needs them first."""

import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json, write_atomically

PACKAGE = Path(__file__).parent
CHECKPOINTS = "checkpoint"  # of trainings, in the folder of an unfinished artefact
# They start runs and show results, and no number depends on them: a new figure makes no teacher or run obsolete.
ONLOOKERS = {"sweep", "plots", "explore", "exercises", "widgets", "notebooks.py", "cli.py", "doctor.py", "__main__.py"}


def cache_root() -> Path:
    """Where caches go: $XMKD_CACHE, else `data/cache` of the clone, else ~/.cache/xmkd for an installed package."""
    if chosen := os.environ.get("XMKD_CACHE"):
        return Path(chosen).expanduser()
    clone = PACKAGE.parent
    return clone / "data" / "cache" if (clone / "pyproject.toml").exists() else Path.home() / ".cache" / "xmkd"


@cache
def source_digest() -> str:
    """A hash of the library's own code that numbers depend on: what other code has computed is not taken for this's."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE)
        if name.parts[0] not in ONLOOKERS:
            digest.update(name.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def code_of(factory: Callable) -> str:
    """What tells a user's factory from an earlier one of the same name; "" for the library's own, see `source_digest`.

    A hash of its source, or, where that cannot be read (a class typed into a Python session), of this very object.
    """
    if (factory.__module__ or "").split(".")[0] == __package__:
        return ""
    try:
        return digest(inspect.getsource(factory))
    except (OSError, TypeError):
        return f"{os.getpid()}-{id(factory)}"


def digest(content: Any) -> str:
    """Hash of a JSON-able value, the same for every order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A cached safetensors file, on the CPU. UserError naming it when it is missing or broken."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not readable ({error}). Delete the folder {path.parent} and run again.") from None


def artefact(kind: str, recipe: dict[str, Any], build: Callable[[Path], None]) -> Path:
    """The folder of a cached artefact; `build(folder)` fills it when nobody has yet.

    The folder's name hashes `recipe` and the library's code. Of several processes one builds while the others wait. A
    build that dies leaves nothing that counts, but the next one gets its folder: trainings resume from what they keep
    in `folder/CHECKPOINTS`, which the finished artefact lacks. UserError when the cache folder cannot be written, or
    when what lies there was made by another recipe.
    """
    recipe = json.loads(json.dumps({**recipe, "code": source_digest()}))  # as it will be read back: tuples are lists
    folder = cache_root() / kind / digest(recipe)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{folder}.lock")
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"{folder.parent}: cannot be written ({error.strerror}). Set XMKD_CACHE to a folder that can."
        ) from None
    with lock:
        if not folder.exists():
            unfinished = folder.with_suffix(".part")
            unfinished.mkdir(exist_ok=True)
            build(unfinished)
            shutil.rmtree(unfinished / CHECKPOINTS, ignore_errors=True)
            write_atomically(unfinished / "recipe.json", json.dumps(recipe, indent=1, sort_keys=True))
            unfinished.replace(folder)
    if read_json(folder / "recipe.json") != recipe:
        raise UserError(f"{folder}: was made by another recipe. Delete the folder and run again.")
    return folder
