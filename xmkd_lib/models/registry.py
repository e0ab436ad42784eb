"""The encoders by name.

A factory takes (input_shape, embedding_dim, width) and returns a module (N, *input_shape) -> (N, D).
`input_shape` is (3, H, W) for images, (mels, frames) for log-mel spectrograms and (words, pieces) for text. The
encoders of text read ids and also take `vocabulary`, the number of ids, where 0 is padding.
"""

import inspect
import math
from numbers import Integral, Real
from typing import Any

from torch import nn

from xmkd_lib.errors import UserError
from xmkd_lib.registry import Registry

registry = Registry("model")


def names() -> list[str]:
    """All encoders, sorted."""
    return sorted(registry)


def create(name: str, /, **params: Any) -> nn.Module:
    """The encoder called `name`.

    UserError on an unknown name or parameter, where it does not read the input, and on a width or an embedding_dim that
    is no number above 0.
    """
    reads_text = name in registry and "vocabulary" in inspect.signature(registry[name]).parameters
    if name in registry and reads_text != ("vocabulary" in params):
        what = "text alone, and needs its `vocabulary`" if reads_text else "no text"
        raise UserError(f"model {name!r} reads {what}. Models: {', '.join(names())}.")
    width, dim = params.get("width", 1.0), params.get("embedding_dim", 1)
    if not isinstance(width, Real) or not 0 < width < math.inf:
        raise UserError(f"model {name!r}: width is {width!r}. Give a number above 0, such as 0.5.")
    if not isinstance(dim, Integral) or dim < 1:
        raise UserError(f"model {name!r}: embedding_dim is {dim!r}. Give a whole number from 1.")
    return registry.create(name, **params)
