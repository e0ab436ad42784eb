"""Names, class facts, and what the losses say to wrong input."""

import pytest
import torch

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs

LEVEL = {
    "l2": "feature",
    "cosine": "feature",
    "angular": "feature",
    "kd": "classifier",
    "teacher_head": "classifier",
}


def outputs(n=4, d=3, c=5):
    return Outputs(torch.ones(n, d), torch.ones(n, c))


def create(name):
    return losses.create(name, **({"weight": torch.eye(5, 3)} if name == "teacher_head" else {}))


def test_names_and_facts():
    assert set(LEVEL) <= set(losses.names())
    for name, level in LEVEL.items():
        loss = create(name)
        assert isinstance(loss, torch.nn.Module)
        assert (loss.level, loss.minimum, loss.name) == (level, 0.0, name)


def test_a_notebook_cell_can_add_a_loss():
    @losses.register("test only")
    class Gap(losses.Loss):
        level = "feature"

        def per_sample(self, student, teacher, labels):
            return (student.embedding - teacher.embedding).abs().sum(1)

    try:
        loss = losses.soften(losses.create("test only"), margin=2.0)
        assert torch.equal(loss(outputs(), Outputs(torch.zeros(4, 3))), torch.ones(4))
    finally:
        losses.base.LOSSES.pop("test only")


@pytest.mark.parametrize(
    ("name", "student", "teacher", "labels", "words"),
    [
        ("l2", outputs(d=3), outputs(d=7), None, ["'l2'", "(4, 3)", "(4, 7)", "projector"]),
        ("cosine", outputs(n=4), outputs(n=6), None, ["'cosine'", "(4, 3)", "(6, 3)", "batch"]),
        ("angular", Outputs(torch.ones(4)), outputs(), None, ["'angular'", "student", "(4,)", "two dimensions"]),
        ("kd", outputs(), Outputs(torch.ones(4, 3)), None, ["'kd'", "teacher", "logits", "classifier"]),
        ("kd", Outputs(torch.ones(4, 3)), outputs(), None, ["'kd'", "student", "logits"]),
        ("kd", outputs(c=5), outputs(c=6), None, ["'kd'", "(4, 5)", "(4, 6)", "same classes"]),
        ("teacher_head", outputs(), outputs(), None, ["'teacher_head'", "labels"]),
        ("teacher_head", outputs(), outputs(), torch.tensor([0, 1, 2, 5]), ["0 to 5", "0 to 4"]),
        ("teacher_head", outputs(), outputs(), torch.tensor([0, 1, 2, -100]), ["-100"]),
        ("teacher_head", outputs(), outputs(), torch.zeros(3, dtype=torch.long), ["(3,)", "(4,)"]),
        ("teacher_head", outputs(), outputs(), torch.zeros(4), ["float32", "integers"]),
        ("teacher_head", outputs(d=2), outputs(d=2), torch.zeros(4).long(), ["(4, 2)", "(5, 3)", "projector"]),
    ],
)
def test_wrong_input_is_named(name, student, teacher, labels, words):
    for loss in (create(name), losses.soften(create(name), margin=0.5)):
        with pytest.raises(UserError) as error:
            loss(student, teacher, labels)
        assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("l3", {}, ["'l3'", "'l2'"]),
        ("kd", {"temprature": 2.0}, ["temprature", "'temperature'"]),
        ("kd", {"temperature": 0.0}, ["0.0", "above 0"]),
        ("teacher_head", {}, ["teacher_head", "weight"]),
        ("teacher_head", {"weight": torch.ones(3)}, ["(3,)", "classifier rows"]),
        ("teacher_head", {"weight": torch.ones(3, 2), "scale": -1.0}, ["-1.0", "scale"]),
    ],
)
def test_wrong_parameters_are_named(name, params, words):
    with pytest.raises(UserError) as error:
        losses.create(name, **params)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_an_empty_batch_gives_no_values():
    empty = Outputs(torch.ones(0, 3), torch.ones(0, 5))
    for name in LEVEL:
        assert create(name)(empty, empty, torch.zeros(0, dtype=torch.long)).shape == (0,)
