"""What a person moves, listens to and watches in a notebook: thin shells around pure plot functions."""

from xmkd_lib.widgets.cards import cards, player
from xmkd_lib.widgets.explorer import Explorer, choice, explore, slider, stops
from xmkd_lib.widgets.live import LiveCurves, watched

__all__ = ["Explorer", "LiveCurves", "cards", "choice", "explore", "player", "slider", "stops", "watched"]
