"""A contact sheet of `people`: every row one person, faces beside the spectrograms of the voice."""

from typing import TYPE_CHECKING

import numpy as np

from xmkd_lib.data.base import PairedDataset
from xmkd_lib.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def contact_sheet(dataset: PairedDataset, identities: int = 6, sessions: int = 3, split: str = "train") -> "Figure":
    """The first `identities` of a split, `sessions` faces and as many voices of each.

    Spectrograms: dB below the loudest point, windows of 32 ms, harmonics as lines and formants as bands.
    UserError if the split has not got so many of either.
    """
    from matplotlib.figure import Figure

    table = dataset.table[dataset.table.split == split]
    names = table.identity.unique()[:identities]
    most = table.groupby("identity").size().min() if len(table) else 0
    if len(names) < max(identities, 1) or not 1 <= sessions <= most:
        raise UserError(
            f"contact sheet of {identities} identities x {sessions} sessions: split {split!r} has "
            f"{table.identity.nunique()} identities with {most} sessions each. Ask for fewer."
        )
    figure = Figure(figsize=(1.25 * sessions + 2.0 * sessions + 1.8, 1.45 * identities + 0.9), layout="constrained")
    axes = figure.subplots(identities, 2 * sessions, squeeze=False, width_ratios=[1.25] * sessions + [2.0] * sessions)
    position = {name: row for row, name in enumerate(dataset.table.id)}
    for name, row_axes in zip(names, axes, strict=True):
        mine = table[table.identity == name].head(sessions)
        rows = [position[i] for i in mine.id]
        for ax, image in zip(row_axes, dataset.inputs("image", rows), strict=False):
            ax.imshow(image.permute(1, 2, 0).numpy(), interpolation="bicubic")
            ax.set_xticks([])
            ax.set_yticks([])
        for ax, wave in zip(row_axes[sessions:], dataset.inputs("speech", rows), strict=True):
            _draw_spectrogram(ax, wave.numpy(), dataset.sample_rate)
        _describe(row_axes[0], mine.iloc[0])
        for ax, snr in zip(row_axes[sessions:], mine.snr_db, strict=True):
            ax.text(
                0.98, 0.95, f"SNR {snr:.0f} dB", transform=ax.transAxes, ha="right", va="top", color="white", fontsize=7
            )
    for ax in axes[-1, sessions:]:
        ax.set_xlabel("time (s)")
    for ax in axes[:-1, sessions:].flat:
        ax.tick_params(labelbottom=False)
    for ax in axes[:, sessions]:
        ax.set_ylabel("frequency (kHz)", fontsize=8)
    for ax in axes[:, sessions + 1 :].flat:
        ax.tick_params(labelleft=False)
    figure.suptitle(f"Synthetic people ({split}): drawn faces, synthesised voices")
    return figure


def _describe(ax, person) -> None:
    """Beside the row: who this is, as the face shows it and as the voice tells it."""
    lines = [person.identity]
    for side in ("face", "voice"):
        values = person[f"{side}_sex"], person[f"{side}_age_years"], person[f"{side}_height_cm"]
        lines.append("{}: {}\n{:.0f} y, {:.0f} cm".format(side, *values))
    ax.set_ylabel("\n".join(lines), rotation=0, ha="right", va="center", fontsize=8, multialignment="left")


def _draw_spectrogram(ax, wave: np.ndarray, sample_rate: int) -> None:
    window = round(0.032 * sample_rate)
    frames = np.lib.stride_tricks.sliding_window_view(wave, window)[:: window // 8] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, 4 * window)).T ** 2
    level = 10 * np.log10(power / power.max() + 1e-9)
    extent = (0, len(wave) / sample_rate, 0, sample_rate / 2000)
    ax.imshow(level, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-60, vmax=0)
    ax.tick_params(labelsize=7)
