"""The notebooks: clean in git, and executed headless in the smoke preset."""

import statistics

import nbformat
import pytest

NAMES = (
    "00_quickstart",
    "01_modality_gap",
    "02_hard_and_soft",
    "03_quality_weights",
    "04_embedding_explorer",
    "05_experiment",
    "06_ablation_report",
)
LONGEST = 16  # lines of a code cell


def read(repository, name):
    return nbformat.read(repository / "notebooks" / f"{name}.ipynb", 4)


def test_all_notebooks_are_known(repository):
    assert sorted(path.stem for path in (repository / "notebooks").glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_form(repository, name):
    book = read(repository, name)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert book.cells[0].cell_type == "markdown"
    assert "What you will see" in book.cells[0].source
    assert not any(cell.outputs or cell.execution_count for cell in code), "outputs are stripped in git"
    assert "widgets" not in book.metadata
    lengths = [len(cell.source.splitlines()) for cell in code]
    assert statistics.median(lengths) <= 10
    assert max(lengths) <= LONGEST
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert ": " in line.split("=")[0], f"no type: {line}"
        assert "  # " in line, f"no help: {line}"


@pytest.mark.parametrize("name", NAMES)
def test_the_exercise_comes_with_a_check_right_after_it(repository, name):
    cells = [cell for cell in read(repository, name).cells if cell.cell_type == "code"]
    (place,) = (place for place, cell in enumerate(cells) if "solution" in cell.metadata)
    assert "exercise" in cells[place].metadata["tags"]
    assert "check_" in cells[place + 1].source


def test_quickstart(execute):
    done = execute("00_quickstart", preset="smoke")
    done.check(figures=2)
    assert list(done.saved) == ["people", "quickstart_gap"]
    assert done.pages.count("<audio controls aria-label='speech of train-") == 6
    assert done.pages.count("<img alt='image of train-") == 6
    assert "not yet" in done.text


def test_quickstart_with_other_methods_and_without_a_folder(execute):
    done = execute("00_quickstart", preset="smoke", seed=3, methods=["soft", "kd"], out="")
    done.check(figures=2)
    assert not done.saved
    assert "kd, epoch   4: EER" in done.text


def test_experiment_with_changed_parameters(execute):
    settings = {"feature_margin": 1.5, "epochs": 3}
    done = execute("05_experiment", preset="smoke", method="soft", seed=2, settings=settings, out="")
    done.check(figures=1)
    assert not done.saved
    assert "4·l2 (hinge, margin 1.5)" in done.text
    assert not (done.out / "result.json").exists(), "nothing is kept unless a folder is named"


def test_experiment_with_a_list_of_terms(execute):
    terms = [{"loss": "angular", "margin": {"quantile": 0.5}, "warmup": 0.2}, {"loss": "kd"}]
    done = execute("05_experiment", preset="smoke", method=terms)
    done.check(figures=1)
    assert list(done.saved) == ["training"]
    assert (done.out / "result.json").is_file()


def test_experiment_where_accuracy_decides(execute, small_emoji, monkeypatch):
    monkeypatch.setenv("XMKD_DATA", str(small_emoji))
    done = execute("05_experiment", preset="smoke", dataset="emoji", method="none", settings={"batch_size": 8})
    done.check(figures=1)
    assert "none, epoch   2: accuracy" in done.text


def test_a_users_mistake_is_one_line(mistake):
    said = mistake("05_experiment", preset="smoke", method="sofft")
    assert said.startswith("Unknown method 'sofft'. Did you mean 'soft'?")


def test_ablation_report(execute, repository, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(repository / "tests" / "sweep")
    from fake_sweep import write_run, write_status

    for seed in range(4):
        for method in ("none", "hard_feature", "soft_feature"):
            write_run(tmp_path / "runs", method, seed)
    write_status(tmp_path / "runs", "none-s4", "failed", "out of memory", seed=4)
    done = execute("06_ablation_report", folder=str(tmp_path / "runs"))
    done.check(figures=4)
    assert {"paired_0", "paired_1", "gap_0", "curves_0"} <= done.saved.keys()
    assert "Seeds are missing" in done.text
    assert "out of memory" in done.pages


def test_ablation_report_before_the_first_result(execute, repository, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(repository / "tests" / "sweep")
    from fake_sweep import write_status

    write_status(tmp_path / "runs", "none-s0", "queued")
    execute("06_ablation_report", folder=str(tmp_path / "runs")).check(figures=0)


@pytest.mark.parametrize("made", [True, False])
def test_ablation_report_of_no_sweep_is_one_line(mistake, tmp_path, made):
    if made:
        (tmp_path / "runs").mkdir()
    said = mistake("06_ablation_report", folder=str(tmp_path / "runs"))
    assert str(tmp_path / "runs") in said
    assert "xmkd sweep run" in said
