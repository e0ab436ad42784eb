"""Sweeps: a specification, its runs as executed notebooks, and the report."""

from xmkd_lib.sweep.claims import examine
from xmkd_lib.sweep.report import figures, write_report
from xmkd_lib.sweep.spec import Sweep
from xmkd_lib.sweep.table import collect, primary_metric, read_runs, summary

__all__ = ["Sweep", "collect", "examine", "figures", "primary_metric", "read_runs", "summary", "write_report"]
