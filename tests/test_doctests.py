"""Every example in a docstring runs, in every module that can be imported here."""

import doctest
import importlib
import pkgutil

import pytest

import xmkd_lib

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(xmkd_lib.__path__, "xmkd_lib.", onerror=lambda name: None)
    if not found.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "xmkd_lib").startswith("xmkd_lib"):
            raise
        pytest.skip(f"optional dependency {error.name} is not installed")
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert doctest.testmod(module, optionflags=flags).failed == 0


def test_modules_are_found():
    assert {"xmkd_lib.registry", "xmkd_lib.losses.l2", "xmkd_lib.quality.weights"} <= set(MODULES)
