"""import_torchaudio. The import itself is tested in processes of their own, since it happens once."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from xmkd_lib.errors import UserError
from xmkd_lib.modalities import _torchaudio, import_torchaudio

PRELUDE = """
import sys
import importlib.abc
from xmkd_lib.modalities import import_torchaudio

class Broken(importlib.abc.MetaPathFinder):
    '''Fails where torchaudio loads its extension, as it does beside a torch that does not fit.'''
    def __init__(self, error):
        self.error = error
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio._extension":
            raise self.error
"""


def run(code: str) -> list[str]:
    command, root = [sys.executable, "-c", PRELUDE + code], Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("error", ["OSError('libc10_cuda.so')", "RuntimeError('CUDA 12.8 and 13.0')"])
def test_an_extension_that_does_not_load_is_replaced(error):
    out = run(f"""
sys.meta_path.insert(0, Broken({error}))
torchaudio = import_torchaudio()
import torch, torchaudio as again
assert again is torchaudio and import_torchaudio() is torchaudio
print(torchaudio.transforms.MelSpectrogram(8000, n_fft=256, n_mels=20)(torch.randn(1, 800)).shape[1])
y = torchaudio.functional.lfilter(torch.ones(1, 8), torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.0]))
print(y.unique().item())
try:
    torchaudio.functional.forced_align(torch.zeros(1, 2, 3), torch.ones(1, 1, dtype=torch.int32))
except RuntimeError as error:
    print(error)
""")
    assert out == ["20", "0.5", "forced_align needs a torchaudio built for this torch."]


def test_it_is_imported_when_asked_for_and_after_a_failed_import():
    out = run("""
print([name for name in ("torchaudio", "soundfile", "PIL", "scipy") if name in sys.modules])
sys.meta_path.insert(0, Broken(OSError("libc10_cuda.so")))
try:
    import torchaudio
except OSError:
    print("failed")
print(import_torchaudio().functional.resample.__name__)
""")
    assert out == ["[]", "failed", "resample"]


def test_an_imported_torchaudio_is_kept(monkeypatch):
    mine = types.ModuleType("torchaudio")
    monkeypatch.setitem(sys.modules, "torchaudio", mine)
    assert import_torchaudio() is mine


def test_missing_torchaudio_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(UserError, match="pip install 'torchaudio"):
        import_torchaudio()


def test_other_errors_are_not_hidden(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr(_torchaudio.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match="other"):
        import_torchaudio()


def test_a_failed_second_attempt_leaves_nothing_behind(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)

    def fail(name):
        raise OSError("a library is missing")

    monkeypatch.setattr(_torchaudio.importlib, "import_module", fail)
    with pytest.raises(OSError, match="a library is missing"):
        import_torchaudio()
    assert not [name for name in sys.modules if name.split(".")[0] == "torchaudio"]
