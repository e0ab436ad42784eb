"""Results on disk: one JSON a run, checked when written and when read, and never half there."""

import json
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from xmkd_lib.errors import UserError

SCHEMA = 1


class Result(BaseModel):
    """What a run found: settings, metrics, curves (a value per evaluated epoch), timings in seconds; all finite."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    settings: dict[str, Any]
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    timings: dict[str, float]
    environment: dict[str, str]

    @field_validator("schema_version")
    @classmethod
    def _known_schema(cls, value: int) -> int:
        if value != SCHEMA:
            raise ValueError(f"result schema {value}, this version of xmkd reads {SCHEMA}")
        return value

    @field_validator("metrics", "curves", "timings")
    @classmethod
    def _finite(cls, values: dict[str, Any]) -> dict[str, Any]:
        broken = [name for name, value in values.items() if not np.isfinite(value).all()]
        if broken:
            raise ValueError(f"not finite: {', '.join(broken)}")
        return values

    def save(self, path: str | Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_atomically(path, self.model_dump_json(indent=1))

    @classmethod
    def load(cls, path: str | Path) -> "Result":
        """Read and check. UserError naming the file when it is missing, cut short, of another version or not finite."""
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            why = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
            raise UserError(f"{path}: not a valid result ({why}). Delete it and run again.") from None


def read_json(path: str | Path) -> Any:
    """A JSON file's content. UserError naming the file when it cannot be read or is cut short."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no valid JSON ({error}). Delete it and run again.") from None


def write_atomically(path: str | Path, content: str | bytes, durable: bool = True) -> Path:
    """Write a file beside its place and rename it: a reader finds the old or the new content, never a part.

    durable: also after a power cut, for which the content must be on the disk before it gets the name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that others cannot read
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)  # there only if writing failed or was interrupted
    return path


def check_writable(folder: str | Path) -> None:
    """Make the folder and write a file for a moment, before work is done whose results it shall hold. UserError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from None


def environment(device: str) -> dict[str, str]:
    """What a result depends on beside its settings: versions, device, system."""
    found = {"python": platform.python_version(), "system": platform.platform(), "device": device}
    for package in ("xmkd", "torch", "torchaudio", "numpy", "accelerate"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
