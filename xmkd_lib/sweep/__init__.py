"""Sweeps: a specification, its runs as executed notebooks, and the report."""

from xmkd_lib.sweep.claims import examine
from xmkd_lib.sweep.reading import collect, read_folder, read_runs
from xmkd_lib.sweep.report import figures, write_report
from xmkd_lib.sweep.spec import Sweep
from xmkd_lib.sweep.table import leaderboard, summary
from xmkd_lib.sweep.words import judged_by, notices

__all__ = [
    "Sweep",
    "collect",
    "examine",
    "figures",
    "judged_by",
    "leaderboard",
    "notices",
    "read_folder",
    "read_runs",
    "summary",
    "write_report",
]
