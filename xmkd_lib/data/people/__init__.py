"""`people`: synthetic persons whose face image teaches their voice.

**These people do not exist.** Faces are drawn from ellipses and voices are synthesised by a source and a filter; no photograph
and no recording of anybody is used. That makes the two things known that real data never tell: how much of a face can be
heard at all, and how badly each recording was corrupted.

A person is a vector of standard normal traits (`traits.py`):

- *shared*: `sex`, `age`, `size` (of the body). They show in the face (jaw, brows, hair and beard; wrinkles and grey hair; width
  of head, neck and shoulders) and are heard in the voice (pitch and formants; jitter, shimmer, breath and slowness; length
  of the vocal tract). `sex` is a continuous liability too; its sign is the sex, most people being clearly one or the other.
- *face-only*: skin, hair colour and style, shapes of face, eyes, brows, nose and mouth.
- *voice-only*: pitch, spectral tilt, breath, intonation, rate, nasality and accent (shifts of the vowels' formants).

The knob `shared` (call it s) mixes each shared trait from a common and a private draw, for face and voice apart:
`face = sqrt(s)·common + sqrt(1-s)·private_face`, `voice = sqrt(s)·common + sqrt(1-s)·private_voice`; their correlation is s.

Every session varies anew. Face: pose, light, expression, background, clothes, blur, sensor noise. Voice: vowels, pitch contour, effort,
microphone, level, background noise. The table keeps what was done as ground truth: `snr_db` (speech to added noise), `level_db` (peak below
full scale), `blur` (Gaussian sigma in 1/48 of the image's width: pixels at the default size), `light` (gain) and `image_noise` (sd), beside
each identity's traits in readable units (`face_age_years`, `voice_f0_hz`, ...). `dataset.people` holds the raw traits.

>>> from xmkd_lib import data
>>> people = data.create("people", identities=3, val_identities=2, test_identities=2)
>>> people.inputs("image", [0]).shape, people.inputs("speech", [0]).shape
(torch.Size([1, 3, 48, 48]), torch.Size([1, 6400]))
"""

from xmkd_lib.data.people.dataset import VERSION, People

__all__ = ["VERSION", "People"]
