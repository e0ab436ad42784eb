"""The page: right numbers, nothing unescaped, nothing from outside, at any moment of a sweep."""

import json
import os
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest
from fake_sweep import write_run, write_status, write_sweep

from xmkd_lib.errors import UserError
from xmkd_lib.sweep import report
from xmkd_lib.sweep.report import write_report


class Page(HTMLParser):
    """Tags with their attributes, visible text, and proof that every opened tag is closed."""

    VOID = frozenset(("meta", "img", "br", "link"))

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def read(path):
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A sweep of six methods and five seeds, with one failure, one queued run, and its page."""
    folder = write_sweep(tmp_path_factory.mktemp("sweep one"), 5)
    write_status(folder, "soft_quality-s0-00000000", "failed", "Diverged: loss is nan\nat epoch 3", seed=0)
    write_status(folder, "soft_quality-s1-00000000", "queued", method="soft_quality", seed=1)
    odd = (folder / "soft-s4-0a1b2c3d").rename(folder / "soft 100% #4-0a1b2c3d")
    (odd / "notebook.ipynb").write_text("{}")
    return folder, read(write_report(folder, "Hard or soft?"))


def test_the_page_needs_nothing_from_outside(full):
    _, page = full
    assert not page.all("script")
    assert not page.all("link")
    images = page.all("img")
    assert len(images) == 6
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in images)
    assert all(len(image["alt"]) > 60 for image in images)
    assert not [a for a in page.all("a") if a["href"].startswith(("http", "/"))]


def test_the_verdict_is_honest_in_both_directions(full):
    _, page = full
    assert "Judged by test EER, 5 of 5 tested claims of the paper are supported at the last epoch, 2 of 5" in page.text
    assert "“the hard feature constraint overfits” (+4.51 points, train distance −1.6" in page.text
    assert "soft constraints at both levels beat no distillation" in page.text
    assert "○ not shown" in page.text  # soft against none at the chosen epoch
    assert "choosing the epoch alone, without distillation, changes test EER by −3.13 points [" in page.text
    assert "with 5 common seeds p cannot go below 0.062" in page.text
    assert "fewer than 10 seeds" in page.text


def test_contradiction_is_said(tmp_path):
    for seed in range(4):
        write_run(tmp_path, "none", seed)
        write_run(tmp_path, "soft", seed, shift=0.2)
    page = read(write_report(tmp_path))
    assert "contradicted: “soft constraints at both levels beat no distillation” (+16.94 points)" in page.text
    assert "✗ contradicted" in page.text
    assert "Not tested, for want of finished runs on common seeds: the hard feature constraint overfits" in page.text


def test_failures_and_unfinished_runs_are_named(full):
    _, page = full
    assert "Diverged: loss is nan" in page.text
    assert "1 failed, 30 ok, 1 queued" in page.text
    assert "Queued or running: 1." in page.text


def test_links_are_relative_quoted_and_lead_to_files(full):
    folder, page = full
    links = [a["href"] for a in page.all("a")]
    assert "soft%20100%25%20%234-0a1b2c3d/notebook.ipynb" in links
    assert all((folder / unquote(link)).is_file() for link in links)


def test_people_are_called_synthetic_and_others_not(full, tmp_path):
    assert "Synthetic data." in full[1].text
    write_run(tmp_path, "none", 0, dataset="digits")
    assert "Synthetic" not in read(write_report(tmp_path)).text


def test_results_csv_is_the_table(full):
    folder, _ = full
    frame = pd.read_csv(folder / "results.csv")
    assert len(frame) == 30
    assert list(frame.columns[:4]) == ["method", "seed", "seconds", "train_eer"]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]  # no temporary file stays


def test_text_from_data_is_escaped(tmp_path):
    for method in ("none", "<script>alert(1)</script>", 'a"b$c$ & {{ 7*7 }}'):
        for seed in range(2):
            run = write_run(tmp_path, method, seed, note="<img src=x onerror=alert(2)>")
            run.rename(tmp_path / f"{method[:2].strip('<')}&'{seed}-{run.name[-8:]}".replace("/", ""))
    write_status(tmp_path, "bad", "failed", "<b>cause</b>", method="<i>m</i>", seed=1)
    page = read(write_report(tmp_path, "<u>title</u> & more", baselines=("none", "<script>")))
    assert not page.all("script")
    assert not [image for image in page.all("img") if "onerror" in image or image["src"] == "x"]
    assert not {"b", "i", "u"} & {tag for tag, attrs in page.tags if tag != "b"}
    for text in ("<script>alert(1)</script>", "<u>title</u> & more", "<b>cause</b>", "{{ 7*7 }}", "<img src=x"):
        assert text in page.text


@pytest.mark.parametrize("states", [[], ["queued"], ["failed", "killed", "timeout"]])
def test_no_finished_run_gives_a_clear_page(tmp_path, states):
    for k, state in enumerate(states):
        write_status(tmp_path, f"none-s{k}-00000000", state, "why" if state == "failed" else None)
    page = read(write_report(tmp_path))
    assert "No run has finished yet" in page.text
    assert not page.all("img")
    assert all(state in page.text for state in states)
    assert (tmp_path / "results.csv").is_file()


def test_one_seed_gives_numbers_but_no_intervals(tmp_path):
    write_sweep(tmp_path, 1, ("none", "hard_feature"))
    page = read(write_report(tmp_path))
    assert "One common seed gives no interval" in page.text
    assert "✓" not in page.text
    assert "✗" not in page.text
    assert "nan" not in page.text.lower().split()


def test_one_run_alone_and_an_absent_baseline_are_said(tmp_path):
    write_run(tmp_path, "soft", 0)
    page = read(write_report(tmp_path))
    assert "No finished run of none : differences to it are left out." in page.text
    assert "nothing to pair" in page.text


def test_unbalanced_seeds_are_paired_where_common_and_listed(tmp_path):
    for seed in (0, 1, 2):
        write_run(tmp_path, "none", seed)
    for seed in (1, 2, 5):
        write_run(tmp_path, "soft", seed)
    assert "0, 5" in read(write_report(tmp_path)).text


def test_disjoint_seeds_are_not_paired(tmp_path):
    write_run(tmp_path, "none", 0)
    write_run(tmp_path, "soft", 1)
    assert "nothing to pair" in read(write_report(tmp_path)).text


def test_varying_settings_make_rows_of_their_own(tmp_path):
    for shared in (0.5, 0.9):
        write_sweep(tmp_path, 2, ("none", "soft"), dataset_params={"shared": shared})
    page = read(write_report(tmp_path))
    assert "soft · shared=0.5" in page.text
    assert "soft · shared=0.9" in page.text
    assert "“soft constraints at both levels beat no distillation” in 2 conditions (" in page.text


def test_a_closed_set_is_judged_by_accuracy(tmp_path):
    for method, hit in (("none", 0.7), ("soft", 0.8)):
        for seed in range(3):
            path = write_run(tmp_path, method, seed, dataset="digits") / "result.json"
            result = json.loads(path.read_text())
            accuracy = hit + seed / 100
            result["metrics"] |= {"train_accuracy": 0.99, "test_accuracy": accuracy, "test_accuracy_best": accuracy}
            path.write_text(json.dumps(result))
    page = read(write_report(tmp_path))
    assert "Judged by test accuracy, 1 of 1 tested claims" in page.text
    assert "(+10.00 points)" in page.text
    assert "train accuracy % test accuracy %" in page.text


def test_another_metric_and_a_wrong_one(tmp_path):
    write_sweep(tmp_path, 2, ("none", "soft"))
    assert "Judged by test minDCF p=0.01" in read(write_report(tmp_path, metric="test_min_dcf_0.01")).text
    with pytest.raises(UserError, match="test_eer"):
        write_report(tmp_path, metric="test_err_eer")


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    write_run(tmp_path, "none", 0)
    old = write_report(tmp_path).read_bytes()

    def full_disk(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["report.html", "results.csv"]


def test_equal_runs_give_equal_figures(tmp_path):
    write_sweep(tmp_path, 1, ("none", "soft"))
    first, second = (read(write_report(tmp_path)).all("img") for _ in range(2))
    assert first == second


def test_p_values_are_written_with_enough_digits():
    assert (report._p(2**-9), report._p(0.0625), report._p(float("nan"))) == ("0.0020", "0.062", "–")
