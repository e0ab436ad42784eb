"""The specification: checked as a whole before anything runs."""

import math

import pytest
import yaml

from xmkd_lib.errors import UserError
from xmkd_lib.sweep import Sweep

SPECS = ("quick", "digits", "emoji", "strength", "quality", "margin", "margin_digits")


def write(tmp_path, repository, **changes):
    content = {
        "name": "tiny",
        "title": "A tiny sweep",
        "notebook": str(repository / "notebooks" / "05_experiment.ipynb"),
        "preset": "smoke",
        "grid": {"method": ["none", "soft_feature"]},
        "seeds": [0, 1],
        **changes,
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return path


@pytest.mark.parametrize("name", SPECS)
def test_the_shipped_specifications_are_valid_and_balanced(repository, name):
    sweep = Sweep.read(repository / "notebooks" / "sweeps" / f"{name}.yaml")
    runs = sweep.runs()
    assert sweep.name == name
    conditions = math.prod(len(values) for values in sweep.grid.values())
    assert len(runs) == conditions * len(sweep.seeds)
    assert len(sweep.seeds) >= 5
    assert {run.experiment.seed for run in runs[:conditions]} == {sweep.seeds[0]}, "seed by seed"
    assert {run.experiment.method for run in runs[:conditions]} == set(sweep.grid["method"])


def test_a_run_is_named_by_what_determines_it(tmp_path, repository):
    first = Sweep.read(write(tmp_path, repository)).runs()
    assert [run.name.rsplit("-", 1)[0] for run in first] == [
        "none-seed0", "soft_feature-seed0", "none-seed1", "soft_feature-seed1",
    ]  # fmt: skip
    assert [run.name for run in Sweep.read(write(tmp_path, repository)).runs()] == [run.name for run in first]
    changed = Sweep.read(write(tmp_path, repository, settings={"epochs": 5})).runs()
    assert not {run.name for run in changed} & {run.name for run in first}
    assert changed[0].experiment.epochs == 5
    assert changed[0].parameters == {"method": "none", "seed": 0, "preset": "smoke", "settings": {"epochs": 5}}


def test_a_changed_notebook_is_another_run(tmp_path, repository):
    original = (repository / "notebooks" / "05_experiment.ipynb").read_text()
    copy = tmp_path / "copy.ipynb"
    copy.write_text(original)
    before = Sweep.read(write(tmp_path, repository, notebook="copy.ipynb")).runs()[0].name
    copy.write_text(original.replace("What came out", "What has come out"))
    assert Sweep.read(write(tmp_path, repository, notebook="copy.ipynb")).runs()[0].name != before


def test_combinations_of_a_grid(tmp_path, repository):
    grid = {"method": ["soft_feature"], "feature_margin": [1.0, "auto"]}
    runs = Sweep.read(write(tmp_path, repository, grid=grid)).runs()
    assert [(run.experiment.feature_margin, run.experiment.seed) for run in runs] == [
        (1.0, 0), ("auto", 0), (1.0, 1), ("auto", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": [1]}, "Unknown entry 'seed'. Did you mean 'seeds'"),
        ({"grid": {"methd": ["none"]}}, "Did you mean 'method'"),
        ({"grid": {"method": ["sofft"]}}, "Did you mean 'soft'"),
        ({"settings": {"epochs": "many"}}, "'epochs' is 'many'"),
        ({"seeds": []}, "seeds"),
        ({"seeds": ["a"]}, "seeds"),
        ({"name": "../out"}, "name"),
        ({"title": None}, "title"),
        ({"preset": "huge"}, "Unknown preset 'huge'"),
        ({"seeds": [0, 0]}, "planned twice"),
        ({"notebook": "nowhere.ipynb"}, "no such file"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path, repository, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        Sweep.read(write(tmp_path, repository, **changes)).runs()
    assert "tiny.yaml" in str(caught.value) or "nowhere.ipynb" in str(caught.value)


def test_files_that_are_no_specification(tmp_path):
    with pytest.raises(UserError, match=r"missing\.yaml: cannot be read"):
        Sweep.read(tmp_path / "missing.yaml")
    for text, message in (("a: [1", "no valid YAML"), ("- 1", "is a mapping"), ("", "is a mapping")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            Sweep.read(tmp_path / "bad.yaml")


def test_a_notebook_without_parameters_is_refused(tmp_path, repository):
    text = (repository / "notebooks" / "05_experiment.ipynb").read_text()
    (tmp_path / "plain.ipynb").write_text(text.replace('"parameters"', '"other"'))
    with pytest.raises(UserError, match="one cell tagged 'parameters'"):
        Sweep.read(write(tmp_path, repository, notebook="plain.ipynb")).runs()
    (tmp_path / "plain.ipynb").write_text(text.replace("seed: int = 0", "sed: int = 0"))
    with pytest.raises(UserError, match="lacks seed"):
        Sweep.read(write(tmp_path, repository, notebook="plain.ipynb")).runs()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"method": []}}, "'method' is empty"),
        ({"grid": {"method": ["none"], "seed": [1]}}, "belongs into the list 'seeds'"),
        ({"settings": {"seed": 3}}, "belongs into the list 'seeds'"),
        ({"settings": {"dataset": ["people"]}}, "'dataset' is"),
        ({"metric": "test_colour"}, "test_colour"),
        ({"baselines": ["noen"]}, "Did you mean 'none'"),
    ],
)
def test_entries_that_types_do_not_catch(tmp_path, repository, changes, message):
    with pytest.raises(UserError, match=message):
        Sweep.read(write(tmp_path, repository, **changes)).runs()


def test_missing_data_and_wrong_parameters_of_a_data_set_end_a_sweep_before_it_starts(
    tmp_path, repository, monkeypatch
):
    monkeypatch.setenv("XMKD_DATA", str(tmp_path))
    for settings, message in (
        ({"dataset": "digits"}, "fsdd"),
        ({"dataset_params": {"shred": 1}}, "Did you mean 'shared'"),
    ):
        with pytest.raises(UserError, match=message):
            Sweep.read(write(tmp_path, repository, settings=settings)).check_data()


def test_a_file_that_is_no_notebook_is_refused(tmp_path, repository):
    for text in ("[]", "not json", '{"cells": [3]}'):
        (tmp_path / "bad.ipynb").write_text(text)
        with pytest.raises(UserError, match=r"bad\.ipynb"):
            Sweep.read(write(tmp_path, repository, notebook="bad.ipynb")).runs()


def test_another_file_of_teacher_outputs_makes_another_run(tmp_path, repository):
    bank = tmp_path / "bank.npz"
    bank.write_bytes(b"one")
    path = write(tmp_path, repository, settings={"teacher_bank": str(bank)})
    first = {run.name for run in Sweep.read(path).runs()}
    assert {run.name for run in Sweep.read(path).runs()} == first
    bank.write_bytes(b"two")
    assert not {run.name for run in Sweep.read(path).runs()} & first
    bank.unlink()
    with pytest.raises(UserError, match=r"bank\.npz.*cannot be read"):
        Sweep.read(path).runs()


def test_a_missing_entry_is_named_alone(tmp_path, repository):
    with pytest.raises(UserError) as error:
        Sweep.read(write(tmp_path, repository, title=None))
    assert str(error.value).endswith("Setting 'title' is missing: it is required.")


def test_a_list_of_terms_names_its_run_by_its_losses(tmp_path, repository):
    terms = [{"loss": "angular", "margin": "auto"}, {"loss": "kd"}]
    (run, *_) = Sweep.read(write(tmp_path, repository, grid={"method": [terms]})).runs()
    assert run.name.startswith("angular+kd-seed0-")
