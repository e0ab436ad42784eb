"""The contact sheet of `people`."""

import matplotlib
import numpy as np
import pytest

from xmkd_lib import data
from xmkd_lib.errors import UserError
from xmkd_lib.plots.people import contact_sheet


@pytest.fixture(scope="module")
def people():
    return data.create("people", identities=3, utterances=2, val_identities=2, test_identities=2, eval_utterances=2)


def test_a_row_per_identity_with_faces_and_spectrograms(people):
    settings = dict(matplotlib.rcParams)
    figure = contact_sheet(people, identities=2, sessions=2)
    assert len(figure.axes) == 2 * 4
    assert "ynthetic" in figure.get_suptitle()
    row = figure.axes[4:8]
    assert "train-0001" in row[0].get_ylabel()
    assert "kHz" in row[2].get_ylabel()
    assert row[2].get_xlabel() == "time (s)"
    shown = row[1].images[0].get_array()
    assert np.allclose(shown, people.inputs("image", [3])[0].permute(1, 2, 0))
    levels = row[3].images[0].get_array()
    assert levels.max() == pytest.approx(0, abs=1e-6)
    assert row[3].images[0].get_extent() == [0, 0.8, 0, 4]
    figure.savefig("/dev/null", format="png")
    assert dict(matplotlib.rcParams) == settings


def test_too_many_are_refused(people):
    with pytest.raises(UserError, match="3 identities with 2 sessions"):
        contact_sheet(people, identities=4, sessions=2)
    with pytest.raises(UserError, match="Ask for fewer"):
        contact_sheet(people, identities=2, sessions=3)
    with pytest.raises(UserError, match="split 'nowhere' has 0"):
        contact_sheet(people, split="nowhere")
