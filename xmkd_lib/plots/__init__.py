"""Figures as pure functions: numbers in, a matplotlib Figure out."""

from xmkd_lib.plots.curves import curves
from xmkd_lib.plots.gap import gap
from xmkd_lib.plots.paired import paired
from xmkd_lib.plots.seeds import seed_map
from xmkd_lib.plots.theme import alt_text, data_uri, styles, svg, themed

__all__ = ["alt_text", "curves", "data_uri", "gap", "paired", "seed_map", "styles", "svg", "themed"]
