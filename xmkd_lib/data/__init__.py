"""Paired data sets: `data.create("people", shared=0.5)`, `data.names()`."""

from xmkd_lib.data.base import SPLITS, PairedDataset, Sample, check_table
from xmkd_lib.registry import Registry

registry = Registry("data set")
create = registry.create


def names() -> list[str]:
    """All data sets, sorted."""
    return sorted(registry)


__all__ = ["SPLITS", "PairedDataset", "Sample", "check_table", "create", "names", "registry"]
from xmkd_lib.data import digits, people  # noqa: E402, F401  (they register themselves; need the registry above)
