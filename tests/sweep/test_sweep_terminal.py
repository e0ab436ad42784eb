"""A sweep's table on a terminal, on invented runs."""

import io

import pytest
from fake_sweep import change_plan, write_run, write_status, write_sweep
from rich.console import Console

from xmkd_lib.sweep.reading import read_folder
from xmkd_lib.sweep.terminal import print_summary


def printed(folder, width=100):
    out = io.StringIO()
    print_summary(Console(file=out, width=width), read_folder(folder))
    return out.getvalue()


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_table_fits_and_says_what_is_missing(tmp_path, seeds):
    text = printed(write_sweep(tmp_path, seeds, ("none", "soft_classifier", "[bold]odd")))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "[bold]odd" in text
    assert "No finished run of hard_feature" in text
    assert "chosen" in text
    assert "Synthetic data." in text


def test_unbalanced_seeds_are_said(tmp_path):
    write_sweep(tmp_path, 3, ("none", "soft"))
    assert "seeds" not in printed(tmp_path).partition("Synthetic")[2]
    write_status(tmp_path, "soft-s3", "failed", "why", seed=3, method="soft")
    write_run(tmp_path, "none", 3)
    text = " ".join(printed(tmp_path).split())
    assert "Unbalanced seeds. soft lacks seed 3." in text
    assert " 3/4 " in text


def test_nothing_finished(tmp_path):
    write_status(tmp_path, "none-s0", "failed", "why")
    assert "No run has finished" in printed(tmp_path)


def test_a_smoke_sweep_is_for_trying_out(tmp_path):
    write_sweep(tmp_path, 1, ("none",))
    change_plan(tmp_path, preset="smoke")
    assert "Smoke preset: for trying out." in printed(tmp_path)
