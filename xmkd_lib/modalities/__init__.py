"""Front ends: from files to tensors, and from waveforms to features."""

from xmkd_lib.modalities._torchaudio import import_torchaudio
from xmkd_lib.modalities.image import read_image
from xmkd_lib.modalities.speech import LogMel, fit_length, read_audio

__all__ = ["LogMel", "fit_length", "import_torchaudio", "read_audio", "read_image"]
