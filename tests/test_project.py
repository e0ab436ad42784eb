"""Promises of the repository that no room keeps alone."""

import re
import tomllib

import pytest
import yaml


def requirements(repository):
    lines = (repository / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_conda_installs_what_requirements_name(repository):
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    python, pip, nested = environment["dependencies"]
    assert python == f"python{project['requires-python']}"
    assert pip == "pip"
    assert nested == {"pip": ["-r requirements.txt"]}, "one list of pins, so that the two cannot part"


def test_the_package_asks_for_the_pins_of_requirements(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    pinned = requirements(repository)
    assert set(project["dependencies"]) <= set(pinned)
    assert "torch>=2.11,<2.14" in pinned, "the cap keeps torch and torchaudio on one CUDA minor"
    assert pinned[-1] == "-e ."


@pytest.mark.parametrize(
    "name", ["torch", "jupyterlab", "ipywidgets", "matplotlib", "seaborn", "umap-learn", "torchaudio", "papermill"]
)
def test_the_design_cards_packages_are_installed(repository, name):
    assert any(re.match(rf"{name}\W", line + " ") for line in requirements(repository))


def test_top_level(repository):
    for name in (
        "README.md",
        "requirements.txt",
        "notebooks",
        "xmkd_lib",
        "data/README.md",
        "tests",
        "environment.yml",
        "LICENSE",
    ):
        assert (repository / name).exists(), name
    assert "Apache License" in (repository / "LICENSE").read_text()


def test_the_readme_names_the_commands_and_every_notebook(repository):
    text = (repository / "README.md").read_text()
    assert "pip install -r requirements.txt && xmkd sweep run notebooks/sweeps/quick.yaml" in text
    assert "pip install -r requirements.txt && pytest" in text
    for path in (repository / "notebooks").glob("*.ipynb"):
        assert path.name in text
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
        assert (repository / link).exists(), link


def test_the_readmes_own_loss_works(repository):
    blocks = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    code = next(block for block in blocks if "@losses.register" in block)
    from xmkd_lib import Experiment, run
    from xmkd_lib.losses.base import LOSSES

    try:
        exec(compile(code, "README.md", "exec"), {})
        assert run(Experiment.preset("smoke", method="l1", epochs=1)).metrics["test_eer"] <= 1
        softened = run(Experiment.preset("smoke", method=[{"loss": "l1", "margin": "auto"}], epochs=1))
        assert softened.metrics["margin_l1"] > 0
    finally:
        for name in re.findall(r'register\("(\w+)"\)', code):
            LOSSES.pop(name, None)
