"""Sweeps: a specification, its runs as executed notebooks, and the report."""

import importlib
from typing import Any

_WHERE = {
    "Sweep": "spec",
    "collect": "table",
    "examine": "claims",
    "figures": "report",
    "primary_metric": "table",
    "read_runs": "table",
    "run_sweep": "live",
    "summary": "table",
    "write_report": "report",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    # a worker needs none of these, and pandas and torch would cost it three seconds
    if name not in _WHERE:
        raise AttributeError(f"module 'xmkd_lib.sweep' has no attribute {name!r}")
    return getattr(importlib.import_module(f"xmkd_lib.sweep.{_WHERE[name]}"), name)
