"""The loop, on a network small enough to follow by hand."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from xmkd_lib.errors import UserError
from xmkd_lib.models import LinearHead, Network
from xmkd_lib.objective import Objective, Term
from xmkd_lib.outputs import Outputs
from xmkd_lib.study import _accelerator
from xmkd_lib.training import Diverged, Schedule, TrainingSet, fit

N = 11


def schedule(**changed):
    settings = {
        "epochs": 4, "batch_size": 4, "learning_rate": 0.05, "weight_decay": 0.01,
        "warmup": 0.2, "evaluate_every": 1, "seed": 0,
    }  # fmt: skip
    return Schedule(**{**settings, **changed})


def network():
    torch.manual_seed(0)
    return Network(torch.nn.Linear(3, 2), LinearHead(2, 3))


def dataset(**changed):
    generator = torch.Generator().manual_seed(5)
    content = {
        "features": torch.randn(N, 3, generator=generator),
        "labels": torch.arange(N) % 3,
        "teacher": Outputs(torch.randn(N, 2, generator=generator), torch.randn(N, 3, generator=generator)),
    }
    return TrainingSet(**{**content, **changed})


def train(data=None, terms=(), evaluate=lambda net: {"val_error": 0.5}, precision="no", on_epoch=None, **changed):
    accelerator, student = _accelerator("cpu", precision), network()
    objective = Objective(list(terms))
    data = data or dataset()
    return fit(student, objective, data, schedule(**changed), accelerator, evaluate, "val_error", on_epoch)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_schedule_warms_up_and_falls_to_zero():
    plan = schedule(warmup=0.2)
    factors = [plan.factor(step, 20) for step in range(21)]
    assert factors[:4] == [1 / 5, 2 / 5, 3 / 5, 4 / 5]
    assert factors[4] == 1
    assert factors[12] == pytest.approx(0.5)
    assert factors[20] == 0
    assert all(a > b for a, b in itertools.pairwise(factors[4:]))
    assert schedule(warmup=0).factor(0, 20) == 1
    assert all(0 < schedule(warmup=0.99).factor(step, 3) <= 1 for step in range(3))
    assert schedule(warmup=0).factor(0, 1) == 1  # a single step is not wasted


def test_the_learning_rate_is_stepped():
    rates = train(epochs=5, warmup=0.0).curves["learning_rate"]
    steps = [3 * epoch for epoch in range(1, 6)]  # 11 samples are batches of 4, 4, 3
    assert rates == pytest.approx([0.05 * 0.5 * (1 + math.cos(math.pi * step / 15)) for step in steps])
    assert rates[-1] == 0


def test_training_is_adamw_by_hand():
    data = dataset()
    terms = [Term(loss="l2", margin=0.5, weight=2.0)]
    found = train(data, terms, batch_size=N, epochs=3, warmup=0.0).last
    student = network()
    optimizer = torch.optim.AdamW(student.parameters(), 0.05, weight_decay=0.01)
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / 3))
        embedding, logits = student(data.features)
        d2 = (F.normalize(embedding) - F.normalize(data.teacher.embedding)).square().sum(1)
        loss = F.cross_entropy(logits, data.labels) + 2 * (d2 - 0.5).clamp(min=0).sum() / N
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, value in student.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4)


def test_an_epoch_shows_every_sample_once_and_keeps_rows_together():
    rows = torch.arange(N)
    data = TrainingSet(
        rows[:, None].float(), rows, Outputs(rows[:, None] + 0.5, rows[:, None] + 0.25), rows + 100.0, rows + 200.0
    )
    generator = torch.Generator().manual_seed(0)
    orders = []
    for _ in range(2):
        batches = list(data.batches(4, generator))
        assert [len(b.labels) for b in batches] == [4, 4, 3]
        for b in batches:
            assert torch.equal(b.features[:, 0], b.labels.float())
            assert torch.equal(b.teacher.embedding[:, 0], b.labels + 0.5)
            assert torch.equal(b.teacher.logits[:, 0], b.labels + 0.25)
            assert torch.equal(b.w_ce, b.labels + 100.0)
            assert torch.equal(b.w_kd, b.labels + 200.0)
        orders.append(torch.cat([b.labels for b in batches]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(N))
    assert orders[0] != orders[1]


def test_a_last_batch_of_one_is_left_out():
    sizes = [len(b.labels) for b in dataset().batches(5, torch.Generator().manual_seed(0))]
    assert sizes == [5, 5]
    rates = train(batch_size=5, epochs=2, warmup=0.0).curves["learning_rate"]
    assert rates == pytest.approx([0.025, 0])  # the schedule counts two steps an epoch, not three


def test_without_a_teacher_or_weights_batches_have_none():
    b = next(TrainingSet(torch.ones(4, 3), torch.zeros(4).long()).batches(4, torch.Generator()))
    assert b.teacher is b.w_ce is b.w_kd is None


def test_augmentation_changes_features_only():
    data = dataset(augment=lambda x, generator: x + torch.randint(5, 9, (len(x), 1), generator=generator))
    batches = list(data.batches(N, torch.Generator().manual_seed(3)))
    plain = list(dataset().batches(N, torch.Generator().manual_seed(3)))
    assert torch.equal(batches[0].labels, plain[0].labels)
    moved = batches[0].features - plain[0].features
    assert moved.min() > 4.9
    assert moved.std() > 0


def test_the_best_epoch_is_the_earliest_lowest():
    seen = []

    def evaluate(net):
        assert not net.training
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
        return {"val_error": [0.3, 0.1, 0.2, 0.1][len(seen) - 1]}

    fitted = train(evaluate=evaluate)
    assert fitted.best_epoch == 2
    assert same(fitted.best, seen[1])
    assert same(fitted.last, seen[3])
    assert not same(fitted.best, fitted.last)
    assert fitted.curves["val_error"] == [0.3, 0.1, 0.2, 0.1]


@pytest.mark.parametrize(("epochs", "every", "wanted"), [(7, 3, [3, 6, 7]), (2, 5, [2]), (4, 2, [2, 4])])
def test_the_last_epoch_is_always_evaluated(epochs, every, wanted):
    rows = []
    fitted = train(epochs=epochs, evaluate_every=every, on_epoch=rows.append, terms=[Term(loss="l2", margin=1.0)])
    assert fitted.curves["epoch"] == wanted
    assert [row["epoch"] for row in rows] == wanted
    parts = {"ce", "l2", "l2_active", "l2_margin", "ce_gradient", "l2_gradient"}
    assert set(rows[0]) == {"epoch", "learning_rate", "val_error", *(f"loss_{name}" for name in parts)}
    assert all(fitted.curves[name] == [row[name] for row in rows] for name in rows[0])


def test_the_seed_orders_the_batches():
    first, again, other = train(seed=1), train(seed=1), train(seed=2)
    assert same(first.last, again.last)
    assert first.curves == again.curves
    assert not same(first.last, other.last)


def test_the_callers_random_state_does_not_matter():
    torch.manual_seed(1)
    first = train()
    torch.manual_seed(2)
    torch.rand(7)
    assert same(first.last, train().last)


def test_samples_of_weight_zero_have_no_influence():
    silent = torch.arange(N) % 2 == 0
    weights, terms = (~silent).float() * 2, [Term(loss="l2")]
    data = dataset(w_ce=weights, w_kd=weights)
    labels = torch.where(silent, (data.labels + 1) % 3, data.labels)
    embedding = torch.where(silent[:, None], -data.teacher.embedding, data.teacher.embedding)
    other = dataset(w_ce=weights, w_kd=weights, labels=labels, teacher=Outputs(embedding, data.teacher.logits))
    assert same(train(data, terms).last, train(other, terms).last)
    heard = dataset(labels=labels, teacher=Outputs(embedding, data.teacher.logits))
    assert not same(train(dataset(), terms).last, train(heard, terms).last)


def test_a_loss_that_is_not_finite_ends_the_run():
    broken = dataset().features.clone()
    broken[4, 1] = float("nan")
    with pytest.raises(Diverged, match=r"epoch 1: ce, l2 became NaN"):
        train(dataset(features=broken), [Term(loss="l2")])
    teacher = Outputs(torch.full((N, 2), float("nan")), torch.zeros(N, 3))
    with pytest.raises(Diverged, match=r"epoch 1: l2 became NaN"):
        train(dataset(teacher=teacher), [Term(loss="l2")], batch_size=N)
    with pytest.raises(Diverged, match=r"epoch \d: ce.* learning_rate"):
        train(learning_rate=1e30)
    assert issubclass(Diverged, UserError)


def test_one_sample_is_too_few():
    with pytest.raises(UserError, match="at least 2 samples, got 1"):
        train(TrainingSet(torch.ones(1, 3), torch.zeros(1).long()))


def test_precisions_follow_one_another_in_a_process():
    plain, half, again = train(), train(precision="bf16"), train()
    assert same(plain.last, again.last)
    assert not same(plain.last, half.last)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in half.last.values())
    for name, value in plain.last.items():
        torch.testing.assert_close(half.last[name], value, atol=0.1, rtol=0.1)
