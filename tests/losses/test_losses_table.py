"""The generated table says what the losses are, and the committed copy is current."""

import pytest

from xmkd_lib import losses
from xmkd_lib.losses import table
from xmkd_lib.losses.base import LOSSES


def test_the_committed_table_is_current(repository):
    text = (repository / "xmkd_lib" / "losses" / "README.md").read_text(encoding="utf-8")
    assert text[text.index("| loss") :].strip() == table.markdown(), "xmkd losses --markdown gives the new table"


def test_every_loss_has_one_row_and_no_empty_cell():
    rows = table.rows()
    assert sorted(row[0] for row in rows) == losses.names()
    assert all(cell for row in rows for cell in row)
    assert {len(line.split(" | ")) for line in table.markdown().splitlines()} == {len(table.COLUMNS)}


@pytest.mark.parametrize(
    ("name", "constraint", "needs"),
    [
        ("l2", "hard or soft", "equal widths"),
        ("teacher_head", "hard or soft", "labels, the teacher's classifier, equal widths"),
        ("infonce", "hard only", "a batch, equal widths"),
        ("kd", "hard or soft", "logits"),
        ("rkd_angle", "hard or soft", "a batch"),
        ("vid", "hard only", "layers of its own"),
        ("centres", "hard or soft", "labels, the teacher's classifier, the student's classifier"),
    ],
)
def test_what_a_row_says(name, constraint, needs):
    loss = LOSSES[name]
    assert (table.constraint(loss), table.needs(loss)) == (constraint, needs)
