"""Curves where a person watches, lines where nobody does."""

import pytest

from xmkd_lib import widgets

ROW = {"epoch": 5.0, "train_eer": 0.1, "val_eer": 0.2, "train_distance": 1.0, "val_distance": 1.5}


def test_headless_prints_a_line(monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not widgets.watched()
    live = widgets.LiveCurves("soft")
    live(ROW)
    live({**ROW, "train_accuracy": 0.5, "val_accuracy": 0.25})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "soft, epoch   5: EER 0.100 in training, 0.200 in validation; distance 1.00, 1.50"
    assert "accuracy 0.500 in training, 0.250 in validation" in second


def test_watched_one_figure_grows(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/notebooks/05.ipynb")
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(figure)

    monkeypatch.setattr("IPython.display.display", lambda figure, display_id: shown.append(figure) or Handle())
    live = widgets.LiveCurves("soft")
    for epoch in (5.0, 10.0, 15.0):
        live({**ROW, "epoch": epoch})
    assert [len(figure.table) for figure in shown] == [1, 2, 3]


def test_a_sweeps_kernel_is_not_watched_although_its_parent_is(monkeypatch):
    from xmkd_lib.sweep.marks import SEAT

    monkeypatch.setenv("JPY_SESSION_NAME", "/notebooks/sweep.ipynb")
    monkeypatch.setenv(SEAT, "a mark")
    assert not widgets.watched()


@pytest.mark.parametrize("accuracy", [True, False])
def test_the_training_figure_shows_what_decides(accuracy):
    from xmkd_lib import plots

    curves = {name: [value, value] for name, value in ROW.items()} | {"epoch": [5.0, 10.0]}
    if accuracy:
        curves |= {"train_accuracy": [0.5, 0.6], "val_accuracy": [0.3, 0.4]}
    figure = plots.training(curves, None, "soft")
    left = figure.axes[0]
    assert left.get_ylabel() == ("accuracy (%)" if accuracy else "EER (%)")
    assert left.lines[1].get_ydata().tolist() == ([30.0, 40.0] if accuracy else [20.0, 20.0])
    assert list(plots.table(figure))[1] == ("val_accuracy" if accuracy else "val_eer")
    assert len(left.lines) == 2, "no chosen epoch, no line that marks it"
