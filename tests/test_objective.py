"""Terms, presets and the one scalar that they add up to."""

import pytest
import torch
from torch.nn import functional as F

from xmkd_lib import losses, methods
from xmkd_lib.errors import UserError
from xmkd_lib.losses.base import LOSSES
from xmkd_lib.objective import Context, Objective, Term, describe, names_of
from xmkd_lib.outputs import Outputs

CONSTRAINTS = methods.Constraints("l2", 1.5, 4.0, "teacher_head", 2.0, 0.5, "hinge")
HEAD = Context(weight=F.normalize(torch.arange(1.0, 16).reshape(5, 3) % 4 - 1.4), scale=8.0)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    student = Outputs(draw(7, 3).requires_grad_(), draw(7, 5).requires_grad_())
    teacher = Outputs(draw(7, 3).requires_grad_(), draw(7, 5).requires_grad_())
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    return student, teacher, labels, torch.rand(7, generator=generator), torch.rand(7, generator=generator)


def d2(student, teacher):
    return (F.normalize(student.embedding) - F.normalize(teacher.embedding)).square().sum(1)


def test_the_total_is_the_formula(batch):
    student, teacher, labels, w_ce, w_kd = batch
    terms = [
        Term(loss="l2", margin=1.5, weight=4.0),
        Term(loss="kd", params={"temperature": 2.0}, weight=0.5),
        Term(loss="teacher_head", margin=1.0, mode="squared", weight=2.0),
    ]
    total, parts = Objective(terms, HEAD)(student, student.logits, labels, teacher, w_ce, w_kd)
    log_p = torch.log_softmax(student.logits, 1)
    ce = torch.stack([-log_p[i, label] for i, label in enumerate(labels)])
    p_t, p_s = (torch.softmax(side.logits / 2, 1) for side in (teacher, student))
    kd = 4 * (p_t * (p_t / p_s).log()).sum(1)
    cone = torch.log_softmax(8 * F.normalize(student.embedding) @ HEAD.weight.T, 1)
    cone = torch.stack([-cone[i, label] for i, label in enumerate(labels)])
    n = 7
    wanted = (w_ce * ce).sum() / n
    wanted = wanted + 4.0 * (w_kd * (d2(student, teacher) - 1.5).clamp(min=0)).sum() / n
    wanted = wanted + 0.5 * (w_kd * kd).sum() / n
    wanted = wanted + 2.0 * (w_kd * (cone - 1.0).clamp(min=0) ** 2).sum() / n
    torch.testing.assert_close(total, wanted)
    for part, value in {"ce": ce, "l2": d2(student, teacher), "kd": kd, "teacher_head": cone}.items():
        torch.testing.assert_close(parts[part], value.mean().detach())
        assert not parts[part].requires_grad
    assert parts["l2_active"] == (d2(student, teacher) > 1.5).float().mean()
    assert 0 < parts["l2_active"] < 1
    assert parts["kd_active"] == 1
    grads = torch.autograd.grad(total, student, retain_graph=True)
    for found, by_hand in zip(grads, torch.autograd.grad(wanted, student), strict=True):
        torch.testing.assert_close(found, by_hand)


def test_the_sum_is_divided_by_the_batch_and_not_by_the_active():
    student = Outputs(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), torch.zeros(4, 2))
    teacher = Outputs(torch.tensor([[-1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), torch.zeros(4, 2))
    objective = Objective([Term(loss="l2", margin=2.0)])
    total, parts = objective(student, student.logits, torch.zeros(4).long(), teacher, torch.zeros(4))
    assert float(total) == (4 - 2) / 4
    assert float(parts["l2_active"]) == 0.25


def test_without_weights_all_count_once(batch):
    student, teacher, labels, *_ = batch
    objective = Objective([Term(loss="l2")])
    bare, _ = objective(student, student.logits, labels, teacher)
    ones, _ = objective(student, student.logits, labels, teacher, torch.ones(7), torch.ones(7))
    assert torch.equal(bare, ones)


def test_weights_reach_their_own_part_only(batch):
    student, teacher, labels, w_ce, w_kd = batch
    objective = Objective([Term(loss="l2", weight=3.0)])
    ce = F.cross_entropy(student.logits, labels, reduction="none")
    total, _ = objective(student, student.logits, labels, teacher, w_ce, torch.zeros(7))
    torch.testing.assert_close(total, (w_ce * ce).mean())
    total, _ = objective(student, student.logits, labels, teacher, torch.zeros(7), w_kd)
    torch.testing.assert_close(total, 3 * (w_kd * d2(student, teacher)).mean())


def test_the_margin_logits_enter_cross_entropy_alone(batch):
    student, teacher, labels, *_ = batch
    harder = student.logits.detach() - 2 * F.one_hot(labels, 5)
    total, parts = Objective([Term(loss="kd")])(student, harder, labels, teacher)
    torch.testing.assert_close(parts["ce"], F.cross_entropy(harder, labels))
    torch.testing.assert_close(total - parts["ce"], losses.create("kd")(student, teacher).mean())


def test_soft_feature_at_margin_zero_is_hard_feature_bit_for_bit(batch):
    student, teacher, labels, w_ce, w_kd = batch
    found = []
    for method in ("hard_feature", "soft_feature"):
        terms = methods.terms(method, CONSTRAINTS._replace(feature_margin=0.0))
        total, _ = Objective(terms)(student, student.logits, labels, teacher, w_ce, w_kd)
        found.append((total, *torch.autograd.grad(total, student)))
    assert all(torch.equal(hard, soft) for hard, soft in zip(*found, strict=True))


@pytest.mark.parametrize("margin", [None, 0.0, 1.0])
@pytest.mark.parametrize("mode", ["hinge", "squared", "smooth", "bounded"])
def test_no_gradient_reaches_the_teacher(batch, margin, mode):
    student, teacher, labels, *_ = batch
    terms = [Term(loss=name, margin=margin, mode=mode) for name in ("l2", "kd", "teacher_head")]
    total, _ = Objective(terms, HEAD)(student, student.logits, labels, teacher)
    total.backward()
    assert teacher.embedding.grad is None
    assert teacher.logits.grad is None
    assert student.embedding.grad.isfinite().all()


def test_no_terms_need_no_teacher(batch):
    student, _, labels, *_ = batch
    total, parts = Objective([])(student, student.logits, labels)
    torch.testing.assert_close(total, F.cross_entropy(student.logits, labels))
    assert list(parts) == ["ce"]
    with pytest.raises(UserError, match=r"4·l2 \(hard\).*no teacher"):
        Objective([Term(loss="l2", weight=4)])(student, student.logits, labels)


def test_a_loss_may_occur_twice_and_each_reports(batch):
    student, teacher, labels, *_ = batch
    terms = [Term(loss="l2", weight=1.0), Term(loss="l2", margin=2.0, weight=3.0)]
    total, parts = Objective(terms)(student, student.logits, labels, teacher)
    assert names_of(terms) == ["l2", "l2_2"]
    assert set(parts) == {"ce", "l2", "l2_active", "l2_2", "l2_2_active", "l2_2_margin"}
    assert parts["l2_active"] == 1
    assert parts["l2_2_active"] == (d2(student, teacher) > 2).float().mean()
    soft = (d2(student, teacher) - 2).clamp(min=0).mean()
    torch.testing.assert_close(total, parts["ce"] + d2(student, teacher).mean() + 3 * soft)


def test_the_teacher_s_head_goes_to_losses_that_read_it():
    built = Term(loss="teacher_head").build(HEAD)
    torch.testing.assert_close(built.weight, HEAD.weight)
    assert built.scale == HEAD.scale
    assert Term(loss="teacher_head", params={"scale": 2.0}).build(HEAD).scale == 2.0  # what is set, wins
    assert isinstance(Term(loss="l2").build(HEAD), losses.Loss)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ({"loss": "l3"}, "'l2'"),
        ({"loss": "l2", "mode": "hing", "margin": 1.0}, "'hinge'"),
        ({"loss": "kd", "params": {"temprature": 2.0}}, "'temperature'"),
        ({"loss": "l2", "margin": "auto"}, "auto"),
    ],
)
def test_wrong_terms_are_answered(term, words):
    with pytest.raises(UserError, match=words):
        Term(**term).build()


@pytest.mark.parametrize(
    "fields", [{"margin": -1.0}, {"margin": "automatic"}, {"weight": -1.0}, {"weight": "2"}, {"margin": float("nan")}]
)
def test_impossible_terms_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        Term(loss="l2", **fields)


def test_terms_are_json_and_speak():
    term = Term(loss="kd", params={"temperature": 2.0}, margin=0.25, mode="smooth", weight=0.5)
    assert Term(**term.model_dump(mode="json")) == term
    assert Term.model_validate_json(term.model_dump_json()) == term
    assert str(term) == "0.5·kd (smooth, margin 0.25)"
    assert str(Term(loss="l2")) == "1·l2 (hard)"


def test_presets_are_what_they_say():
    def feature(margin):
        return Term(loss="l2", margin=margin, weight=4.0)

    def classifier(margin):
        return Term(loss="teacher_head", margin=margin, weight=0.5)

    wanted = {
        "none": [],
        "hard_feature": [feature(None)],
        "soft_feature": [feature(1.5)],
        "hard_classifier": [classifier(None)],
        "soft_classifier": [classifier(2.0)],
        "soft": [feature(1.5), classifier(2.0)],
        **{name: [feature(1.5), classifier(2.0)] for name in methods.QUALITY},
    }
    assert {name: methods.terms(name, CONSTRAINTS) for name in methods.PRESETS} == wanted
    assert methods.terms("cosine", CONSTRAINTS) == [Term(loss="cosine", weight=4.0)]
    assert methods.terms("kd", CONSTRAINTS) == [Term(loss="kd", weight=0.5)]
    assert methods.terms([Term(loss="l2")], CONSTRAINTS) == [Term(loss="l2")]
    assert set(losses.names()) | set(methods.PRESETS) == set(methods.names())
    with pytest.raises(UserError, match="Did you mean 'hard_feature'"):
        methods.terms("hard_featur", CONSTRAINTS)


def test_warmup_ramps_the_weight(batch):
    student, teacher, labels, *_ = batch
    objective = Objective([Term(loss="l2", weight=4.0, warmup=0.5)])
    ce = F.cross_entropy(student.logits, labels)
    for progress, weight in ((0.0, 0.0), (0.25, 2.0), (0.5, 4.0), (1.0, 4.0)):
        total, _ = objective(student, student.logits, labels, teacher, progress=progress)
        torch.testing.assert_close(total, ce + weight * d2(student, teacher).mean())
    total, _ = Objective([Term(loss="l2", weight=4.0)])(student, student.logits, labels, teacher, progress=0.0)
    torch.testing.assert_close(total, ce + 4 * d2(student, teacher).mean())


def test_gradient_shares_are_those_of_the_parts(batch):
    _, teacher, labels, w_ce, w_kd = batch
    embedding = torch.randn(7, 3, generator=torch.Generator().manual_seed(2)).requires_grad_()
    student = Outputs(embedding, embedding @ torch.ones(3, 5).cumsum(1))
    terms = [Term(loss="l2", margin=1.0, weight=2.0), Term(loss="kd"), Term(loss="cosine", margin=2.0)]
    total, parts = Objective(terms)(student, student.logits, labels, teacher, w_ce, w_kd, diagnose=True)
    assert total.requires_grad
    by_hand = [
        (w_ce * F.cross_entropy(student.logits, labels, reduction="none")).mean(),
        (w_kd * 2 * (d2(student, teacher) - 1).clamp(min=0)).mean(),
        (w_kd * losses.create("kd")(student, teacher)).mean(),
    ]
    lengths = [torch.autograd.grad(value, embedding, retain_graph=True)[0].norm() for value in by_hand]
    for name, length in zip(("ce", "l2", "kd"), lengths, strict=True):
        torch.testing.assert_close(parts[f"{name}_gradient"], length / sum(lengths))
    assert parts["cosine_gradient"] == 0  # nothing lies beyond its margin


def test_losses_of_one_width_see_the_projection_and_the_others_the_student_itself(batch):
    _, teacher, labels, *_ = batch
    wide = Outputs(torch.randn(7, 6, generator=torch.Generator().manual_seed(3)), torch.zeros(7, 5))
    projected = Outputs(wide.embedding[:, :3], wide.logits)
    objective = Objective([Term(loss="l2"), Term(loss="sp")])
    _, parts = objective(wide, wide.logits, labels, teacher, projected=projected)
    torch.testing.assert_close(parts["l2"], d2(projected, teacher).mean())
    torch.testing.assert_close(parts["sp"], losses.create("sp")(wide, teacher).mean())


def test_margins_that_follow_the_data(batch):
    student, teacher, labels, *_ = batch
    d = d2(student, teacher).detach()
    quantile = Term(loss="l2", margin={"quantile": 0.5, "momentum": 0.5})
    assert str(quantile) == "1·l2 (hinge, margin 0.5-quantile)"
    objective = Objective([quantile])
    _, parts = objective(student, student.logits, labels, teacher)
    torch.testing.assert_close(parts["l2_margin"], d.median())
    _, parts = objective(student, student.logits, labels, Outputs(student.embedding, teacher.logits))
    torch.testing.assert_close(parts["l2_margin"], d.median() / 2)  # one update a step, no more

    means = Outputs(torch.randn(5, 3, generator=torch.Generator().manual_seed(4)))
    spread = Term(loss="l2", margin={"class_spread": 2.0})
    assert Term(**spread.model_dump(mode="json")) == spread
    _, parts = Objective([spread], Context(class_means=means))(student, student.logits, labels, teacher)
    torch.testing.assert_close(parts["l2_margin"], 2 * d2(Outputs(means.embedding[labels]), teacher).mean().detach())
    with pytest.raises(UserError, match="class means"):
        spread.build()


def test_a_method_is_one_line():
    terms = [Term(loss="l2", margin="auto", weight=4, warmup=0.25), Term(loss="kd", margin={"class_spread": 1.0})]
    wanted = "cross-entropy + 4·l2 (hinge, margin auto, warm-up 25 %) + 1·kd (hinge, margin 1 × class spread)"
    assert describe(terms) == wanted
    assert describe([]) == "cross-entropy"


@pytest.mark.parametrize("name", ["nkd", "infonce", "vid", "crd"])
def test_a_margin_on_a_loss_without_minimum_0_is_refused_before_anything_is_built(name):
    with pytest.raises(UserError, match=f"'{name}' has no minimum at 0"):
        Term(loss=name, margin="auto").check_names()


def test_what_a_loss_needs_and_nobody_has_is_named():
    with pytest.raises(UserError, match="'teacher_head' needs weight"):
        Term(loss="teacher_head").build(Context(student_dim=3, teacher_dim=3))


def test_a_wrong_term_is_refused_every_time_and_a_replaced_loss_is_tried_anew(monkeypatch):
    wrong = Term(loss="kd", params={"temprature": 2.0})
    for _ in range(2):
        with pytest.raises(UserError, match="'temperature'"):
            wrong.check()
    term = Term(loss="kd", params={"temperature": 2.0}, margin=1.5)
    term.check()
    monkeypatch.setitem(LOSSES, "kd", LOSSES["l2"])  # which has no such parameter
    with pytest.raises(UserError, match="'temperature'"):
        term.check()


def test_label_smoothing_gives_a_share_of_the_label_to_all_classes(batch):
    student, _, labels, w_ce, _ = batch
    log_p = torch.log_softmax(student.logits, 1)
    by_hand = -torch.stack([0.7 * row[label] + 0.3 * row.mean() for row, label in zip(log_p, labels, strict=True)])
    total, _ = Objective([], label_smoothing=0.3)(student, student.logits, labels, w_ce=w_ce)
    torch.testing.assert_close(total, (w_ce * by_hand).mean())


def test_names_of_parts_never_collide(batch):
    student, teacher, labels, *_ = batch
    for name in ("ce", "l2_2"):

        @losses.register(name)
        class Gap(losses.Loss):
            level = "feature"

            def per_sample(self, student, teacher, labels):
                return (student.embedding - teacher.embedding).abs().sum(1)

    try:
        terms = [Term(loss=name) for name in ("ce", "l2", "l2", "l2_2")]
        assert names_of(terms) == ["ce_2", "l2", "l2_2", "l2_2_2"]
        total, parts = Objective(terms)(student, student.logits, labels, teacher)
        torch.testing.assert_close(total, sum(parts[name] for name in ("ce", "ce_2", "l2", "l2_2", "l2_2_2")))
    finally:
        for name in ("ce", "l2_2"):
            del LOSSES[name]


@pytest.mark.parametrize("shape", [lambda x: x[:, None], lambda x: x.mean(), lambda x: x[:3]])
def test_a_loss_must_give_one_value_per_sample(batch, shape):
    class Odd(losses.Loss):
        level = "feature"

        def per_sample(self, student, teacher, labels):
            return shape((student.embedding - teacher.embedding).abs().sum(1))

    student, teacher, *_ = batch
    with pytest.raises(UserError, match="one value per sample"):
        Odd()(student, teacher)
    with pytest.raises(UserError, match="ndarray"):
        losses.create("l2")(Outputs(student.embedding.detach().numpy()), teacher)


def test_a_gradient_that_overflows_is_no_share(batch):
    student, teacher, labels, *_ = batch
    embedding = student.embedding
    logits = embedding @ torch.ones(3, 5)
    _, parts = Objective([Term(loss="l2", weight=1e38, margin=1e300)])(
        Outputs(embedding, logits), logits, labels, teacher, diagnose=True
    )
    assert all(value.isfinite() for value in parts.values())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weight": -1}, "'weight' is -1"),
        ({"wieght": 1}, "'weight'"),
        ({"margin": "Auto"}, '"auto"'),
        ({"warmup": 2}, "'warmup'"),
    ],
)
def test_a_wrong_term_is_a_users_error(given, words):
    with pytest.raises(UserError, match=words):
        Term(**{"loss": "l2", **given})
