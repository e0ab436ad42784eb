"""One file gives the students' version and the solved one."""

import json

import pytest
from typer.testing import CliRunner

from xmkd_lib import UserError, notebooks
from xmkd_lib.cli import app

STUB, SOLUTION = ["def f(x):\n", "    ..."], ["def f(x):\n", "    return x"]


def book(path, cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def cell(source, **metadata):
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "given"
    book(folder / "01.ipynb", [cell(["1"]), cell(STUB, tags=["exercise"], solution=SOLUTION)])
    book(folder / "02.ipynb", [cell(["2"])])
    return folder


@pytest.mark.parametrize(("solved", "wanted"), [(True, SOLUTION), (False, STUB)])
def test_the_stub_is_filled_or_left_and_the_metadata_tell_nothing(source, tmp_path, solved, wanted):
    found = notebooks.write_version(source, tmp_path / "out", solved)
    assert [(path.name, count) for path, count in found] == [("01.ipynb", 1), ("02.ipynb", 0)]
    cells = json.loads(found[0][0].read_text())["cells"]
    assert cells[0] == cell(["1"])
    assert cells[1] == cell(wanted, tags=["exercise"])


def test_mistakes(source, tmp_path):
    with pytest.raises(UserError, match="holds the originals"):
        notebooks.write_version(source, source, True)
    with pytest.raises(UserError, match="no notebook there"):
        notebooks.write_version(tmp_path, tmp_path / "out", True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        notebooks.write_version(source, tmp_path / "file", True)
    for content in (
        "",
        "[]",
        '{"worksheets": []}',
        '{"nbformat": 3, "cells": []}',
        '{"nbformat": 4, "cells": [1]}',
        '{"nbformat": 4, "cells": [{"metadata": null}]}',
        '{"nbformat": 4, "cells": [{"metadata": {"solution": 7}}]}',
        "[" * 10**5,
    ):
        (source / "03.ipynb").write_text(content)
        with pytest.raises(UserError, match=r"03\.ipynb: not"):
            notebooks.write_version(source, tmp_path / "out", True)


def test_what_somebody_has_worked_in_is_not_overwritten(source, tmp_path):
    out = tmp_path / "out"
    notebooks.write_version(source, out, False)
    notebooks.write_version(source, out, False)
    (out / "02.ipynb").write_text("my work")
    (out / "01.ipynb").unlink()
    with pytest.raises(UserError, match=r"02\.ipynb: is there already"):
        notebooks.write_version(source, out, False)
    assert (out / "02.ipynb").read_text() == "my work"
    assert not (out / "01.ipynb").exists(), "nothing is written halfway"


def test_every_notebook_of_the_kit_has_one_exercise_and_both_versions(tmp_path, repository):
    names = sorted(path.name for path in (repository / "notebooks").glob("*.ipynb"))
    for command in ("solutions", "students"):
        result = CliRunner().invoke(app, ["notebooks", command, "--out", str(tmp_path / command)])
        assert result.exit_code == 0, result.output
        assert [line.rsplit(": ")[1] for line in result.output.splitlines()] == ["1 exercise"] * len(names)
        assert sorted(path.name for path in (tmp_path / command).iterdir()) == names
    for name in names:
        solved, open_ = ((tmp_path / command / name).read_text() for command in ("solutions", "students"))
        assert solved != open_
        assert '"solution"' not in solved + open_


def test_outputs_stay_behind_and_students_versions_cannot_be_solved(source, tmp_path):
    shown = cell(["1"]) | {"outputs": [{"output_type": "stream", "name": "stdout", "text": "1"}], "execution_count": 3}
    book(source / "02.ipynb", [shown])
    notebooks.write_version(source, tmp_path / "class", False)
    assert json.loads((tmp_path / "class" / "02.ipynb").read_text())["cells"] == [cell(["1"])]
    with pytest.raises(UserError, match="holds a solution"):
        notebooks.write_version(tmp_path / "class", tmp_path / "solved", True)
