"""Seeds trained together beside the same seeds one by one: equal up to rounding, or refused."""

import copy
import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from xmkd_lib import Experiment, methods, run, together
from xmkd_lib.checkpoint import OF_STUDENT
from xmkd_lib.errors import UserError
from xmkd_lib.models import AAMHead, Network, create
from xmkd_lib.objective import Context, Objective, Term
from xmkd_lib.outputs import Outputs
from xmkd_lib.study import _accelerator
from xmkd_lib.together import Fit, Trial, fit_together, train_together, try_together
from xmkd_lib.training import Diverged, Schedule, TrainingSet, fit

N, CLASSES, DIM, SEEDS = 22, 5, 6, 3
SHAPES = {"tdnn": (8, 17), "resnet_small": (3, 12, 12)}
PRESETS = ("none", "hard_feature", "soft_feature", "hard_classifier", "soft_classifier", "soft", "soft_quality")


class Watched(NamedTuple):
    """A fit, and the rows of its curves as they came."""

    fit: Fit
    rows: list[dict[str, float]]


def preset(method):
    """The method's terms, by seed: margins that are measured differ between seeds."""
    names = {"feature_loss": "l2", "classifier_loss": "teacher_head", "margin_mode": "hinge"}
    weights = {"feature_weight": 4.0, "classifier_weight": 1.0}
    return lambda seed: methods.terms(
        method,
        methods.Constraints(**names, **weights, feature_margin=1.3 + 0.1 * seed, classifier_margin=0.5 + 0.1 * seed),
    )


def shaken(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator).to(x)


def one_seed(
    seed, terms=(), model="tdnn", n=N, encoder=None, scale=16.0, teacher_classes=CLASSES, dtype=torch.float32, **changed
):
    torch.manual_seed(seed)
    features = torch.randn(n, *SHAPES[model], dtype=dtype)
    labels = torch.arange(n) % CLASSES
    teacher = Outputs(torch.randn(n, DIM, dtype=dtype), torch.randn(n, CLASSES, dtype=dtype))
    weights = [torch.rand(n, dtype=dtype) + 0.5 for _ in range(2)]
    encoder = encoder() if encoder else create(model, input_shape=SHAPES[model], embedding_dim=DIM, width=0.1)
    network = Network(encoder, AAMHead(DIM, CLASSES, scale, 0.1)).to(dtype)
    means = teacher.map(lambda x: torch.stack([x[labels == label].mean(0) for label in range(CLASSES)]))
    context = Context(torch.randn(teacher_classes, DIM, dtype=dtype), 16.0, network.head.weight, DIM, DIM, means)
    objective = Objective(list(terms), context, label_smoothing=0.1).to(dtype)

    @torch.no_grad()
    def evaluate(net):
        assert not net.training
        z = net(features)
        return {"val_error": float((z.embedding - teacher.embedding).square().mean()), "spread": float(z.logits.std())}

    settings = {
        "epochs": 3, "batch_size": 8, "learning_rate": 0.003, "weight_decay": 0.01, "warmup": 0.2,
        "evaluate_every": 2, "seed": seed,
    }  # fmt: skip
    rows = []
    data = TrainingSet(features, labels, teacher, *weights, shaken)
    return Watched(Fit(network, objective, data, Schedule(**{**settings, **changed}), evaluate, rows.append), rows)


def seeds(terms=lambda seed: [], **settings):
    return [one_seed(seed, terms(seed), **settings) for seed in range(SEEDS)]


def accelerator(precision="no"):
    return _accelerator("cpu", precision)


def alone(watched):
    one = watched.fit
    return fit(
        one.network, one.objective, one.data, one.schedule, accelerator(), one.evaluate, "val_error",
        one.on_epoch,
    )  # fmt: skip


def at_once(watched):
    return fit_together([one.fit for one in watched], accelerator(), "val_error")


def trial(watched):
    return try_together([one.fit for one in watched], accelerator())


def assert_close(first, second, tolerance):
    assert first.best_epoch == second.best_epoch
    assert first.curves.keys() == second.curves.keys()
    for name, values in first.curves.items():
        assert values == pytest.approx(second.curves[name], rel=tolerance, abs=tolerance), name
    assert_close_states(first.last, second.last, tolerance)
    assert_close_states(first.best, second.best, tolerance)


def assert_close_states(first, second, tolerance):
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=tolerance, atol=tolerance, equal_nan=True)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def in_float64(monkeypatch):
    """Also the islands of single precision, so that nothing but rounding is left to differ."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


@pytest.mark.parametrize("model", SHAPES)
@pytest.mark.parametrize("method", PRESETS)
@pytest.mark.usefixtures("in_float64")
def test_together_is_one_by_one_up_to_rounding(model, method):
    one_by_one, stacked = (seeds(preset(method), model=model, dtype=torch.float64) for _ in range(2))
    expected, found = [alone(one) for one in one_by_one], at_once(stacked)
    for mine, other, own, others in zip(found, expected, stacked, one_by_one, strict=True):
        assert_close(mine, other, 1e-11)
        assert own.rows == [pytest.approx(row, rel=1e-11, abs=1e-11) for row in others.rows]
        assert_close_states(own.fit.network.state_dict(), mine.last, 0)
        assert not own.fit.network.training
    assert found[0].curves["loss_ce"] != pytest.approx(found[1].curves["loss_ce"], rel=1e-3)


TERMS = {
    "margins of all sizes": lambda seed: [Term(loss="l2", margin=(0.0, 1.9, 1e300)[seed])],
    "smooth": lambda seed: [Term(loss="l2", margin=1.3 + 0.1 * seed, mode="smooth", warmup=0.5)],
    "bounded": lambda seed: [Term(loss="kd", margin=0.1 * seed, mode="bounded"), Term(loss="l2", margin=1.5)],
    "of the batch": lambda seed: [Term(loss="l2", margin={"quantile": 0.5})],
    "of the class": lambda seed: [Term(loss="kd", margin={"class_spread": 0.5})],
    "weights shared with the student": lambda seed: [Term(loss="centres", margin=0.1 * seed)],
    "layers and memory": lambda seed: [Term(loss="crd", params={"memory": 12}), Term(loss="vid"), Term(loss="simkd")],
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of quantiles under vmap
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
@pytest.mark.usefixtures("in_float64")
def test_what_losses_keep_is_kept_for_each_seed(terms):
    one_by_one, stacked = (seeds(terms, dtype=torch.float64) for _ in range(2))
    for one in (*one_by_one, *stacked):
        torch.manual_seed(one.fit.schedule.seed)
        one.fit.network.projector = nn.Linear(DIM, DIM, dtype=torch.float64)
    expected, found = [alone(one) for one in one_by_one], at_once(stacked)
    for mine, other, own, others in zip(found, expected, stacked, one_by_one, strict=True):
        assert_close(mine, other, 1e-11)
        assert_close_states(own.fit.objective.state_dict(), others.fit.objective.state_dict(), 1e-11)


@pytest.mark.parametrize("model", SHAPES)
@pytest.mark.parametrize("method", PRESETS)
def test_in_single_precision_the_losses_of_an_epoch_agree(model, method):
    one_by_one, stacked = (seeds(preset(method), model=model, epochs=1) for _ in range(2))
    for one, mine in zip(one_by_one, at_once(stacked), strict=True):
        other = alone(one)
        for name in ("ce", *(term.loss for term in one.fit.objective.terms)):
            values = mine.curves[f"loss_{name}"]
            assert values == pytest.approx(other.curves[f"loss_{name}"], rel=1e-3)


def test_half_precision_is_left_to_one_by_one():
    found = try_together([one.fit for one in seeds(preset("soft"))], accelerator("bf16"))
    assert not found.pays
    assert "autocast" in found.obstacle


def test_a_seed_that_diverges_leaves_the_others_alone():
    fine, broken = (seeds(preset("soft")) for _ in range(2))
    broken[1].fit.data.features[0] = math.nan
    expected, found = at_once(fine), at_once(broken)
    assert isinstance(found[1], Diverged)
    assert "epoch 1" in str(found[1])
    assert not broken[1].rows
    for seed in (0, 2):
        assert same(found[seed].last, expected[seed].last)
        assert found[seed].curves == expected[seed].curves


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of quantiles under vmap
@pytest.mark.parametrize("encoder", [None, "Random"])
def test_a_trial_leaves_no_trace(encoder):
    watched = seeds(TERMS["of the batch"], encoder=encoder and Random)
    before = copy.deepcopy([(one.fit.network.state_dict(), one.fit.objective.state_dict()) for one in watched])
    random, modes = torch.get_rng_state(), [one.fit.network.training for one in watched]
    found = trial(watched)
    assert (found.obstacle is None) == (found.speedup > 0) == (encoder is None)
    assert torch.equal(random, torch.get_rng_state())
    assert modes == [one.fit.network.training for one in watched]
    for one, (network, objective) in zip(watched, before, strict=True):
        assert same(one.fit.network.state_dict(), network)
        assert_close_states(one.fit.objective.state_dict(), objective, 0)  # NaN: no average yet
        assert not one.rows
        assert all(parameter.grad is None for parameter in one.fit.network.parameters())


class Random(nn.Module):
    """An encoder that draws while it trains."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(8 * 17, DIM), nn.Dropout(0.5))

    def forward(self, x):
        return self.layers(x)


class Branching(Random):
    """An encoder that looks at its values."""

    def forward(self, x):
        return self.layers[:2](x if x.sum().item() > 0 else -x)


class Scaled(Random):
    """An encoder with a number of its own that only its code has, another one for every seed."""

    made = 0

    def __init__(self):
        super().__init__()
        Scaled.made += 1
        self.factor = Scaled.made

    def forward(self, x):
        return self.layers[:2](self.factor * x).sin()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"n": N + 8}, "shapes of the training data"),
        ({"epochs": 4}, "schedule"),
        ({"terms": [Term(loss="kd")]}, "terms"),
        ({"terms": [Term(loss="l2", margin={"quantile": 0.5})]}, "vmap"),
        ({"encoder": Random}, "vmap"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_seeds_of_other_kinds_are_not_trained_together(changed, reason):
    terms = [Term(loss="l2", margin=1.0)]
    found = trial([one_seed(0, terms), one_seed(1, **{"terms": terms, **changed})])
    assert not found.pays
    assert "one by one" in str(found)
    assert reason in str(found)


@pytest.mark.parametrize("encoder", [Random, Branching])
def test_models_that_vmap_cannot_run_are_refused(encoder):
    found = trial(seeds(encoder=encoder))
    assert not found.pays
    assert "does not run under vmap" in found.obstacle


def test_what_differs_in_code_alone_is_found_by_the_losses():
    found = trial(seeds(preset("soft"), encoder=Scaled))
    assert not found.pays
    assert "comes out otherwise" in found.obstacle
    assert "comes out otherwise" in trial([one_seed(seed, scale=4.0 + seed) for seed in range(2)]).obstacle


def test_labels_that_a_loss_refuses_are_left_to_its_own_message():
    watched = seeds(preset("soft_classifier"), teacher_classes=CLASSES - 1)
    assert "labels span 0 to 4" in trial(watched).obstacle


def test_one_seed_has_no_company():
    assert trial(seeds()[:1]).obstacle == "there is only one"


@pytest.mark.parametrize("quicker", [True, False])
def test_the_quicker_way_is_found(monkeypatch, quicker):
    slower = together._Alone if quicker else together.Stack
    monkeypatch.setattr(together, "_timed", lambda way, *_: ({}, 1.0 if isinstance(way, slower) else 0.7))
    assert trial(seeds()) == Trial(1 / 0.7 if quicker else 0.7)


def test_a_small_gain_is_not_worth_other_bits():
    assert Trial(1.3).pays
    assert not Trial(1.1).pays
    assert not Trial(9.0, "an obstacle").pays
    assert "1.30 times" in str(Trial(1.3))


def smoke(seed, **settings):
    return Experiment.preset(
        "smoke", **{"seed": seed, "epochs": 2, "learning_rate": 0.003, "device": "cpu", **settings}
    )


def test_runs_go_on_from_seeds_that_were_trained_together(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "try_together", lambda *_: Trial(2.0))
    experiments = [smoke(seed, method="soft_feature") for seed in range(2)]
    outs = [tmp_path / f"seed{seed}" for seed in range(2)]
    assert train_together(experiments, outs).pays
    anew = [run(experiment) for experiment in experiments]
    monkeypatch.setattr(AdamW, "step", lambda *_: pytest.fail("trained again"))
    for experiment, out, alone in zip(experiments, outs, anew, strict=True):
        result = run(experiment, out)
        assert result.metrics.keys() == alone.metrics.keys()
        for name in ("loss_ce", "loss_l2", "loss_l2_margin"):
            assert result.curves[name] == pytest.approx(alone.curves[name], rel=1e-3)


def test_where_it_does_not_pay_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "try_together", lambda *_: Trial(0.5))
    assert not train_together([smoke(0), smoke(1)], [tmp_path / "a", tmp_path / "b"]).pays
    assert not list(tmp_path.iterdir())


def test_a_seed_that_diverged_leaves_nothing_to_go_on_from(tmp_path, monkeypatch):
    broken = [Diverged("no"), fit_together([one_seed(1).fit], accelerator(), "val_error")[0]]
    monkeypatch.setattr(together, "try_together", lambda *_: Trial(2.0))
    monkeypatch.setattr(together, "fit_together", lambda *_: broken)
    outs = [tmp_path / "first", tmp_path / "second"]
    train_together([smoke(0, method="none"), smoke(1, method="none")], outs)
    assert not (outs[0] / OF_STUDENT).exists()
    assert (outs[1] / OF_STUDENT).exists()


def test_experiments_of_other_conditions_are_refused(tmp_path):
    with pytest.raises(UserError, match="differ in method, epochs"):
        train_together([smoke(0), smoke(1, epochs=3, method="none")], [tmp_path, tmp_path])
