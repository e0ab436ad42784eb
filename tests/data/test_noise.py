"""The noise clips, on a small made-up copy of the folder, and on the real one where it is."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from xmkd_lib.data.noise import noise_clips
from xmkd_lib.errors import UserError

soundfile = pytest.importorskip("soundfile")
RATE = 4000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three clips in folds 1, 1 and 3, the last too short: constants of 0.1, 0.2 and 0.3."""
    monkeypatch.setenv("XMKD_DATA", str(tmp_path))
    home = tmp_path / "noise"
    home.mkdir()
    rows = []
    for number, (fold, seconds) in enumerate([(1, 5), (1, 5), (3, 2)], start=1):
        soundfile.write(home / f"{number}.wav", np.full(seconds * RATE, number / 10), RATE)
        rows.append({"path": f"{number}.wav", "class_name": "rain", "fold": fold, "seconds": seconds, "licence": "CC0"})
    pd.DataFrame(rows).to_csv(home / "manifest.csv", index=False)
    return home


def test_folds_are_read_apart(folder):
    everything, first, third = (noise_clips(RATE, folds) for folds in (None, [1], [3]))
    assert everything.waveforms.shape == (3, 5 * RATE)
    torch.testing.assert_close(everything.waveforms.mean(1), torch.tensor([0.1, 0.2, 0.3]), atol=1e-4, rtol=0)
    assert torch.equal(everything.waveforms, torch.cat([first.waveforms, third.waveforms]))
    assert first.table.fold.tolist() == [1, 1]
    assert third.table.index.tolist() == [0]


def test_another_rate_is_resampled(folder):
    assert noise_clips(RATE // 2).waveforms.shape == (3, 5 * RATE // 2)


def test_what_is_missing_is_named(folder, monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r"no clip of fold 2\. Folds are \[1, 3\]"):
        noise_clips(RATE, [1, 2])
    with pytest.raises(UserError, match=r"folds is \[\]"):
        noise_clips(RATE, [])
    (folder / "2.wav").unlink()
    with pytest.raises(UserError, match=r"2\.wav: there is no such"):
        noise_clips(RATE)
    monkeypatch.setenv("XMKD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="karolpiczak/ESC-10"):
        noise_clips(RATE)


@pytest.mark.skipif("XMKD_DATA" not in os.environ, reason="XMKD_DATA names no folder of real data")
def test_the_real_clips_are_heard():
    found = noise_clips(8000, [1, 5])
    assert set(found.table.fold) == {1, 5}
    assert found.waveforms.shape == (len(found.table), 40000)
    assert (found.waveforms.square().mean(1) > 1e-8).all()
