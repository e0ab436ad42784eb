"""Paired data sets: `data.create("people", shared=0.5)`, `data.names()`."""

from xmkd_lib.data import digits, emoji, people  # noqa: F401  they register themselves
from xmkd_lib.data.base import DATASETS, SPLITS, PairedDataset, Sample, check_table

__all__ = ["SPLITS", "PairedDataset", "Sample", "check_table", "create", "names", "registry"]

registry = DATASETS
create = registry.create


def names() -> list[str]:
    """All data sets, sorted."""
    return sorted(registry)
