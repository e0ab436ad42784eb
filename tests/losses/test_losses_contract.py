"""Class facts, and what the losses say to wrong input and wrong parameters."""

import math

import pytest
import torch
from cases import (
    CASES,
    CONNECTED,
    CREATED,
    LABELS,
    OF_EMBEDDINGS,
    OF_LABELS,
    OF_LOGITS,
    SOFTENABLE,
    WEIGHT,
    C,
    D,
    N,
    batch,
    create,
    take,
)

from xmkd_lib import losses
from xmkd_lib.errors import UserError
from xmkd_lib.outputs import Outputs

CLASSIFIER = ["teacher_head", "kd", "dkd", "nkd", "dist", "logit_margin", "rank", "centres"]
CLASSIFIER += ["wsld", "mlld", "srrl", "ntkl"]


def outputs(n=N, d=D, c=C):
    return Outputs(torch.ones(n, d), torch.ones(n, c))


@pytest.mark.parametrize("case", CASES)
def test_facts(case):
    name, loss = case.split()[0], create(case)
    assert isinstance(loss, torch.nn.Module)
    assert loss.name == name
    assert loss.level == ("classifier" if name in CLASSIFIER else "feature")
    assert all(isinstance(text, str) and text for text in (loss.formula, loss.cost, loss.source))
    assert set(loss.reads) <= set(Outputs._fields)


@pytest.mark.parametrize("case", SOFTENABLE)
def test_a_margin_keeps_the_facts(case):
    hard = create(case)
    soft = losses.soften(hard, 0.5)
    for fact in ("level", "minimum", "reads", "same_width", "relational", "needs_labels", "min_classes", "normalise"):
        assert getattr(soft, fact) == getattr(hard, fact), fact


def test_a_notebook_cell_can_add_a_loss():
    @losses.register("test only")
    class Gap(losses.Loss):
        level = "feature"

        def per_sample(self, student, teacher, labels):
            return (student.embedding - teacher.embedding).abs().sum(1)

    try:
        loss = losses.soften(losses.create("test only"), margin=2.0)
        assert torch.equal(loss(outputs(), Outputs(torch.zeros(N, D))), torch.full((N,), 2.0))
    finally:
        losses.base.LOSSES.pop("test only")


def refused(loss, student, teacher, labels):
    """The text of the UserError that the call ends in."""
    with pytest.raises(UserError) as error:
        loss(student, teacher, labels)
    return str(error.value)


def hard_and_soft(case):
    return [create(case), losses.soften(create(case), 0.5)] if case in SOFTENABLE else [create(case)]


@pytest.mark.parametrize("case", CASES)
def test_batches_of_different_size_are_named(case):
    student, teacher = batch(case)
    for loss in hard_and_soft(case):
        if not loss.reads:  # then it is the labels that have to fit
            assert repr(case) in refused(loss, take(student, range(4)), take(teacher, range(4)), LABELS)
            continue
        text = refused(loss, student, take(teacher, range(4)), LABELS)
        assert all(word in text for word in (f"'{case.split()[0]}'", "batch sizes", f"({N}, ", "(4, "))


@pytest.mark.parametrize("case", OF_LOGITS)
def test_missing_or_other_logits_are_named(case):
    student, teacher = batch(case)
    name = f"'{case.split()[0]}'"
    for loss in hard_and_soft(case):
        text = refused(loss, student, Outputs(teacher.embedding), LABELS)
        assert all(word in text for word in (name, "teacher", "logits", "classifier"))
        text = refused(loss, Outputs(student.embedding), teacher, LABELS)
        assert all(word in text for word in (name, "student", "logits"))
        text = refused(loss, batch(case, classes=C + 1)[0], teacher, LABELS)
        assert all(word in text for word in (name, f"({N}, {C + 1})", f"({N}, {C})", "same classes"))
        text = refused(loss, student._replace(logits=student.logits[0]), teacher, LABELS)
        assert all(word in text for word in (name, "student", f"({C},)", "two dimensions"))


@pytest.mark.parametrize("case", OF_EMBEDDINGS)
def test_embeddings_of_another_shape_are_named(case):
    student, teacher = batch(case)
    name = f"'{case.split()[0]}'"
    wide = Outputs(torch.ones(N, D + 3), student.logits)
    for loss in hard_and_soft(case):
        text = refused(loss, student._replace(embedding=student.embedding[0]), teacher, LABELS)
        assert all(word in text for word in (name, "student", "two dimensions"))
        if CREATED[case].same_width:
            text = refused(loss, wide, teacher, LABELS)
            assert all(word in text for word in (name, f"({N}, {D + 3})", f"({N}, {D})", "projector"))
        if case in CONNECTED:
            text = refused(loss, wide, teacher, LABELS)
            assert all(word in text for word in (name, "student", f"({N}, {D + 3})", f"student_dim={D + 3}"))
            text = refused(loss, student, Outputs(wide.embedding), LABELS)
            assert all(word in text for word in (name, "teacher", f"({N}, {D + 3})", f"teacher_dim={D + 3}"))


@pytest.mark.parametrize("case", OF_LABELS)
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, ["labels"]),
        (torch.zeros(N), ["float32", "integers"]),
        (torch.zeros(N - 1).long(), [f"({N - 1},)", f"({N},)"]),
        (torch.zeros(N, 1).long(), [f"({N}, 1)", f"({N},)"]),
        (torch.eye(N, C).long(), [f"({N}, {C})", f"({N},)"]),
        (torch.tensor([0, 1, 2, C, 0, 0]), [f"0 to {C}", f"0 to {C - 1}"]),
        (torch.tensor([0, 1, 2, -100, 0, 0]), ["-100"]),
    ],
    ids=lambda x: "" if isinstance(x, list) else str(None if x is None else x.tolist()),
)
def test_wrong_labels_are_named(case, labels, words):
    student, teacher = batch(case)
    if case == "crd" and labels is not None and labels.shape == (N,) and not labels.is_floating_point():
        labels = None  # any whole number is a class to it: it has no classifier
        words = ["labels"]
    for loss in hard_and_soft(case):
        text = refused(loss, student, teacher, labels)
        assert all(word in text for word in [f"'{case.split()[0]}'", *words]), text


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64])
@pytest.mark.parametrize("case", OF_LABELS)
def test_labels_of_any_whole_type(case, dtype):
    student, teacher = batch(case)
    assert torch.equal(create(case)(student, teacher, LABELS.to(dtype)), create(case)(student, teacher, LABELS))


NUMBER = [0, -1.0, math.nan, True, "2", None]  # what is no number above 0
WIDTH = [0, -3, 2.5, math.nan, True, "4", None]
FLAG = ["yes", 1, None]
WRONG = [
    ("l2", "normalise", FLAG),
    ("distance", "normalise", FLAG),
    ("infonce", "symmetric", FLAG),
    *((name, "temperature", NUMBER) for name in ("kd", "dkd", "nkd", "dist", "wsld", "ntkl", "infonce", "crd")),
    ("teacher_head", "scale", NUMBER),
    ("srrl", "scale", NUMBER),
    ("srrl", "beta", [-1.0, math.nan, True, "2", None]),
    ("dkd", "alpha", NUMBER),
    ("dkd", "beta", NUMBER),
    ("nkd", "gamma", NUMBER),
    ("dist", "beta", NUMBER),
    ("dist", "gamma", NUMBER),
    ("logit_margin", "class_margin", [-0.1, math.nan, True, "0.5", None]),
    ("rank", "k", [0, 1, -2, 2.5, math.nan, True, "5", None]),
    ("rank", "gap", [-0.1, math.nan, True, "0.5", None]),
    ("mlld", "temperatures", [(), (0.0,), (2.0, -1.0), (math.nan,), (True,), ("2",), "23", 4.0, None]),
    ("ntkl", "threshold", [-1.1, 1.1, math.nan, True, "0", None]),
    ("fd", "cut", [-0.1, 1.1, math.nan, True, "0.5", None]),
    ("pkt", "form", ["papers", "", None, 1]),
    ("gram", "form", ["grams", "", None, 1]),
    *((name, "student_dim", WIDTH) for name in ("vid", "crd", "simkd", "srrl")),
    *((name, "teacher_dim", WIDTH) for name in ("vid", "crd", "simkd", "srrl")),
    ("crd", "dim", WIDTH),
    ("crd", "memory", [-1, 2.5, math.nan, True, "8", None]),
    *((name, "weight", [torch.ones(3), torch.ones(2, 3, 4)]) for name in ("teacher_head", "centres", "srrl")),
    ("centres", "student_weight", [torch.ones(C, D + 1), torch.ones(C + 1, D), torch.ones(D)]),
    ("srrl", "weight", [torch.ones(C, D + 1)]),
    *((name, "weight", ["rows", [[1.0, 0.0]], None]) for name in ("teacher_head", "centres", "srrl")),
    ("centres", "student_weight", ["rows", None]),
]


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [(name, parameter, value) for name, parameter, values in WRONG for value in values],
    ids=lambda x: tuple(x.shape).__repr__() if isinstance(x, torch.Tensor) else repr(x),
)
def test_wrong_parameters_are_named(name, parameter, value):
    with pytest.raises(UserError) as error:
        losses.create(name, **{**CASES[name], parameter: value})
    seen = str(tuple(value.shape)) if isinstance(value, torch.Tensor) else ""
    assert all(word in str(error.value) for word in (f"'{name}'", seen)), str(error.value)


@pytest.mark.parametrize("name", ["kd", "dkd", "nkd", "dist", "wsld", "ntkl", "mlld"])
def test_an_infinite_temperature_is_none(name):
    """∞²·0 would follow: NaN from the first step on."""
    params = {"temperatures": (math.inf,)} if name == "mlld" else {"temperature": math.inf}
    with pytest.raises(UserError, match=f"'{name}'.*inf"):
        losses.create(name, **params)


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("l3", {}, ["'l3'", "'l2'"]),
        ("kd", {"temprature": 2.0}, ["temprature", "'temperature'"]),
        ("teacher_head", {}, ["teacher_head", "weight"]),
        ("teacher_head", {"weight": torch.ones(3)}, ["(3,)", "classifier rows"]),
        ("centres", {"weight": torch.ones(3, 2)}, ["centres", "student_weight"]),
        ("vid", {"student_dim": 3}, ["vid", "teacher_dim"]),
        ("pkt", {"form": "papier"}, ["'papier'", "'paper'"]),
        ("gram", {"form": "procrustean"}, ["'procrustean'", "'procrustes'"]),
    ],
)
def test_wrong_names_are_named(name, params, words):
    with pytest.raises(UserError) as error:
        losses.create(name, **params)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize("name", ["teacher_head", "srrl", "centres"])
def test_the_teachers_classifier_is_copied_and_frozen(name):
    weight = WEIGHT.clone().requires_grad_()
    loss = losses.create(name, **{**CASES[name], "weight": weight})
    before = loss.weight.clone()
    with torch.no_grad():
        weight.add_(1.0)
    assert torch.equal(loss.weight, before)
    assert not loss.weight.requires_grad
    assert "weight" in loss.state_dict()
