"""The encoders by name.

A factory takes (input_shape, embedding_dim, width) and returns a module (N, *input_shape) -> (N, D).
`input_shape` is (3, H, W) for images and (mels, frames) for log-mel spectrograms.
"""

from xmkd_lib.registry import Registry

registry = Registry("model")
create = registry.create


def names() -> list[str]:
    """All encoders, sorted."""
    return sorted(registry)
