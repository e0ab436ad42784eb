"""Students by strength are the students of `run`, and their CKA is that of their embeddings."""

import pytest

from xmkd_lib import Experiment, Study, run
from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import cka
from xmkd_lib.explore import networks


def experiment(**settings):
    return Experiment.preset("smoke", seed=0, **settings)


@pytest.fixture(scope="module")
def found():
    told = []
    return networks.students(Study(experiment(method="hard_feature")), [2.0], told.append), told


def row(table, strength, split):
    return table[(table.strength == strength) & (table.split == split)].iloc[0]


@pytest.mark.parametrize("settings", [{"method": "none"}, {"method": "hard_feature", "feature_weight": 2.0}])
def test_students_are_those_of_run(found, settings):
    metrics = run(experiment(**settings)).metrics
    strength = settings.get("feature_weight", 0.0)
    for table, epoch in ((found[0].last, ""), (found[0].chosen, "_best")):
        for split, name in networks.SPLITS.items():
            student = row(table, strength, name)
            assert student.distance == metrics[f"{split}_distance{epoch}"]
            assert student.error == 100 * metrics[f"{split}_eer{epoch}"]


def test_cka_is_that_of_the_embeddings(found):
    study = Study(experiment(method="none"))
    network, _ = study.train([])
    student = study.outputs(network)["test"].embedding.numpy()
    teacher = study.teacher["test"].embedding.numpy()
    length = [(x**2).sum(1, keepdims=True) ** 0.5 for x in (student, teacher)]
    assert row(found[0].last, 0.0, "held-out").cka == pytest.approx(cka(student / length[0], teacher / length[1]))


def test_the_margin_is_that_of_the_soft_method(found):
    study = Study(experiment(method="soft_feature"))
    assert found[0].margin == study.auto_margin(study.experiment.terms()[0])


def test_each_student_is_told(found):
    assert [line.split()[2] for line in found[1]] == ["0", "2"]


@pytest.mark.parametrize("method", ["none", "soft_feature", "soft"])
def test_other_methods_are_refused(method):
    with pytest.raises(UserError, match="hard_feature"):
        networks.students(Study(experiment(method=method)), [1.0])


def test_strengths_that_cannot_be():
    with pytest.raises(UserError, match="strengths are"):
        networks.students(Study(experiment(method="hard_feature")), [float("nan")])


@pytest.mark.parametrize("strengths", [[], [0], 0.0])
def test_no_strength_at_all_is_refused_before_anything_is_trained(strengths):
    study = Study(Experiment.preset("smoke", method="hard_feature"))
    with pytest.raises(UserError, match="one above 0"):
        networks.students(study, strengths)
