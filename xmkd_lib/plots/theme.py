"""One look for every figure: palette, markers, and the ways out of matplotlib.

Figures are made without pyplot: nothing is kept open, and threads and notebooks do not disturb each other.
"""

import base64
import functools
import html
import io
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, ParamSpec

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 9.6  # inches of a figure that fills the page
INK, MUTED, RULE = "#1f2328", "#6b7280", "#d9dce1"
DASHES = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.5)),
    (0, (6, 1.5, 1.5, 1.5)),
)  # beside colour and marker
RC = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9aa1ab",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a method called "a$b" is a name, not a formula
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "xmkd",  # equal data, equal bytes
}


class Style(NamedTuple):
    """Colour and marker of one method: any two differ in both, so grey print stays readable."""

    colour: str
    marker: str


# Okabe and Ito's colours, dark enough to be seen on white.
_STYLES = {
    "none": Style("#4d4d4d", "o"),
    "hard_feature": Style("#d55e00", "s"),
    "soft_feature": Style("#0072b2", "^"),
    "hard_classifier": Style("#c78a00", "D"),
    "soft_classifier": Style("#3a9ad9", "v"),
    "soft": Style("#00815f", "P"),
    "soft_quality": Style("#b0558a", "X"),
    "soft_permuted": Style("#7f7f9a", "d"),
    "soft_inverted": Style("#6b3f1d", "8"),
    "soft_oracle": Style("#222a68", "H"),
}
_SPARE = (
    Style("#7a5c00", "<"),
    Style("#5b3a8c", ">"),
    Style("#8c1d40", "p"),
    Style("#2f6f73", "h"),
    Style("#666666", "*"),
)

P = ParamSpec("P")
_ONE = threading.RLock()  # matplotlib's settings are the process's: two threads at once would mix theirs


@contextmanager
def _look() -> Iterator[None]:
    """The house's settings, for one thread at a time."""
    with _ONE, matplotlib.rc_context(RC):
        yield


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name. A preset has the same one in every figure; "soft · margin=1.3" has soft's.

    >>> styles(["soft", "soft · margin=1"])["soft · margin=1"] == styles(["soft"])["soft"]
    True
    """
    names = list(names)
    others = dict.fromkeys(name.split(" · ")[0] for name in names if name.split(" · ")[0] not in _STYLES)
    known = _STYLES | {name: _SPARE[place % len(_SPARE)] for place, name in enumerate(others)}
    return {name: known[name.split(" · ")[0]] for name in names}


def wrapped(label: str) -> str:
    """A long label on several lines, so that it leaves room for the data; of an endless one the beginning.

    >>> print(wrapped("1·angular (hinge, margin auto) + 4·kd (hard)"))
    1·angular (hinge, margin auto) +
    4·kd (hard)
    """
    return textwrap.fill(label, 32, max_lines=4, placeholder=" …")


def themed(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator: draw a figure in the house's look, whatever the caller's settings are."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _look():
            return draw(*args, **kwargs)

    return wrapper


class Picture(Figure):
    """A Figure that shows itself in a notebook, with its alternative text, and whether or not pyplot is in use."""

    table: pd.DataFrame  # what is drawn, in numbers

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        buffer = io.BytesIO()
        with _look():
            self.savefig(buffer, format="png", dpi=110)
        png = base64.b64encode(buffer.getvalue()).decode()
        page = f'<img alt="{html.escape(alt_text(self))}" src="data:image/png;base64,{png}">'
        return {"image/png": png, "text/html": page, "text/plain": alt_text(self)}


def canvas(rows: int, columns: int, width: float, height: float, **kwargs: object) -> tuple[Picture, list[Axes]]:
    """An empty figure (inches) and its axes, row by row."""
    figure = Picture(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **kwargs).flat)


def describe(figure: Picture, text: str, table: pd.DataFrame) -> Picture:
    """Store a figure's alternative text and its table form, and return the figure."""
    figure.set_label(text)
    figure.table = table
    return figure


def alt_text(figure: Figure) -> str:
    """What a figure shows, in words, for readers who do not see it."""
    return str(figure.get_label())


def table(figure: Picture) -> pd.DataFrame:
    """The numbers that a figure draws, for readers who want them or do not see it."""
    return figure.table


def keep(figure: Picture, folder: str | Path, name: str) -> Picture:
    """The figure itself, saved as `folder`/figures/`name`.png beforehand unless the folder is ""."""
    if folder:
        save(figure, Path(folder) / "figures" / f"{name}.png")
    return figure


def svg(figure: Figure) -> bytes:
    """The figure as SVG: no outside fonts, no date, so that equal data give equal bytes."""
    buffer = io.BytesIO()
    with _look():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def data_uri(figure: Figure) -> str:
    """The figure as a `data:` address for an <img>, which keeps several figures' ids apart."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure)).decode()


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure as a PNG with its alternative text inside, making the folder; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _look():
        figure.savefig(path, dpi=110, metadata={"Description": alt_text(figure)})
    return path
