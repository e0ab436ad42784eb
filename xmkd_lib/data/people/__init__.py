"""`people`: synthetic persons whose face image teaches their voice.

**These people do not exist.** Faces are drawn from ellipses, voices are synthesised by a source and a filter; no
photograph and no recording of anybody is used. So two things are known that real data never tell: how much of a voice
a face can show at all, and how badly each sample was corrupted.

A person is a vector of standard normal traits (`traits.py`):

- *shared*: `sex`, `age`, `size` (of the body). Seen: jaw, brows, hair and beard; wrinkles, grey and receding hair;
  width of head, neck and shoulders. Heard: pitch and formants; jitter, shimmer, breath and slowness; length of the
  vocal tract. `sex` is continuous like the others; its sign is the sex, and most people are clearly one or the other.
- *face-only*: skin, hair colour and style, shapes of face, eyes, brows, nose and mouth.
- *voice-only*: pitch, vocal tract, spectral tilt, breath, intonation, rate, nasality, accent (shifts of formants).

The knob `shared` (call it s) mixes each shared trait from a common and a private draw, face and voice apart:
`face = sqrt(s)·common + sqrt(1-s)·private_face`, `voice = sqrt(s)·common + sqrt(1-s)·private_voice`. Their
correlation is s: at 0 a face tells nothing of the voice, at 1 all that it can.

Every session varies anew. Face: pose, light, expression, background, clothes, blur, sensor noise. Voice: vowels, pitch
contour, effort, microphone, level, background noise. The table keeps what was done as ground truth: `snr_db` (speech to
added noise), `level_db` (peak, below full scale), `blur` (the Gaussian's sd in 1/48 of the image's width: pixels at the
default size), `light` (gain) and `image_noise` (sd); and who it was in readable units, as the face shows it and as the
voice tells it: `face_sex`, `face_age_years`, `face_height_cm`, `voice_...` alike, `voice_f0_hz` and `voice_tract_cm`.
`dataset.people` holds the raw traits.

>>> from xmkd_lib import data
>>> people = data.create("people", identities=3, val_identities=2, test_identities=2)
>>> people.inputs("image", [0]).shape, people.inputs("speech", [0]).shape
(torch.Size([1, 3, 48, 48]), torch.Size([1, 6400]))
"""

from xmkd_lib.data.people.dataset import VERSION, People

__all__ = ["VERSION", "People"]
