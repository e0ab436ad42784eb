"""What a sweep over margins says: the best fixed margin, and where the measured one lies."""

from dataclasses import dataclass

import pandas as pd

from xmkd_lib.evaluation import paired_difference
from xmkd_lib.sweep.table import Unit, by_seed, unit

SETTINGS = ("feature_margin", "classifier_margin")


@dataclass(frozen=True)
class MarginCurve:
    """One method's metric by margin. panels: epoch -> margin -> values; auto: epoch -> values; in the metric's unit.

    measured: the auto margins of the runs. fixed and by_auto: epoch -> margin -> seed -> value, and epoch -> seed ->
    value, as shares.
    """

    method: str
    setting: str
    measured: list[float]
    fixed: dict[str, dict[float, dict[int, float]]]
    by_auto: dict[str, dict[int, float]]
    factor: float

    @property
    def panels(self) -> dict[str, dict[float, list[float]]]:
        """Epoch -> margin -> values."""
        return {epoch: {m: self._values(seeds) for m, seeds in curve.items()} for epoch, curve in self.fixed.items()}

    @property
    def auto(self) -> dict[str, list[float]]:
        """Epoch -> values with the auto margin."""
        return {epoch: self._values(seeds) for epoch, seeds in self.by_auto.items()}

    def verdict(self, how: Unit, lower: bool) -> str:
        """The auto margin beside the best fixed one, in words. The best one is picked on test data, the auto is not."""
        parts = []
        for epoch, curve in self.fixed.items():
            means = {margin: sum(seeds.values()) / len(seeds) for margin, seeds in curve.items() if seeds}
            if not means:
                continue
            best = (min if lower else max)(means, key=means.get)
            text = f"{epoch}: the best fixed margin, picked afterwards on test data, is {best:g}"
            if self.by_auto.get(epoch):
                d = paired_difference(self.by_auto[epoch], curve[best])
                text += f"; auto minus that: {how.change(d.mean)} {how.interval(d.low, d.high, signed=True)} {how.step}"
            parts.append(text.rstrip())
        spread = "Margin 0 is the hard constraint; a margin that no distance exceeds is no distillation. "
        if self.measured:
            mean = sum(self.measured) / len(self.measured)
            spread += (
                "The auto margin, the held-out distance of a linear guess, is measured before training, without test "
                f"data: {mean:.2f} ({min(self.measured):.2f} to {max(self.measured):.2f}). "
            )
        said = "".join(f"{part[0].upper()}{part[1:]}. " for part in parts)
        return f"{spread}{said}Bars: 95 % intervals over seeds."

    def _values(self, seeds: dict[int, float]) -> list[float]:
        return [self.factor * value for value in seeds.values()]


def margin_curves(frame: pd.DataFrame, metric: str, epochs: dict[str, str]) -> list[MarginCurve]:
    """A curve per method and margin that the sweep varies alone, over at least three numbers.

    epochs: suffix of a metric's column -> its name.
    """
    varying = frame.attrs.get("settings", [])
    if len(varying) != 1 or varying[0] not in SETTINGS:
        return []
    setting, found = varying[0], []
    for method, rows in frame.groupby("method", sort=False):
        by_margin = {margin: part for margin, part in rows.groupby(setting, sort=False)}
        numbers = sorted(margin for margin in by_margin if isinstance(margin, int | float))
        if len(numbers) >= 3:
            found.append(_curve(str(method), setting, by_margin, numbers, metric, epochs))
    return found


def _curve(
    method: str,
    setting: str,
    by_margin: dict[float | str, pd.DataFrame],
    numbers: list[float],
    metric: str,
    epochs: dict[str, str],
) -> MarginCurve:
    auto = by_margin.get("auto")
    measured = (
        [] if auto is None else [name for name in auto if name.startswith("margin_") and auto[name].notna().any()]
    )
    return MarginCurve(
        method,
        setting.replace("_", " "),
        list(auto[measured[0]].dropna()) if len(measured) == 1 else [],  # of two margins, which is this one is not told
        {name: {m: by_seed(by_margin[m], metric + suffix) for m in numbers} for suffix, name in epochs.items()},
        {} if auto is None else {name: by_seed(auto, metric + suffix) for suffix, name in epochs.items()},
        unit(metric).factor,
    )
