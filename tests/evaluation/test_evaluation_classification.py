import numpy as np
import pytest

from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import accuracy


def test_accuracy_against_a_loop():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    hits = [max(range(7), key=lambda c: row[c]) == label for row, label in zip(logits, labels, strict=True)]
    assert accuracy(logits, labels) == pytest.approx(sum(hits) / 50)
    assert accuracy(np.eye(7), range(7)) == 1
    assert accuracy(-np.eye(7), range(7)) == 0


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([[1.0, np.nan]], [0]),
        ([[1.0, np.inf]], [0]),
        ([[1.0, 2.0]], [0, 1]),
        ([1.0, 2.0], [0, 1]),
        (np.empty((0, 2)), []),
    ],
)
def test_accuracy_refuses(logits, labels):
    with pytest.raises(UserError, match="accuracy"):
        accuracy(logits, labels)
