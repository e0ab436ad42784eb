import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from xmkd_lib import data
from xmkd_lib.data import PairedDataset, check_table
from xmkd_lib.errors import UserError


def table(**changes):
    columns = {
        "id": ["a", "b", "c", "d"],
        "label": [0, 1, 0, 1],
        "split": ["train", "train", "val", "test"],
        "identity": ["A", "B", "C", "D"],
        "session": [0, 0, 0, 0],
    }
    return pd.DataFrame(columns | changes)


def test_a_sound_table_passes():
    check_table(table(), "here.csv")


def test_held_out_recordings_may_share_identities():
    held_out = table().iloc[[0]].assign(id="e", split="heldout")
    check_table(pd.concat([table(), held_out]), "here.csv")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (table().drop(columns=["session", "label"]), "column label, session is missing"),
        (table().iloc[:0], "no rows"),
        (table(id=["a", "b", "a", "d"]), "1 ids occur twice, first 'a'"),
        (table(split=["train", "dev", "val", "test"]), "unknown split 'dev'"),
        (
            table(identity=["A", "B", "C", "A"]),
            r"1 identities are in more than one split, first 'A' \(in test, train\)",
        ),
        (table(split=["train", "train", "test", "test"]), "split val has no rows"),
    ],
)
def test_untrue_tables_are_refused_with_their_source(broken, says):
    with pytest.raises(UserError, match=says) as caught:
        check_table(broken, "here.csv")
    assert str(caught.value).startswith("here.csv: ")


class Two(PairedDataset):
    name, task, teacher_modality, student_modality = "two", "classification", "image", "speech"
    fingerprint = "two"

    def __init__(self):
        self.table = table()

    def inputs(self, modality, rows):
        return torch.full((len(rows), 2), {"image": 0.0, "speech": 1.0}[modality]) + torch.tensor([[r] for r in rows])


def test_items_rows_and_classes():
    pairs = Two()
    assert len(pairs) == 4
    assert pairs.num_classes == 2
    assert pairs.rows("train").tolist() == [0, 1]
    assert pairs.rows("heldout").tolist() == []
    item = pairs[2]
    assert (item.id, item.label, item.meta["identity"]) == ("c", 0, "C")
    assert {name: value.tolist() for name, value in item.inputs.items()} == {"image": [2, 2], "speech": [3, 3]}


def test_the_registry_knows_the_built_in_sets():
    assert {"digits", "people"} <= set(data.names())
    with pytest.raises(UserError, match="Did you mean 'digits'"):
        data.create("digit")
    with pytest.raises(UserError, match="Did you mean 'seconds'"):
        data.create("digits", second=1)


def test_positions_take_masks_and_numbers():
    pairs = Two()
    mask = np.array([True, False, False, True])
    for rows in (mask, mask.tolist(), torch.from_numpy(mask), [0, 3]):
        assert pairs.positions(rows).tolist() == [0, 3]
    assert pairs.positions([]).tolist() == []
    assert pairs.positions(range(2)).dtype == np.int64
    with pytest.raises(UserError, match=r"mask of shape \(3,\) for 4 rows"):
        pairs.positions(mask[:3])


@pytest.mark.parametrize("name", ["people", "digits", "emoji"])
def test_a_mask_selects_the_rows_that_it_marks(name, tiny_emoji, monkeypatch):
    if name == "emoji":
        monkeypatch.setenv("XMKD_DATA", str(tiny_emoji))
    elif name == "digits" and not (Path(os.environ.get("XMKD_DATA", "")) / "fsdd" / "manifest.csv").is_file():
        pytest.skip("XMKD_DATA has no spoken digits")
    sizes = {"people": {"identities": 2, "utterances": 1, "val_identities": 2, "test_identities": 2},
             "digits": {"utterances": 1}}  # fmt: skip
    pairs = data.create(name, **sizes.get(name, {}))
    mask = (pairs.table.split == "val").to_numpy()
    assert torch.equal(pairs.inputs("image", mask), pairs.inputs("image", pairs.rows("val")))
    with pytest.raises(UserError, match="mask of shape"):
        pairs.inputs("image", mask[:-1])
    for modality, column in pairs.shared_input.items():
        for _, rows in pairs.table.groupby(column).indices.items():
            first, *others = pairs.inputs(modality, rows)
            assert all(np.array_equal(first, other) for other in others)
