"""Figures as pure functions: numbers in, a matplotlib Figure out."""

from xmkd_lib.plots.curves import curves
from xmkd_lib.plots.det import det
from xmkd_lib.plots.gap import gap, gap_of
from xmkd_lib.plots.landscape import landscape
from xmkd_lib.plots.margins import margin_curve
from xmkd_lib.plots.paired import paired
from xmkd_lib.plots.people import contact_sheet
from xmkd_lib.plots.profile import profile, profile_overview
from xmkd_lib.plots.quality import against_truth, judged, reject_curves, weight_curves
from xmkd_lib.plots.robustness import robustness
from xmkd_lib.plots.scores import score_histogram
from xmkd_lib.plots.seeds import seed_map
from xmkd_lib.plots.spaces import spaces
from xmkd_lib.plots.spread import spread
from xmkd_lib.plots.strength import strength
from xmkd_lib.plots.theme import alt_text, data_uri, keep, save, styles, svg, table, themed
from xmkd_lib.plots.training import training

__all__ = [
    "against_truth",
    "alt_text",
    "contact_sheet",
    "curves",
    "data_uri",
    "det",
    "gap",
    "gap_of",
    "judged",
    "keep",
    "landscape",
    "margin_curve",
    "paired",
    "profile",
    "profile_overview",
    "reject_curves",
    "robustness",
    "save",
    "score_histogram",
    "seed_map",
    "spaces",
    "spread",
    "strength",
    "styles",
    "svg",
    "table",
    "themed",
    "training",
    "weight_curves",
]
