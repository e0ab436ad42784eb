"""A contact sheet of `people`: every row one person, faces beside the spectrograms of the voice."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xmkd_lib.data.base import PairedDataset
from xmkd_lib.errors import UserError
from xmkd_lib.plots.theme import canvas, describe, themed


@themed
def contact_sheet(dataset: PairedDataset, identities: int = 6, sessions: int = 3, split: str = "train") -> Figure:
    """The first `identities` of a split, `sessions` faces and as many voices of each.

    Spectrograms: dB below the loudest point, windows of 32 ms; harmonics show as lines, formants as bands.
    UserError if the split has not got so many of either.
    """
    table = dataset.table.assign(row=np.arange(len(dataset.table))).query("split == @split")
    sizes = table.groupby("identity", sort=False).size()
    if not 1 <= identities <= len(sizes) or not 1 <= sessions <= sizes[:identities].min():
        raise UserError(
            f"Contact sheet of {identities} identities with {sessions} sessions: split {split!r} has {len(sizes)} "
            f"identities with {sizes.min() if len(sizes) else 0} sessions or more. Ask for fewer, at least one of each."
        )
    widths = [1.3] * sessions + [2.0] * sessions
    size = sum(widths) + 1.6, 1.4 * identities + 0.8
    figure, axes = canvas(identities, 2 * sessions, *size, width_ratios=widths)
    for place, name in enumerate(sizes.index[:identities]):
        person = table[table.identity == name].head(sessions)
        row = axes[2 * sessions * place : 2 * sessions * (place + 1)]
        _faces(row[:sessions], dataset, person)
        _voices(row[sessions:], dataset, person, last=place == identities - 1)
    figure.suptitle(f"Synthetic people ({split}): drawn faces and synthesised voices of {sessions} sessions each")
    shown = table.groupby("identity", sort=False).head(sessions).head(identities * sessions)
    known = [name for name in shown if name.startswith(("face_", "voice_"))]
    text = f"{identities} synthetic people: {sessions} faces and {sessions} spectrograms each."
    return describe(figure, text, shown[["identity", "session", "snr_db", "blur", *known]])


def _faces(axes: list[Axes], dataset: PairedDataset, person: pd.DataFrame) -> None:
    for ax, image in zip(axes, dataset.inputs("image", person.row), strict=True):
        ax.imshow(image.permute(1, 2, 0).numpy(), interpolation="bicubic")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    who = person.iloc[0]
    told = (
        f"{side}: {who[f'{side}_sex']}\n{who[f'{side}_age_years']:.0f} years, {who[f'{side}_height_cm']:.0f} cm"
        for side in ("face", "voice")
    )
    text = "\n".join((who.identity, *told))
    axes[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8, multialignment="left")


def _voices(axes: list[Axes], dataset: PairedDataset, person: pd.DataFrame, last: bool) -> None:
    rate = dataset.sample_rate
    for ax, wave, snr in zip(axes, dataset.inputs("speech", person.row).numpy(), person.snr_db, strict=True):
        extent = (0, len(wave) / rate, 0, rate / 2000)
        ax.imshow(_decibels(wave, rate), origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-60, vmax=0)
        ax.text(0.98, 0.95, f"SNR {snr:.0f} dB", transform=ax.transAxes, ha="right", va="top", color="w", fontsize=7)
        ax.tick_params(labelsize=7, labelbottom=last, labelleft=ax is axes[0])
        if last:
            ax.set_xlabel("time (s)", fontsize=8)
    axes[0].set_ylabel("frequency (kHz)", fontsize=8)


def _decibels(wave: np.ndarray, rate: int) -> np.ndarray:
    """Spectrogram in dB below its largest value (frequencies, frames)."""
    window = round(0.032 * rate)
    frames = np.lib.stride_tricks.sliding_window_view(wave, window)[:: window // 8] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, 4 * window)).T ** 2
    return 10 * np.log10(power / power.max() + 1e-9)
