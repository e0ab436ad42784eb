"""Controls above what they change: a figure, a text, a voice."""

import asyncio
import html
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from xmkd_lib.errors import UserError, optional

PAUSE = 0.02  # seconds without a further change, after which is drawn: dragging does not queue up figures
Draw = Callable[..., Any]


def slider(description: str, low: float, high: float, step: float, value: float, help: str = "") -> Any:
    """A slider over numbers, for mouse and arrow keys; whole numbers where all four are. help: shown on hovering."""
    widgets = _ipywidgets()
    whole = all(isinstance(number, int) for number in (low, high, step, value))
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    return kind(value, min=low, max=high, step=step, **_described(description, help))


def choice(description: str, options: Sequence[Any], value: Any = None, help: str = "") -> Any:
    """A list to choose one of: the options themselves, or (label, value) pairs; the first unless `value` is given."""
    given = {} if value is None else {"value": value}
    return _ipywidgets().Dropdown(options=list(options), **given, **_described(description, help))


def stops(description: str, values: Sequence[Any], value: Any, help: str = "") -> Any:
    """A slider that stops at the given values only, such as those of a logarithmic axis."""
    return _ipywidgets().SelectionSlider(options=list(values), value=value, **_described(description, help))


def explore(draw: Draw, **controls: Any) -> "Explorer":
    """Show `draw(**values)` under the controls, and again whenever one of them changes.

    draw: takes the controls' values by name; returns a figure, or several things to show one below the other: figures,
    texts, players. controls: from `slider`, `stops`, `choice`, or any widget of ipywidgets with a value. The last
    expression of a cell shows it; where no front end is there, what is drawn first stands in its place.
    """
    return Explorer(draw, controls)


class Explorer:
    """Controls and what they show; made by `explore`. `chosen` is what the user has chosen, for the next cell."""

    def __init__(self, draw: Draw, controls: dict[str, Any]):
        widgets = _ipywidgets()
        self.controls = controls
        self._draw, self._output, self._waiting = draw, widgets.Output(), None
        # a kernel may handle messages in several threads, and the last change is to be drawn last
        self._drawing = threading.Lock()
        self._show(draw(**self.chosen))
        for control in controls.values():
            control.observe(self._soon, "value")
        self._box = widgets.VBox([*controls.values(), self._output])

    @property
    def chosen(self) -> dict[str, Any]:
        """The value of each control by its name."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self) -> None:
        """Draw for the present values, in the place of what is shown."""
        with self._drawing:
            try:
                self._show(self._draw(**self.chosen))
            except Exception as error:  # nobody waits for this call: the place of the figure is where it is seen
                self._output.outputs = (_failed(error),)

    def _show(self, drawn: Any) -> None:
        parts = drawn if isinstance(drawn, list | tuple) else [drawn]
        # all at once: clearing first would make the page jump
        self._output.outputs = tuple(
            {"output_type": "display_data", "metadata": {}, "data": bundle(part)} for part in parts
        )

    def _soon(self, change: object) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # outside of a kernel
            self.redraw()
            return
        if self._waiting:
            self._waiting.cancel()
        self._waiting = loop.call_later(PAUSE, self.redraw)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        static = [output.get("data", {}) for output in self._output.outputs]
        pictures = [data for data in static if "image/png" in data]
        fallback = {kind: data for kind, data in (pictures[0] if pictures else {}).items() if kind != "text/plain"}
        text = {"text/plain": "\n".join(data.get("text/plain", "") for data in static)}
        return fallback | self._box._repr_mimebundle_() | text


def _failed(error: Exception) -> dict[str, Any]:
    lines = [f"Error: {error}"] if isinstance(error, UserError) else traceback.format_exception(error)
    return {"output_type": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": lines}


def bundle(shown: Any) -> dict[str, str]:
    """A figure, a text or anything else that Jupyter can show, as a mime bundle. Texts are escaped."""
    if isinstance(shown, str):
        return {"text/plain": shown, "text/html": f"<p style='max-width:60em'>{html.escape(shown)}</p>"}
    from IPython.core.formatters import DisplayFormatter

    return DisplayFormatter().format(shown)[0]


def _ipywidgets() -> Any:
    return optional("ipywidgets", "ipywidgets", "An interactive control")


def _described(description: str, help: str) -> dict[str, Any]:
    layout = {"width": "40em", "max_width": "100%"}
    return {"description": description, "tooltip": help or description, "layout": layout,
            "style": {"description_width": "15em"}}  # fmt: skip
