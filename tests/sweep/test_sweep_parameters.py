"""A notebook's parameters cell, read without executing it; and sweeps over a user's own notebook."""

import nbformat
import pytest

from xmkd_lib.errors import UserError
from xmkd_lib.sweep import Sweep
from xmkd_lib.sweep.parameters import read_notebook

OWN = """
# what a user may write
seed: int = 0  # help
rate: float = 0.1
width: int | None = None
names: list[str] = ["a"]
free = {"a": 1}
out: str = ""
"""


def notebook(path, source, tag="parameters", **kernelspec):
    book = nbformat.v4.new_notebook()
    book.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": [tag]}))
    book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3", **kernelspec}
    nbformat.write(book, path)
    return path


def sweep_over(path, **entries):
    return Sweep(name="own", title="Own", notebook=str(path), metric="test_loss", seeds=[0, 1], **entries)


def test_names_and_types(tmp_path):
    found = read_notebook(notebook(tmp_path / "own.ipynb", OWN))
    assert found.parameters == {
        "seed": "int", "rate": "float", "width": "int | None", "names": "list[str]", "free": None, "out": "str",
    }  # fmt: skip
    assert not found.is_experiment
    for name, value in {"rate": 1, "width": None, "names": [], "free": 3}.items():
        found.check(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rat", 0.1, "Did you mean 'rate'"),
        ("rate", "fast", "'rate' of own.ipynb is 'fast', which is no float"),
        ("width", 1.5, "which is no int | None"),
        ("names", ["a", 1], r"which is no list\[str\]"),
        ("seed", True, "which is no int"),
    ],
)
def test_values_are_checked(tmp_path, name, value, message):
    with pytest.raises(UserError, match=message):
        read_notebook(notebook(tmp_path / "own.ipynb", OWN)).check(name, value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("seed = 0", "lacks out"),
        ("x = 1", "lacks seed and out"),
        ("seed = 0\nout = ''\nname = f'{seed}'", "'name' is computed"),
        ("seed = 0\nout = ''\nimport os", "line 3 of the parameters cell"),
        ("seed = 0\nout = ''\na, b = 1, 2", "line 3 of the parameters cell"),
        ("seed = (", "no valid Python"),
    ],
)
def test_cells_that_would_mislead_are_refused(tmp_path, source, message):
    with pytest.raises(UserError, match=message) as error:
        read_notebook(notebook(tmp_path / "own.ipynb", source))
    assert "own.ipynb" in str(error.value)


def test_an_annotation_is_never_executed(tmp_path):
    source = OWN + "trap: __import__('pathlib').Path('/nonexistent').touch() = 1\n"
    assert read_notebook(notebook(tmp_path / "own.ipynb", source)).parameters["trap"] is None


def test_files_that_are_no_notebook(tmp_path):
    for text in ("[]", "not json", '{"cells": [3]}', ""):
        (tmp_path / "bad.ipynb").write_text(text)
        with pytest.raises(UserError, match=r"bad\.ipynb"):
            read_notebook(tmp_path / "bad.ipynb")
    with pytest.raises(UserError, match=r"none\.ipynb: no such file"):
        read_notebook(tmp_path / "none.ipynb")
    with pytest.raises(UserError, match="one cell tagged 'parameters', has 0"):
        read_notebook(notebook(tmp_path / "own.ipynb", OWN, tag="other"))
    with pytest.raises(UserError, match="written in R"):
        read_notebook(notebook(tmp_path / "own.ipynb", OWN, name="ir", language="R"))


def test_a_sweep_over_a_users_notebook(tmp_path):
    path = notebook(tmp_path / "own.ipynb", OWN)
    sweep = sweep_over(path, grid={"rate": [0.1, 0.2]}, settings={"width": 3})
    run = next(sweep.runs())
    assert run.name.startswith("0.1-seed0-")
    assert sweep.parameters(run) == {"width": 3, "rate": 0.1, "seed": 0}
    assert sweep.full_settings(run) == {"width": 3, "rate": 0.1, "seed": 0}
    assert sweep.methods == ["own"]
    assert (sweep.dataset, sweep.compared) == (None, [])
    with pytest.raises(UserError, match="Did you mean 'rate'"):
        list(sweep_over(path, grid={"rates": [1]}).runs())
    with pytest.raises(UserError, match="which metric of"):
        Sweep(name="own", title="Own", notebook=str(path), grid={"rate": [1.0]}, seeds=[0])


@pytest.mark.parametrize("pair", [(1, True), (1, "1"), (0.5, "0.5"), (None, "None")])
def test_values_that_a_table_could_not_tell_apart_are_refused(tmp_path, pair):
    path = notebook(tmp_path / "own.ipynb", OWN)
    with pytest.raises(UserError, match="cannot be told apart"):
        sweep_over(path, grid={"free": list(pair)})
    assert len(sweep_over(path, grid={"free": [1, 2, "a", None, [1], {"a": 1}, 10**400]}).chosen) == 7


def test_a_users_notebook_may_take_a_preset_and_settings(tmp_path):
    source = OWN + "preset: str = 'demo'\nsettings: dict = {}\n"
    path = notebook(tmp_path / "own.ipynb", source)
    sweep = sweep_over(path, grid={"settings": [{"a": 7}]}, preset="smoke")
    run = next(sweep.runs())
    assert sweep.parameters(run) == {"settings": {"a": 7}, "preset": "smoke", "seed": 0}
    assert next(sweep_over(path, grid={"settings": [{"a": 7}]}, preset="demo").runs()).name != run.name


def test_parameters_of_ones_own_beside_those_of_an_experiment(tmp_path):
    source = "dataset = ''\nmethod = ''\npreset = ''\nsettings = {}\nseed = 0\nout = ''\nzoom: float = 1.0\n"
    sweep = Sweep(
        name="own",
        title="Own",
        notebook=str(notebook(tmp_path / "own.ipynb", source)),
        preset="smoke",
        grid={"method": ["none"], "zoom": [1.0, 2.0]},
        settings={"epochs": 3},
        seeds=[0],
    )
    first, second = sweep.runs()
    assert sweep.parameters(second) == {
        "method": "none",
        "zoom": 2.0,
        "seed": 0,
        "preset": "smoke",
        "settings": {"epochs": 3},
    }
    assert first.name.split("-")[-1] != second.name.split("-")[-1]
