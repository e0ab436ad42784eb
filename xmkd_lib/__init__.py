"""Cross-modal knowledge distillation: a teacher of one modality trains a student of another.

>>> from xmkd_lib import Experiment, run
>>> experiment = Experiment.preset("smoke", dataset="people", method="soft_feature")
>>> result = run(experiment)  # doctest: +SKIP
"""

from typing import Any

from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs

__version__ = "0.1.0"
__all__ = ["Experiment", "Outputs", "Result", "Study", "UserError", "__version__", "run"]

_LATER = {"Experiment": "settings", "Result": "records", "Study": "study", "run": "experiment"}


def __getattr__(name: str) -> Any:
    # accelerate and pandas cost a second: `import xmkd_lib` alone shall cost what `import torch` does
    if name not in _LATER:
        raise AttributeError(f"module 'xmkd_lib' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"xmkd_lib.{_LATER[name]}"), name)
