"""Import torchaudio beside any torch build.

The Linux wheels of torchaudio on PyPI are built against CUDA. Beside a CPU-only torch, or one of another CUDA
minor version, loading their compiled extension fails and takes the whole import along, although the
transforms are plain Python. torchaudio can live without the extension, but only asks whether its file is
there: a stand-in for `torchaudio._extension` answers "not there".
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

from xmkd_lib.errors import UserError


def import_torchaudio() -> ModuleType:
    """The torchaudio module, without its compiled extension where that does not fit the installed torch.

    Without the extension `forced_align` and `rnnt_loss` raise and `lfilter` is slow; mel spectrogram and
    resampling do not use it. UserError where torchaudio is not installed.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError as error:
        if error.name != "torchaudio":
            raise
        raise UserError(
            "torchaudio is not installed, speech features need it. Run: pip install 'torchaudio>=2.11,<2.12'."
        ) from None
    except (OSError, RuntimeError):  # library not found, other CUDA version
        _forget()
    sys.modules["torchaudio._extension"] = _stand_in()
    try:
        torchaudio = importlib.import_module("torchaudio")
    except BaseException:
        _forget()
        raise
    return torchaudio


def _forget() -> None:
    """Remove what a failed import left behind, so that the next attempt starts afresh."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]


def _stand_in() -> ModuleType:
    """All that the rest of torchaudio asks of its `_extension` package."""
    module = ModuleType("torchaudio._extension", "Stands in for the compiled extension.")
    module.__path__ = []  # the original is a package
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._load_lib = lambda library: False
    module._check_cuda_version = lambda: None
    module.fail_if_no_align = _unavailable
    return module


def _unavailable(function: Callable) -> Callable:
    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError(f"{function.__name__} needs a torchaudio built for this torch.")

    return refuse
