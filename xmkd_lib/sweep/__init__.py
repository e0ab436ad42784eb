"""Sweeps: a specification, its runs as executed notebooks, and the report."""

import importlib
from typing import Any

_WHERE = {
    "Options": "live",
    "Sweep": "spec",
    "caution": "words",
    "claims_table": "claims",
    "collect": "reading",
    "examine": "claims",
    "figures": "report",
    "judged_by": "words",
    "leaderboard": "table",
    "notices": "words",
    "paired_table": "table",
    "read_folder": "reading",
    "read_runs": "reading",
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
