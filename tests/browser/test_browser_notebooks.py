"""A person at the notebooks: sliders by keyboard and mouse, and what is shown follows."""

import re
import statistics
import time

import pytest

SECOND, REST = 1.0, 0.6


class Slider:
    """A slider by its description, and the output below it, as a person sees both."""

    def __init__(self, page, description):
        row = page.locator(".widget-slider, .widget-hslider").filter(has_text=description).first
        self.page, self.description, self.row = page, description, row
        self.handle, self.base = row.locator(".noUi-handle"), row.locator(".noUi-base")
        self.explorer = row.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')][1]")
        row.scroll_into_view_if_needed()

    @property
    def seen(self):
        """The figure and the text that are shown."""
        output = self.explorer.locator(".jp-OutputArea").first
        return output.locator("img").first.get_attribute("src"), output.inner_text()

    def press(self, *keys):
        self.handle.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def click(self, share):
        """Click where this share of the slider's width is."""
        box = self.base.bounding_box()
        self.base.click(position={"x": share * (box["width"] - 1), "y": box["height"] / 2})

    def drag(self, share):
        """Drag the handle there, in small steps."""
        self.handle.hover()  # waits until it has come to rest
        box = self.base.bounding_box()
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + share * (box["width"] - 1), box["y"] + box["height"] / 2, steps=12)
        self.page.mouse.up()

    @property
    def value(self):
        return self.row.locator(".widget-readout").inner_text()


def seconds_until_both_follow(slider, act):
    """Act, and wait until figure and text have changed and come to rest: how long after the act they did."""
    before = slider.seen
    move(slider, act)
    begun = changed = time.perf_counter()
    last = before
    while time.perf_counter() - begun < 20 * SECOND:
        now = slider.seen
        if now != last:
            last, changed = now, time.perf_counter()
        if all(new != old for new, old in zip(last, before, strict=True)) and time.perf_counter() - changed > REST:
            return changed - begun
        time.sleep(0.02)
    raise AssertionError(f"{slider.description}: nothing followed {slider.value}. Shown: {last[1]!r}")


def move(slider, act):
    """Act until the slider has moved, up to three times: where the page is still moving, a click may miss it."""
    value = slider.value
    for _ in range(3):
        act()
        slider.page.wait_for_timeout(50)
        if slider.value != value:
            return
    raise AssertionError(f"{slider.description}: the slider itself does not move from {value}.")


def no_errors(page):
    shown = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]')
    assert shown.count() == 0, shown.all_inner_texts()
    assert not re.search(r"^Error: |Traceback", page.locator(".jp-Notebook").inner_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("notebook", "sliders"),
    [
        ("02_hard_and_soft", ("margin, as an angle", "margin (squared", "temperature")),
        ("03_quality_weights", ("blur", "SNR")),
    ],
)
def test_sliders_by_keyboard_and_mouse(run_notebook, tmp_path, notebook, sliders):
    page, waited = run_notebook(notebook), []
    no_errors(page)
    for description in sliders:
        slider = Slider(page, description)
        before = slider.value
        slider.page.screenshot(path=tmp_path / f"{notebook}_{description[:12]}_before.png")
        for act in (
            lambda: slider.press("Home", *["ArrowRight"] * 5),  # noqa: B023  called in this very turn
            lambda: slider.press("ArrowLeft"),  # noqa: B023
            lambda: slider.click(0.8),  # noqa: B023
            lambda: slider.drag(0.3),  # noqa: B023
        ):
            waited.append(seconds_until_both_follow(slider, act))
        assert slider.value != before
        slider.page.screenshot(path=tmp_path / f"{notebook}_{description[:12]}_after.png")
    no_errors(page)
    print(f"{notebook}: figure and text follow in {', '.join(f'{s:.2f}' for s in waited)} s")
    assert statistics.median(waited) <= SECOND
