"""Sweeps: a specification, its runs as executed notebooks, and the report."""

from xmkd_lib.sweep.report import write_report
from xmkd_lib.sweep.spec import Sweep
from xmkd_lib.sweep.table import collect, summary

__all__ = ["Sweep", "collect", "summary", "write_report"]
