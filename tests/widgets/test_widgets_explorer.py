"""An explorer shows what its function draws, again after each change, and tells what was chosen."""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from xmkd_lib import UserError, plots, widgets
from xmkd_lib.widgets import explorer


def picture(value):
    return plots.paired({"last": {"soft": [value, 1.0]}}, "none", "EER")


def made(draw, **more):
    return widgets.explore(draw, value=widgets.slider("value", 0.0, 2.0, 0.1, 0.5, "what it does"), **more)


def shown(view):
    return view._output.outputs


def test_it_draws_at_once_and_after_a_change():
    view = made(lambda value: f"value {value:.1f}")
    assert shown(view)[0]["data"]["text/plain"] == "value 0.5"
    view.controls["value"].value = 1.5
    assert shown(view)[0]["data"]["text/plain"] == "value 1.5"
    assert view.chosen == {"value": 1.5}


def test_figures_texts_and_players_stand_below_each_other():
    view = made(lambda value: (picture(value), "a < b", widgets.player([0.0, 0.5], 8000, "voice")))
    figure, text, voice = (output["data"] for output in shown(view))
    assert {"image/png", "text/html", "text/plain"} <= figure.keys()
    assert "a &lt; b" in text["text/html"]
    assert "<audio" in voice["text/html"]


def test_without_a_front_end_the_first_figure_stands_in_its_place():
    view = made(lambda value: ("words", picture(value)))
    page = view._repr_mimebundle_()
    assert page["image/png"] == shown(view)[1]["data"]["image/png"]
    assert page["application/vnd.jupyter.widget-view+json"]["model_id"] == view._box.model_id
    assert page["text/plain"].startswith("words\nMean paired difference")


def test_dragging_draws_once():
    drawn = []

    async def drag():
        view = made(lambda value: drawn.append(value) or "")
        for step in range(1, 11):
            view.controls["value"].value = step / 10
        assert drawn == [0.5]
        await asyncio.sleep(3 * explorer.PAUSE)

    asyncio.run(drag())
    assert drawn == [0.5, 1.0]


def test_a_mistake_is_one_line_and_a_crash_is_a_traceback_both_as_errors():
    def draw(value):
        if value > 1:
            raise UserError("Margin is too large.")
        return f"{1 / (value - 1):.1f}"

    view = made(draw)
    view.controls["value"].value = 1.5
    (failed,) = shown(view)
    assert (failed["output_type"], failed["traceback"]) == ("error", ["Error: Margin is too large."])
    view.controls["value"].value = 1.0
    assert shown(view)[0]["ename"] == "ZeroDivisionError"
    view.controls["value"].value = 0.0
    assert shown(view)[0]["data"]["text/plain"] == "-1.0"


def test_a_crash_at_first_ends_the_cell():
    with pytest.raises(ZeroDivisionError):
        made(lambda value: 1 / 0)


def test_controls_are_described_and_of_the_right_kind():
    import ipywidgets

    whole, real = widgets.slider("count", 0, 5, 1, 2), widgets.slider("share", 0, 1, 0.1, 0.5, "of both")
    listed = widgets.choice("loss", ["l2", "kd"], "kd", "which")
    assert isinstance(whole, ipywidgets.IntSlider)
    assert isinstance(real, ipywidgets.FloatSlider)
    assert (whole.description, whole.tooltip, real.tooltip) == ("count", "count", "of both")
    assert (listed.value, listed.options) == ("kd", ("l2", "kd"))
    assert widgets.choice("loss", ["l2", "kd"]).value == "l2"


def test_without_ipywidgets_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(UserError, match="pip install ipywidgets"):
        widgets.slider("share", 0, 1, 0.1, 0.5)


def test_nothing_is_left_open():
    from matplotlib import pyplot

    view = made(picture)
    for step in range(5):
        view.controls["value"].value = step / 10
    assert pyplot.get_fignums() == []


def test_of_changes_from_several_threads_the_last_is_shown_last():
    under_way, most = [], []

    def draw(value):
        under_way.append(value)
        most.append(len(under_way))
        time.sleep(0.002 if value else 0.01)
        under_way.remove(value)
        return f"value {value:.1f}"

    view = made(draw)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: setattr(view.controls["value"], "value", (k % 20) / 10), range(40)))
    assert max(most) == 1
    assert shown(view)[0]["data"]["text/plain"] == f"value {view.chosen['value']:.1f}"


def test_anything_that_jupyter_can_show_is_shown():
    class Both:
        def _repr_mimebundle_(self, include=None, exclude=None):
            return {"text/plain": "both"}, {"text/plain": {}}

    view = made(lambda value: [Both(), {"a": 1}, None])
    assert [output["data"]["text/plain"] for output in shown(view)] == ["both", "{'a': 1}", "None"]
