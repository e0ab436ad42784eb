"""Cards show and play what the data set holds, and escape what comes from it."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from xmkd_lib import UserError, data, widgets


@pytest.fixture(scope="module")
def people():
    return data.create("people", identities=2, val_identities=2, test_identities=2)


def embedded(page, kind):
    return [io.BytesIO(base64.b64decode(found)) for found in re.findall(rf"data:{kind};base64,([^']+)'", page)]


def test_a_face_and_a_voice_for_each_row(people):
    page = widgets.cards(people, [0, 3])._repr_mimebundle_()
    faces, voices = embedded(page["text/html"], "image/png"), embedded(page["text/html"], "audio/wav")
    assert len(faces) == len(voices) == 2
    pixels = np.asarray(Image.open(faces[1])).astype(float) / 255
    assert np.allclose(pixels, people.inputs("image", [3])[0].permute(1, 2, 0), atol=0.51 / 255)
    wave, rate = soundfile.read(voices[1])
    wanted = people.inputs("speech", [3])[0].numpy()
    assert rate == people.sample_rate
    assert np.allclose(wave, wanted / np.abs(wanted).max(), atol=1e-4)
    assert page["text/plain"].splitlines()[0] == f"{people.table.identity[0]}, session {people.table.session[0]}"


def test_captions_and_labels_are_escaped(people):
    page = widgets.cards(people, [0], lambda row: "<script>'\"").page
    assert "<script>" not in page
    assert "aria-label='speech of &lt;script&gt;&#x27;&quot;'" in page


def test_silence_plays_and_shapes_are_checked():
    assert "<audio" in widgets.player(torch.zeros(100), 8000, "silence").page
    for wave in (torch.zeros(1, 100), torch.tensor([float("nan")])):
        with pytest.raises(UserError, match="voice to play"):
            widgets.player(wave, 8000, "wrong")
    for rate in (0, -1):
        with pytest.raises(UserError, match=f"at {rate} Hz"):
            widgets.player(torch.zeros(100), rate, "wrong")


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 1), (1, 1, 1)])
def test_grey_and_narrow_images_keep_their_shape_and_colours(people, monkeypatch, shape):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(people, "inputs", lambda modality, rows: [image if modality == "image" else torch.zeros(10)])
    (face,) = embedded(widgets.cards(people, [0]).page, "image/png")
    pixels = np.asarray(Image.open(face)).astype(float) / 255
    assert np.allclose(pixels, image.expand(3, -1, -1).permute(1, 2, 0), atol=0.51 / 255)


def test_an_image_that_is_not_finite_is_refused(people, monkeypatch):
    monkeypatch.setattr(people, "inputs", lambda modality, rows: [torch.full((3, 4, 4), torch.nan)])
    with pytest.raises(UserError, match="pixels that are not finite"):
        widgets.cards(people, [0])


def test_texts_are_read(small_emoji, monkeypatch):
    monkeypatch.setenv("XMKD_DATA", str(small_emoji))
    emoji = data.create("emoji")
    page = widgets.cards(emoji, [0]).page
    assert "<img" in page
    assert f"<q>{emoji.inputs('text', [0])[0]}</q>" in page
