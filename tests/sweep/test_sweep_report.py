"""The page: right numbers, nothing unescaped, nothing from outside, at any moment of a sweep."""

import json
import os
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest
from fake_sweep import change_plan, change_result, write_result, write_run, write_status, write_sweep

from xmkd_lib.errors import UserError
from xmkd_lib.records import Result
from xmkd_lib.sweep import report
from xmkd_lib.sweep.reading import read_folder
from xmkd_lib.sweep.report import figures, write_report
from xmkd_lib.sweep.words import notices


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
    """A sweep of six methods and five seeds, with a failure, a running and a queued run, and its page."""
    folder = write_sweep(tmp_path_factory.mktemp("sweep one"), 5)
    failed = write_status(
        folder, "soft 100% #0", "failed", "Diverged: loss is nan\nat epoch 3", method="soft_quality", attempt=3
    )
    for place in (failed, failed / "attempts" / "1", failed / "attempts" / "2"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "log.txt").write_text("what happened")
    (failed / "notebook.ipynb").write_text("{}")
    write_status(folder, "soft_quality-s1", "queued", method="soft_quality", seed=1)
    running = write_status(folder, "soft_quality-s2", "running", method="soft_quality", seed=2)
    (running / "progress.json").write_text('{"epoch": 5, "epochs": 30, "metrics": {"val_eer": 0.25}}')
    change_plan(folder, title="Hard or soft?")
    return folder, read(write_report(folder))


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
    assert (
        "“the hard feature constraint overfits” (+4.51 points, train distance −1.682, test distance −0.257)"
        in page.text
    )
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
    assert "33 runs: 1 failed, 30 ok, 1 queued, 1 running." in page.text
    assert "The sweep is not finished. 1 queued, 1 running." in page.text
    assert "soft_quality-s2 2 1 epoch 5 of 30, val_eer 0.25" in page.text
    assert "failed Diverged: loss is nan at epoch 3 3 notebook log attempt 1: log attempt 2: log" in page.text


def test_links_are_relative_quoted_and_lead_to_files(full):
    folder, page = full
    links = [a["href"] for a in page.all("a")]
    assert "soft%20100%25%20%230/notebook.ipynb" in links
    assert "soft%20100%25%20%230/attempts/2/log.txt" in links
    assert {"results.csv", "results.parquet", "leaderboard.csv"} <= set(links)
    assert all((folder / unquote(link)).is_file() for link in links)


def test_people_are_called_synthetic_and_others_not(full, tmp_path):
    assert "Synthetic data." in full[1].text
    write_run(tmp_path, "none", 0)
    change_plan(tmp_path, dataset="digits")
    assert "Synthetic" not in read(write_report(tmp_path)).text


def test_the_tables_hold_the_finished_runs(full):
    folder, _ = full
    frame = pd.read_csv(folder / "results.csv")
    assert len(frame) == 30
    assert list(frame.columns[:4]) == ["method", "seed", "seconds", "train_eer"]
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "results.parquet"), frame, check_dtype=False)
    board = pd.read_csv(folder / "leaderboard.csv").set_index(["metric", "method"])
    assert len(board) == 2 * 7
    of_none = frame[frame.method == "none"]
    assert board.loc[("test_eer", "none"), "mean"] == pytest.approx(of_none.test_eer.mean())
    assert board.loc[("test_eer_best", "none"), "mean"] == pytest.approx(of_none.test_eer_best.mean())
    assert board.loc[("test_eer", "soft_quality"), ["n", "planned", "missing"]].tolist() == [0, 5, "0 to 4"]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]  # no temporary file stays


def test_text_from_data_is_escaped(tmp_path):
    for method in ("none", "<script>alert(1)</script>", 'a"b$c$ & {{ 7*7 }}'):
        for seed in range(2):
            write_run(tmp_path, method, seed, **{"<s>note</s>": f"<img src=x onerror=alert({seed})>"})
    write_status(tmp_path, "<i>bad</i>".replace("/", ""), "failed", "<b>cause</b>", method="<i>m</i>", seed=1)
    run = write_status(tmp_path, "running & 'more'", "running", seed=1)
    (run / "progress.json").write_text('{"stage": "<em>teacher</em>"}')
    change_plan(tmp_path, title="<u>title</u> & more", baselines=["none", "<script>"], dataset="<i>data</i>")
    page = read(write_report(tmp_path))
    assert not page.all("script")
    assert not [image for image in page.all("img") if "onerror" in image or image["src"] == "x"]
    assert not {"i", "u", "s"} & {tag for tag, _ in page.tags}
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>cause" not in source
    assert "<em>teacher" not in source
    texts = ["<script>alert(1)</script>", "<u>title</u> & more", "<b>cause</b>", "{{ 7*7 }}", "<img src=x"]
    texts += ["<s>note</s>", "<em>teacher</em>", "<i>data</i>", "running & 'more'"]
    for text in texts:
        assert text in page.text


@pytest.mark.parametrize("states", [[], ["queued"], ["failed", "killed", "timeout"]])
def test_no_finished_run_gives_a_clear_page(tmp_path, states):
    change_plan(tmp_path)
    for k, state in enumerate(states):
        write_status(tmp_path, f"none-s{k}-00000000", state, "why" if state == "failed" else None)
    page = read(write_report(tmp_path))
    assert "No run has finished yet" in page.text
    assert not page.all("img")
    assert all(state in page.text for state in states)
    assert all((tmp_path / f"results.{kind}").is_file() for kind in ("csv", "parquet"))


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


def test_unbalanced_seeds_are_said_and_paired_where_common(tmp_path):
    for seed in (0, 1, 2):
        write_run(tmp_path, "none", seed)
    for seed in (1, 2, 5):
        write_run(tmp_path, "soft", seed)
    text = read(write_report(tmp_path)).text
    assert "Unbalanced seeds. none lacks seed 5; soft lacks seed 0. Means are over different seeds" in text
    assert "none 3 of 4 without 5" in text
    assert "soft 3 of 4 without 0" in text
    assert "0, 5" in text  # left out of the difference


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
            run, accuracy = write_run(tmp_path, method, seed), hit + seed / 100
            metrics = json.loads((run / "result.json").read_text())["metrics"]
            more = {"train_accuracy": 0.99, "test_accuracy": accuracy, "test_accuracy_best": accuracy}
            change_result(run, metrics=metrics | more)
    write_status(tmp_path, "soft-s3", "queued", method="soft", seed=3)
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
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "leaderboard.csv", "plan.json", "report.html", "results.csv", "results.parquet",
    ]  # fmt: skip


def write_own(folder, **plan):
    """A sweep of a user's own notebook: no experiment of ours, any settings, any metrics."""
    for model in ("linear", "<b>deep</b>"):
        for depth in (1, "auto"):
            for seed in range(3):
                score = 0.5 + 0.1 * (model == "linear") + 0.01 * seed
                result = Result(
                    settings={},
                    metrics={"score": score, "time": 2.0 + seed, "n": 4.0},
                    curves={"step": [1.0, 2.0], "gain": [3.0]},
                    timings={},
                    environment={},
                )
                write_result(folder, result, seed, model=model, depth=depth)
    change_plan(folder, **{"dataset": None, "notebook": "my study.ipynb", "baselines": [], "metric": "score"} | plan)
    return folder


def test_a_notebook_of_the_users_own(tmp_path):
    page = read(write_report(write_own(tmp_path)))
    assert "12 runs: 12 ok. Notebook: my study.ipynb." in page.text
    for ours in ("EER", "paper", "Synthetic", "teacher", "validation-chosen", "Judged", "nan"):
        assert ours not in page.text
    assert "my study · depth=1 · model=linear 3 of 3 0.610 [0.600, 0.620] 4.000 [4.000, 4.000] 3.000" in page.text
    assert "my study · depth=auto · model=<b>deep</b> 3 of 3 0.510" in page.text
    frame = pd.read_csv(tmp_path / "results.csv")
    assert list(frame.columns) == ["method", "seed", "seconds", "metrics.n", "score", "time", "depth", "model", "run"]
    assert len(pd.read_parquet(tmp_path / "results.parquet")) == 12
    assert set(pd.read_csv(tmp_path / "leaderboard.csv").metric) == {"score"}
    assert figures(tmp_path) == {"paired": [], "margin": [], "gap": [], "curves": []}


def test_methods_of_a_users_own_notebook_are_compared_with_its_baseline(tmp_path):
    for method, gain in (("plain", 0.0), ("new", 0.2)):
        for seed in range(4):
            metrics = {"test_score": 0.5 + gain + 0.01 * seed}
            result = Result(settings={}, metrics=metrics, curves={}, timings={}, environment={})
            write_result(tmp_path, result, seed, method=method)
    change_plan(tmp_path, dataset=None, metric="test_score", baselines=["plain"])
    page = read(write_report(tmp_path))
    assert "new plain +0.200 [+0.200, +0.200] 4 0.125 0.125" in page.text
    assert len(page.all("img")) == 2
    assert "worse" in page.text


def test_a_metric_of_the_users_own_must_be_named_and_have_a_direction(tmp_path):
    write_own(tmp_path, metric=None)
    with pytest.raises(UserError, match=r"Write `metric: NAME`.*score, time"):
        write_report(tmp_path)
    with pytest.raises(UserError, match=r"time.*Rename it"):
        write_report(tmp_path, metric="time")
    with pytest.raises(UserError, match=r"scores.*Did you mean 'score'"):
        write_report(tmp_path, metric="scores")


def test_a_smoke_sweep_gives_no_verdict(tmp_path):
    write_sweep(tmp_path, 3)
    change_plan(tmp_path, preset="smoke")
    page = read(write_report(tmp_path))
    assert "Smoke preset: for trying out." in page.text
    assert "Judged by" not in page.text
    assert "✓" not in page.text
    assert "claims" not in page.text
    assert "Results per method" in page.text


def test_many_conditions_have_tables_but_no_figures(tmp_path):
    for k in range(41):
        write_run(tmp_path, f"m{k}", 0)
    page = read(write_report(tmp_path))
    assert "Figures are left out: they can show 40 conditions" in page.text
    assert not page.all("img")
    assert "m40 1 of 1" in page.text


def test_a_report_can_be_written_of_a_folder_that_was_read_before(tmp_path):
    write_sweep(tmp_path, 1, ("none",))
    found = read_folder(tmp_path)
    before = write_report(found).read_text(encoding="utf-8")
    assert found.folder == tmp_path
    assert "An invented study" in before


@pytest.mark.parametrize("name", ["plan.json", "status.json", "result.json", "progress.json", "log.txt"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1}', b"[]", b"\xff\x00", None])
def test_no_moment_of_a_sweep_ends_in_a_traceback(tmp_path, name, content):
    """A folder with one file cut short, foreign or gone gives a page, or the user's error where it is the plan."""
    write_sweep(tmp_path, 2, ("none",))
    running = write_status(tmp_path, "soft-s0", "running", method="soft")
    (running / "progress.json").write_text('{"stage": "teacher"}')
    (running / "log.txt").write_text("")
    for path in list(tmp_path.rglob(name)):
        path.unlink() if content is None else path.write_bytes(content)
    if name == "plan.json":
        with pytest.raises(UserError, match=r"plan\.json"):
            write_report(tmp_path)
    else:
        assert "An invented study" in read(write_report(tmp_path)).text


def test_equal_runs_give_equal_figures(tmp_path):
    write_sweep(tmp_path, 1, ("none", "soft"))
    first, second = (read(write_report(tmp_path)).all("img") for _ in range(2))
    assert first == second


def test_p_values_are_written_with_enough_digits():
    assert (report._p(2**-9), report._p(0.0625), report._p(float("nan"))) == ("0.0020", "0.062", "–")


def test_runs_of_several_versions_are_said_to_be_such(tmp_path):
    for seed in range(3):
        run = write_run(tmp_path, "none", seed)
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps(status | {"code": "b" if seed else "a", "notebook": "n"}))
        found = read_folder(tmp_path)
        heads = [notice.head for notice in notices(found, "test_eer")]
        assert ("Runs of 2 versions" in heads) == (seed > 0)
