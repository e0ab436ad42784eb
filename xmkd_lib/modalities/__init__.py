"""Front ends: from files to tensors, from waveforms to features, from words to ids."""

from xmkd_lib.modalities._torchaudio import import_torchaudio
from xmkd_lib.modalities.image import read_image
from xmkd_lib.modalities.speech import LogMel, fit_length, read_audio
from xmkd_lib.modalities.text import Tokenizer

__all__ = ["LogMel", "Tokenizer", "fit_length", "import_torchaudio", "read_audio", "read_image"]
