"""A user's mistake is one line, in Jupyter too; a package that is missing says how it is installed."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from xmkd_lib.errors import UserError, optional


def test_jupyter_shows_one_line(capsys):
    shell = InteractiveShell()
    shell.run_cell("from xmkd_lib import Experiment\nExperiment(sead=1)")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Error: Unknown setting 'sead'. Did you mean 'seed'?")


def test_optional():
    assert optional("json", "json", "Reading").loads("1") == 1
    with pytest.raises(UserError, match=r"A map needs the package umap-learn \(.*\)\. Run: pip install umap-learn"):
        optional("no_such_module", "umap-learn", "A map")
