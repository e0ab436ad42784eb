"""The encoders by name.

A factory takes (input_shape, embedding_dim, width) and returns a module (N, *input_shape) -> (N, D).
`input_shape` is (3, H, W) for images, (mels, frames) for log-mel spectrograms and (words, pieces) for text. The
encoders of text read ids and also take `vocabulary`, the number of ids, where 0 is padding.
"""

import inspect
from typing import Any

from torch import nn

from xmkd_lib.errors import UserError
from xmkd_lib.registry import Registry

registry = Registry("model")


def names() -> list[str]:
    """All encoders, sorted."""
    return sorted(registry)


def create(name: str, /, **params: Any) -> nn.Module:
    """The encoder called `name`. UserError on an unknown name or parameter, and where it does not read the input."""
    reads_text = name in registry and "vocabulary" in inspect.signature(registry[name]).parameters
    if name in registry and reads_text != ("vocabulary" in params):
        what = "text alone, and needs its `vocabulary`" if reads_text else "no text"
        raise UserError(f"model {name!r} reads {what}. Models: {', '.join(names())}.")
    return registry.create(name, **params)
