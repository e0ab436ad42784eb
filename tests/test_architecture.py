"""The house: no room imports one above it, and the front door opens quickly."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xmkd_lib

PACKAGE = Path(xmkd_lib.__file__).parent
FLOORS = [
    {"outputs", "errors", "registry", "losses", "quality", "modalities"},
    {"data", "models", "evaluation"},
    {
        "records",
        "cache",
        "checkpoint",
        "features",
        "objective",
        "methods",
        "training",
        "teachers",
        "assessment",
        "settings",
        "stacking",
        "study",
        "augmentation",
        "teacher_files",
        "teaching",
        "together",
        "weighting",
    },
    {"experiment", "explore"},
    {"sweep", "plots"},
    {"cli", "doctor", "widgets", "exercises", "notebooks", "__main__"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source):
    """Rooms of the library that a source imports, at its head or inside a function."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "xmkd_lib" and rest:
                first = rest.split(".")[0]
                yield xmkd_lib._LATER.get(first, first)


def run_python(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_the_scan_sees_all_forms_of_import():
    source = """
import xmkd_lib.plots.theme
from xmkd_lib import Experiment, losses
def f():
    from xmkd_lib.data.base import SPLITS
    import numpy
"""
    assert sorted(imported_rooms(source)) == ["data", "losses", "plots", "settings"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_room_imports_one_above_it(path):
    own = FLOOR[room(path)]
    above = {other for other in imported_rooms(path.read_text()) if FLOOR.get(other, 0) > own}
    assert not above, f"{room(path)} (floor {own}) imports {above}"


def test_every_imported_name_is_a_room_or_in_the_front_door():
    for path in FILES:
        unknown = set(imported_rooms(path.read_text())) - FLOOR.keys() - set(vars(xmkd_lib))
        assert not unknown, f"{path}: {unknown}"


def test_the_front_door_is_as_light_as_torch():
    heavy = ("pandas", "accelerate", "matplotlib", "torchaudio", "papermill", "sklearn", "scipy", "seaborn", "pydantic")
    found = run_python(f"import sys, xmkd_lib; print([name for name in {heavy} if name in sys.modules])")
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_experiments_run_without_the_notebooks_packages():
    missing = ("papermill", "jupyterlab", "ipywidgets", "umap", "soundfile", "dask", "matplotlib", "seaborn", "IPython")
    program = f"""
import sys
sys.modules.update(dict.fromkeys({missing}))
from xmkd_lib.experiment import run
from xmkd_lib import Experiment, Study
study = Study(Experiment.preset("smoke", method="soft_feature"))
print(len(study.student().state_dict()) > 0, study.experiment.terms()[0])
"""
    found = run_python(program)
    assert found.stdout.strip() == "True 4·l2 (hinge, margin auto)", found.stderr


def test_the_front_door_has_what_it_names():
    assert all(hasattr(xmkd_lib, name) for name in xmkd_lib.__all__)
    with pytest.raises(AttributeError, match="Experimnt"):
        xmkd_lib.Experimnt  # noqa: B018
