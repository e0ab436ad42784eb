"""How long runs take on this machine: remembered, so that the next plan can say."""

import json
import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from xmkd_lib.cache import cache_root
from xmkd_lib.errors import UserError
from xmkd_lib.records import read_json, write_atomically
from xmkd_lib.sweep.spec import Sweep


def remember(sweep: Sweep, seconds: Sequence[float]) -> None:
    """Keep the median time of a sweep's runs."""
    with suppress(OSError):  # a cache that cannot be written costs an estimate, no result
        write_atomically(_file(), json.dumps({**_known(), _kind(sweep): statistics.median(seconds)}, indent=1))


def recall(sweep: Sweep) -> float | None:
    """Seconds of a run of this notebook, data set and preset, as last timed; None where none was."""
    return _known().get(_kind(sweep))


def clock(seconds: float) -> str:
    """Seconds as a person says them.

    >>> clock(8.4), clock(131), clock(7260)
    ('8 s', '2 min 11 s', '2 h 01 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _file() -> Path:
    return cache_root() / "run_seconds.json"


def _known() -> dict[str, float]:
    with suppress(UserError):
        found = read_json(_file())
        if isinstance(found, dict):
            return {name: value for name, value in found.items() if isinstance(value, int | float)}
    return {}


def _kind(sweep: Sweep) -> str:
    return f"{sweep.notebook_file.path.name} {sweep.dataset} {sweep.preset}"
