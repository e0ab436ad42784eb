"""umap-learn with its compiled code kept on disk: only the first process on a machine waits for the compiler.

What numba keeps there is numba's own format, which it trusts when it reads: the folder must be yours alone, as any
folder of programs. Where a file in it is damaged, delete the folder.
"""

import sys
from types import ModuleType

from xmkd_lib.cache import cache_root
from xmkd_lib.errors import optional


def load_umap() -> ModuleType:
    """The package umap. Compiled code goes to $NUMBA_CACHE_DIR, else to `numba` in the kit's cache folder.

    UserError where umap-learn is missing.
    """
    numba = optional("numba", "umap-learn", "UMAP")
    chosen = numba.config.CACHE_DIR
    # a function looks this up once, when it is defined or told to cache; other users of numba keep their own setting
    numba.config.CACHE_DIR = chosen or str(cache_root() / "numba")
    try:
        umap = optional("umap", "umap-learn", "UMAP")
        for function in _compiled_by(numba):
            function.enable_caching()
    finally:
        numba.config.CACHE_DIR = chosen
    return umap


def _compiled_by(numba: ModuleType) -> list:
    """umap's own compiled functions: of these it asks numba to keep none."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "umap"]
    found = [value for module in modules for value in vars(module).values()]
    kind = numba.core.dispatcher.Dispatcher
    return [value for value in found if isinstance(value, kind) and value.py_func.__module__.startswith("umap.")]
