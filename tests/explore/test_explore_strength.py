import pandas as pd
import pytest

from xmkd_lib.errors import UserError
from xmkd_lib.explore.strength import COLUMNS, axis, gap_in_words, harm_in_words, hurts_at


def students(errors, constraint="hard"):
    """A table with these held-out errors by strength; nothing is wrong in training."""
    rows = [(constraint, strength, "held-out", 1.5, error, 0.2) for strength, error in errors.items()]
    rows += [(constraint, strength, "training", 0.5, 0.0, 0.9) for strength in errors]
    return pd.DataFrame(rows, columns=COLUMNS).sample(frac=1, random_state=0)  # no order may be relied on


def test_a_strength_hurts_from_one_point_on():
    assert hurts_at(students({0.0: 20.0, 1.0: 20.9, 3.0: 21.0, 10.0: 40.0})) == [3.0, 10.0]
    assert hurts_at(students({0.0: 20.0, 1.0: 5.0, 3.0: 20.0})) == []
    assert hurts_at(students({0.0: 20.0})) == []


def test_each_constraint_is_judged_by_itself():
    table = pd.concat([students({0.0: 20.0, 1.0: 30.0}), students({0.0: 20.0, 1.0: 19.0}, "soft")])
    assert hurts_at(table, "hard") == [1.0]
    assert hurts_at(table, "soft") == []


def test_harm_in_words_says_where_it_starts():
    said = harm_in_words(students({0.0: 20.0, 1.0: 20.0, 3.0: 25.0, 10.0: 40.0}))
    assert said == (
        "hard: starts to hurt at λ = 3, where the held-out error is 25.0 %, 20.0 % without a constraint. "
        "At λ = 10 it is 40.0 %."
    )


def test_harm_in_words_says_where_it_ends():
    said = harm_in_words(students({0.0: 20.0, 1.0: 22.0, 3.0: 25.0, 10.0: 15.0, 30.0: 12.0}))
    assert said.endswith("From λ = 10 on it hurts no longer: 12.0 % at 30.")


def test_harm_in_words_of_none():
    said = harm_in_words(students({0.0: 20.0, 1.0: 20.5, 3.0: 12.0}, "soft"), "soft")
    assert said == (
        "soft: hurts nowhere on this axis; the held-out error is 12.0 to 20.5 %, 20.0 % without a constraint."
    )


def test_harm_in_words_of_the_strongest_alone():
    assert harm_in_words(students({0.0: 20.0, 1.0: 30.0})).count("λ") == 1


def test_harm_in_words_without_a_strength():
    assert harm_in_words(students({0.0: 20.0})) == "hard: no strength but 0 was tried; the held-out error is 20.0 %."


def test_gap_in_words():
    assert gap_in_words(students({0.0: 1.0, 2.5: 1.0}), 2.5) == (
        "Distance at λ = 2.5: hard 0.50 in training, 1.50 held out (gap 1.00)."
    )


def test_gap_in_words_refuses_a_strength_that_was_not_tried():
    with pytest.raises(UserError, match=r"at strength 3, only at 0, 2\.5"):
        gap_in_words(students({0.0: 1.0, 2.5: 1.0}), 3)


def test_axis_starts_with_0():
    assert axis([]) == [0.0]
    assert axis([3, 0.1, 0, 3.0]) == [0.0, 0.1, 3.0]


@pytest.mark.parametrize("strengths", [[-1.0], [1.0, float("nan"), 2.0], [float("inf")], ["3"], [None]])
def test_axis_refuses(strengths):
    with pytest.raises(UserError, match="Give finite numbers from 0"):
        axis(strengths)
