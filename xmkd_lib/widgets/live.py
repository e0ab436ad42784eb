"""A training as it goes: curves for a person who watches, lines for a log."""

import os

from xmkd_lib.plots import training
from xmkd_lib.sweep.marks import SEAT


def watched() -> bool:
    """Whether this kernel belongs to a notebook that is open in Jupyter, and is not executed headless."""
    # jupyter_server tells the name to the kernels of its notebooks; a sweep that runs in one hands it on to its own
    return "JPY_SESSION_NAME" in os.environ and SEAT not in os.environ


class LiveCurves:
    """Call with each evaluated epoch, as `run(experiment, on_epoch=LiveCurves("soft"))` does.

    Where a person watches, one figure grows; headless, each epoch prints a line.
    """

    def __init__(self, method: str):
        self.method, self._curves, self._display = method, {}, None

    def __call__(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            self._curves.setdefault(name, []).append(value)
        if watched():
            self._draw()
        else:
            print(_line(self.method, row))

    def _draw(self) -> None:
        from IPython.display import display

        figure = training(self._curves, None, self.method)
        if self._display is None:
            self._display = display(figure, display_id=True)
        else:
            self._display.update(figure)


def _line(method: str, row: dict[str, float]) -> str:
    name = "accuracy" if "val_accuracy" in row else "eer"
    shown = name if name == "accuracy" else "EER"
    return (
        f"{method}, epoch {row['epoch']:3.0f}: {shown} {row[f'train_{name}']:.3f} in training, "
        f"{row[f'val_{name}']:.3f} in validation; distance {row['train_distance']:.2f}, {row['val_distance']:.2f}"
    )
