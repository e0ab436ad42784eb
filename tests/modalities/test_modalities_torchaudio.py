"""import_torchaudio: each case in a process of its own, since an import happens once."""

import subprocess
import sys

import pytest

PRELUDE = """
import sys, types
import importlib.abc
from xmkd_lib.errors import UserError
from xmkd_lib.modalities import import_torchaudio

class Broken(importlib.abc.MetaPathFinder):
    '''Fails where torchaudio loads its extension, as a torch without the right CUDA libraries does.'''
    def __init__(self, error):
        self.error = error
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio._extension":
            raise self.error
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


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
    assert out.splitlines() == ["20", "0.5", "forced_align needs a torchaudio built for this torch."]


def test_an_import_that_failed_before_does_not_matter():
    out = run("""
broken = Broken(OSError('libc10_cuda.so'))
sys.meta_path.insert(0, broken)
try:
    import torchaudio
except OSError:
    print("failed")
print(import_torchaudio().functional.resample.__name__)
""")
    assert out.splitlines() == ["failed", "resample"]


def test_an_imported_torchaudio_is_kept():
    out = run("""
sys.modules["torchaudio"] = mine = types.ModuleType("torchaudio")
print(import_torchaudio() is mine)
""")
    assert out == "True"


def test_missing_torchaudio_names_the_remedy():
    out = run("""
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio":
            raise ModuleNotFoundError("No module named 'torchaudio'", name=name)
sys.meta_path.insert(0, Absent())
try:
    import_torchaudio()
except UserError as error:
    print(error)
""")
    assert "pip install 'torchaudio" in out


def test_other_errors_are_not_hidden():
    out = run("""
sys.meta_path.insert(0, Broken(ModuleNotFoundError("No module named 'other'", name="other")))
try:
    import_torchaudio()
except ModuleNotFoundError as error:
    print(error.name)
""")
    assert out == "other"


def test_importing_the_modalities_does_not_import_heavy_packages():
    out = run("print([m for m in ('torchaudio', 'soundfile', 'PIL', 'scipy') if m in sys.modules])")
    assert out == "[]"
