"""The specification: checked as a whole before anything runs."""

import math
import re

import pytest
import yaml

from xmkd_lib.errors import UserError
from xmkd_lib.records import Result
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
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}, sort_keys=False))
    return path


def read(tmp_path, repository, **changes):
    return Sweep.read(write(tmp_path, repository, **changes))


def names(sweep):
    return [run.name for run in sweep.runs()]


@pytest.mark.parametrize("name", SPECS)
def test_the_shipped_specifications_are_valid_and_balanced(repository, name):
    sweep = Sweep.read(repository / "notebooks" / "sweeps" / f"{name}.yaml")
    runs = list(sweep.runs())
    assert sweep.name == name
    conditions = math.prod(len(values) for values in sweep.grid.values())
    assert len(runs) == conditions * len(sweep.seeds)
    assert len(sweep.seeds) >= 5
    assert {run.seed for run in runs[:conditions]} == {sweep.seeds[0]}, "seed by seed"
    assert {run.chosen["method"] for run in runs[:conditions]} == set(sweep.grid["method"])
    assert sweep.figures == ["training.png"]


def test_a_run_is_named_by_what_determines_it(tmp_path, repository):
    first = names(read(tmp_path, repository))
    assert [name.rsplit("-", 1)[0] for name in first] == [
        "none-seed0", "soft_feature-seed0", "none-seed1", "soft_feature-seed1",
    ]  # fmt: skip
    assert names(read(tmp_path, repository)) == first
    sweep = read(tmp_path, repository, settings={"epochs": 5})
    run = next(sweep.runs())
    assert not set(names(sweep)) & set(first)
    assert sweep.experiment(run.chosen, run.seed).epochs == 5
    given = {"method": "none", "seed": 0, "preset": "smoke", "settings": {"epochs": 5}}
    assert sweep.parameters(run) == given
    assert sweep.full_settings(run) == sweep.experiment({"method": "none"}, 0).model_dump(mode="json")


def test_writing_a_default_out_or_another_number_type_is_the_same_run(tmp_path, repository):
    first = names(read(tmp_path, repository))
    assert names(read(tmp_path, repository, settings={"head_scale": 16})) == first
    assert names(read(tmp_path, repository, settings={"head_scale": 8.0})) != first


def test_a_changed_notebook_keeps_the_names_and_is_told_by_its_digest(tmp_path, repository):
    original = (repository / "notebooks" / "05_experiment.ipynb").read_text()
    copy = tmp_path / "copy.ipynb"
    copy.write_text(original)
    before = read(tmp_path, repository, notebook="copy.ipynb")
    copy.write_text(original.replace("What came out", "What has come out"))
    after = read(tmp_path, repository, notebook="copy.ipynb")
    assert names(before) == names(after)
    assert before.notebook_file.digest != after.notebook_file.digest


def test_combinations_of_a_grid(tmp_path, repository):
    grid = {"method": ["soft_feature"], "feature_margin": [1.0, "auto"]}
    runs = read(tmp_path, repository, grid=grid).runs()
    assert [(run.chosen["feature_margin"], run.seed) for run in runs] == [(1.0, 0), ("auto", 0), (1.0, 1), ("auto", 1)]


def test_zip_goes_step_by_step_and_conditions_are_added_and_exclude_takes_away(tmp_path, repository):
    sweep = read(
        tmp_path,
        repository,
        grid={"method": ["none", "soft"]},
        zip={"feature_weight": [1.0, 2.0], "classifier_weight": [3.0, 5.0]},
        conditions=[{"method": "kd"}],
        exclude=[{"method": "none", "feature_weight": 2.0}],
    )
    assert [tuple(condition.values()) for condition in sweep.chosen] == [
        ("none", 1.0, 3.0), ("soft", 1.0, 3.0), ("soft", 2.0, 5.0), ("kd",),
    ]  # fmt: skip
    assert sweep.methods == ["none", "soft", "kd"]
    assert sweep.compared == ["none"]


def test_a_specification_in_python(repository):
    sweep = Sweep(
        name="mine",
        title="Mine",
        notebook=str(repository / "notebooks" / "05_experiment.ipynb"),
        conditions=[{"method": "none"}, {"method": [{"loss": "kd"}]}],
        seeds=[3],
    )
    assert [name.rsplit("-", 1)[0] for name in names(sweep)] == ["none-seed3", "kd-seed3"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": [1]}, "Unknown entry 'seed'. Did you mean 'seeds'"),
        ({"grid": {"methd": ["none"]}}, "Did you mean 'method'"),
        ({"grid": {"method": ["sofft"]}}, "Did you mean 'soft'"),
        ({"settings": {"epochs": "many"}}, "'epochs' is 'many'"),
        ({"seeds": []}, "seeds"),
        ({"seeds": ["a"]}, "seeds"),
        ({"seeds": [0, 0]}, "different whole numbers"),
        ({"seeds": [-1]}, "different whole numbers"),
        ({"name": "../out"}, "name"),
        ({"title": None}, "Entry 'title' is missing: it is required."),
        ({"preset": "huge"}, "Unknown preset 'huge'"),
        ({"notebook": "nowhere.ipynb"}, "no such file"),
        ({"grid": {"method": ["none", "none"]}}, "planned twice"),
        ({"grid": {"method": ["soft"], "feature_weight": [1, 1.0]}}, "planned twice"),
        ({"grid": {"method": []}}, "no value for 'method'"),
        ({"grid": {}}, "There is no condition"),
        ({"grid": {"method": ["none"], "seed": [1]}}, "belongs into the list 'seeds'"),
        ({"settings": {"seed": 3}}, "belongs into the list 'seeds'"),
        ({"conditions": [{"preset": "full"}]}, "belongs into the entry 'preset'"),
        ({"settings": {"out": "x"}}, "belongs into the folder of each run"),
        ({"grid": {"settings": [{"epochs": 3}]}}, "each setting by its name"),
        ({"settings": {"method": "none"}}, "'method' is given in two of settings, grid and zip"),
        ({"zip": {"method": ["none"]}}, "'method' is given in two of settings, grid and zip"),
        ({"zip": {"epochs": [1, 2], "batch_size": [8]}}, "unequal lengths"),
        ({"exclude": [{"method": "sofft"}]}, "which no condition agrees with"),
        ({"exclude": [{}]}, "There is no condition"),
        ({"settings": {"dataset": ["people"]}}, "'dataset' is"),
        ({"metric": "test_colour"}, "test_colour"),
        ({"baselines": ["noen"]}, "Did you mean 'none'"),
        ({"baselines": ["hard_feature"]}, "Unknown baseline 'hard_feature'"),
        ({"timeout": 0}, "timeout"),
        ({"workers": True}, "workers"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path, repository, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        names(read(tmp_path, repository, **changes))
    assert "tiny.yaml" in str(caught.value) or "nowhere.ipynb" in str(caught.value)


def test_the_readmes_specification_and_result_are_valid(repository, tmp_path):
    text = (repository / "notebooks" / "sweeps" / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(block)
    sweep = Sweep.read(tmp_path / "mine.yaml", notebook=str(repository / "notebooks" / "05_experiment.ipynb"))
    assert [len(condition) for condition in sweep.chosen] == [3, 3, 3, 1]
    assert set(yaml.safe_load(block)) == set(Sweep.model_fields) - {"source"}, "every entry is shown"
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Result(" in block)
    exec(compile(code, "README.md", "exec"), {"out": str(tmp_path)})
    assert Result.load(tmp_path / "result.json").metrics == {"test_loss": 0.3}


def test_files_that_are_no_specification(tmp_path):
    with pytest.raises(UserError, match=r"missing\.yaml: cannot be read"):
        Sweep.read(tmp_path / "missing.yaml")
    bad = {
        "a: [1": "no valid YAML",
        "- 1": "no mapping",
        "": "no mapping",
        "name: a\nname: b": "'name' is given twice",
        "settings:\n  day: 2026-01-01": "a date, a set or bytes",
        "seeds: !!set {0, 1}": "a date, a set or bytes",
        "timeout: .nan": "no valid YAML",
        f"grid: {'[' * 3000}{']' * 3000}": "no valid YAML",
        "self: 1": "Unknown .* 'self'",
        "grid:\n  method: [a]\n  method: [b]": "'method' is given twice",
        "1: a": "the key 1 is not a text",
        "a: !!python/object:os.system x": "no valid YAML",
    }
    for text, message in bad.items():
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            Sweep.read(tmp_path / "bad.yaml")


def test_no_is_a_word(tmp_path, repository):
    path = write(tmp_path, repository)
    path.write_text(path.read_text() + "settings: {precision: no}\n")
    sweep = Sweep.read(path)
    assert sweep.experiment({"method": "none"}, 0).precision == "no"


def test_missing_data_and_wrong_parameters_of_a_data_set_end_a_sweep_before_it_starts(
    tmp_path, repository, monkeypatch
):
    monkeypatch.setenv("XMKD_DATA", str(tmp_path))
    for settings, message in (
        ({"dataset": "digits"}, "fsdd"),
        ({"dataset_params": {"shred": 1}}, "Did you mean 'shared'"),
    ):
        with pytest.raises(UserError, match=message):
            read(tmp_path, repository, settings=settings).check_data()


def test_another_file_of_teacher_outputs_makes_another_run(tmp_path, repository):
    bank = tmp_path / "bank.npz"
    bank.write_bytes(b"one")
    path = write(tmp_path, repository, settings={"teacher_bank": str(bank)})
    first = set(names(Sweep.read(path)))
    assert set(names(Sweep.read(path))) == first
    bank.write_bytes(b"two")
    assert not set(names(Sweep.read(path))) & first
    bank.unlink()
    with pytest.raises(UserError, match=r"bank\.npz.*cannot be read"):
        names(Sweep.read(path))


def test_two_runs_with_one_name_are_refused(tmp_path, repository, monkeypatch):
    sweep = read(tmp_path, repository, grid={"method": ["soft"], "feature_weight": [1.0, 2.0]})
    monkeypatch.setattr("xmkd_lib.sweep.spec._short", lambda value: "same")
    monkeypatch.setattr("xmkd_lib.sweep.spec.digest", lambda content: "0123456789")
    with pytest.raises(UserError, match="would share the folder same-same-seed0-01234567"):
        list(sweep.runs())


def test_a_list_of_terms_names_its_run_by_its_losses(tmp_path, repository):
    terms = [{"loss": "angular", "margin": "auto"}, {"loss": "kd"}]
    assert names(read(tmp_path, repository, grid={"method": [terms]}))[0].startswith("angular+kd-seed0-")
