"""What is installed, which device is used, what is wrong and how to mend it."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from xmkd_lib.cache import cache_root
from xmkd_lib.data import sources
from xmkd_lib.errors import UserError

REQUIRED = (
    "torch",
    "torchaudio",
    "numpy",
    "pandas",
    "accelerate",
    "safetensors",
    "pydantic",
    "soundfile",
    "pillow",
    "pyyaml",
    "filelock",
    "matplotlib",
    "typer",
    "rich",
    "jinja2",
    "psutil",
)
FOR_NOTEBOOKS = ("jupyterlab", "ipywidgets", "ipykernel", "papermill", "seaborn", "umap-learn", "scipy")


class Finding(NamedTuple):
    """One thing looked at: whether it is well, what was found, and the remedy if it is not.

    `required`: nothing works without.
    """

    what: str
    found: str
    ok: bool = True
    required: bool = True
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at interpreter, packages, device, torchaudio, caches and data."""
    packages = [_package(name, required=True) for name in REQUIRED]
    packages += [_package(name, required=False) for name in FOR_NOTEBOOKS]
    data = [_source(name) for name in sources.SOURCES]
    return [Finding("python", platform.python_version()), *packages, _device(), _torchaudio(), _cache(), *data]


def _package(name: str, required: bool) -> Finding:
    try:
        return Finding(name, version(name), required=required)
    except PackageNotFoundError:
        return Finding(
            name, "not installed", False, required, "pip install -r requirements.txt, from the clone's root."
        )


def _device() -> Finding:
    import torch

    threads = f"CPU with {torch.get_num_threads()} of {os.cpu_count()} threads"
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))
        return Finding("device", f"CUDA: {names}; {threads}")
    if torch.version.cuda is None:
        return Finding("device", f"{threads} (this torch is a CPU build)")
    remedy = "torch is a CUDA build but sees no device: look at nvidia-smi and at CUDA_VISIBLE_DEVICES."
    return Finding("device", threads, False, False, remedy)


def _torchaudio() -> Finding:
    import torch

    from xmkd_lib.modalities import LogMel

    try:
        shape = tuple(LogMel()(torch.zeros(1, 8000)).shape)
    except Exception as error:  # whatever a broken install raises is what this line has to say
        remedy = "Install the torchaudio that fits torch: pip install -r requirements.txt."
        return Finding("log-mel", f"{type(error).__name__}: {error}", False, True, remedy)
    return Finding("log-mel", f"works, {shape}")


def _cache() -> Finding:
    root = cache_root()
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    remedy = "" if writable else "Name a folder that can be written in the environment variable XMKD_CACHE."
    return Finding("cache", str(root), writable, True, remedy)


def _source(name: str) -> Finding:
    try:
        return Finding(f"data: {name}", str(sources.find(name)), required=False)
    except UserError as error:
        return Finding(f"data: {name}", "not found", False, False, str(error))
