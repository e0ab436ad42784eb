"""Notebooks as papermill executes them, and what must be true of every executed one."""

import base64
import io
from typing import NamedTuple

import nbformat
import numpy as np
import papermill
import pytest
from PIL import Image

WIDGETS = "application/vnd.jupyter.widget-state+json"
CONTROLS = ("IntSliderModel", "FloatSliderModel", "SelectionSliderModel", "DropdownModel")


class Executed(NamedTuple):
    """An executed notebook, and the folder that it was given for its figures."""

    book: nbformat.NotebookNode
    out: object

    @property
    def outputs(self):
        return [output for cell in self.book.cells for output in cell.get("outputs", [])]

    @property
    def widgets(self):
        """The state of each widget with its model's name."""
        states = self.book.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {}).values()
        return [(model["model_name"], model["state"]) for model in states]

    @property
    def text(self):
        """All that is printed and shown as words."""
        data = [output.get("data", {}) for output in self.outputs]
        return "\n".join([*(o.get("text", "") for o in self.outputs), *(d.get("text/plain", "") for d in data)])

    @property
    def pages(self):
        """All that is shown as HTML."""
        return "\n".join(output.get("data", {}).get("text/html", "") for output in self.outputs)

    @property
    def pictures(self):
        """All figures, in grey."""
        found = [o["data"]["image/png"] for o in self.outputs if "image/png" in o.get("data", {})]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("L")) for png in found]

    def check(self, figures):
        """No error in an output or a widget's state, so many figures or more, and none of them is blank."""
        shown = [*self.outputs, *(o for _, state in self.widgets for o in state.get("outputs", []))]
        assert not [output for output in shown if output["output_type"] == "error"]
        assert len(self.pictures) >= figures
        for picture in [*self.pictures, *(np.asarray(Image.open(path).convert("L")) for path in self.saved.values())]:
            assert picture.std() > 5, "a blank figure"
        for name, state in self.widgets:
            if name in CONTROLS:
                assert state["description"], f"{name} says what it is"
                assert state["tooltip"], f"{name} says what it does"

    @property
    def saved(self):
        """The figures that were kept, by name."""
        return {path.stem: path for path in sorted((self.out / "figures").glob("*.png"))}


@pytest.fixture(scope="session")
def execute(repository, tmp_path_factory):
    """Execute a notebook by its name with parameters, `out` a folder of its own unless it is given as ""."""

    def run(name, **parameters):
        folder = tmp_path_factory.mktemp(name)
        source, target = repository / "notebooks" / f"{name}.ipynb", folder / "executed.ipynb"
        parameters = {"out": str(folder)} | parameters
        book = papermill.execute_notebook(
            str(source), str(target), parameters, kernel_name="python3", progress_bar=False
        )
        return Executed(book, folder)

    return run


@pytest.fixture(scope="session")
def mistake(execute):
    """What a notebook says that is executed with wrong parameters: one line, and no traceback around it."""

    def run(name, **parameters):
        with pytest.raises(papermill.PapermillExecutionError) as caught:
            execute(name, **parameters)
        assert caught.value.traceback == [f"Error: {caught.value.evalue}"]
        return caught.value.evalue

    return run
