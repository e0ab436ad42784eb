"""Figures as pure functions: numbers in, a matplotlib Figure out."""

from xmkd_lib.plots.curves import curves
from xmkd_lib.plots.det import det
from xmkd_lib.plots.gap import gap
from xmkd_lib.plots.margins import margin_curve
from xmkd_lib.plots.paired import paired
from xmkd_lib.plots.people import contact_sheet
from xmkd_lib.plots.scores import score_histogram
from xmkd_lib.plots.seeds import seed_map
from xmkd_lib.plots.spaces import spaces
from xmkd_lib.plots.spread import spread
from xmkd_lib.plots.theme import alt_text, data_uri, keep, save, styles, svg, table, themed
from xmkd_lib.plots.training import training

__all__ = [
    "alt_text",
    "contact_sheet",
    "curves",
    "data_uri",
    "det",
    "gap",
    "keep",
    "margin_curve",
    "paired",
    "save",
    "score_histogram",
    "seed_map",
    "spaces",
    "spread",
    "styles",
    "svg",
    "table",
    "themed",
    "training",
]
