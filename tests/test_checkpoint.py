"""A training that is killed at any moment goes on as if nothing had been, and never from what does not belong to it."""

import os
import random
import warnings

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from xmkd_lib import checkpoint as checkpoints
from xmkd_lib import losses
from xmkd_lib.checkpoint import Checkpoint, random_state, set_random_state
from xmkd_lib.models import AAMHead, Network
from xmkd_lib.objective import Context, Objective, Term
from xmkd_lib.outputs import Outputs
from xmkd_lib.study import _accelerator
from xmkd_lib.training import Schedule, TrainingSet, fit

N, D, C, EPOCHS = 22, 4, 5, 4
STATEFUL = [
    Term(loss="l2", margin={"quantile": 0.5}),
    Term(loss="l2", margin={"class_spread": 1.0}, warmup=0.5),
    Term(loss="crd", params={"memory": 30, "dim": 3}),  # fills within the second epoch
    Term(loss="crd", params={"memory": 0}),
]


class Killed(Exception):
    pass


class Encoder(nn.Module):
    """Every kind of state: convolutions in another memory layout, batch statistics, a buffer that no state_dict has, a
    parameter that is never used, and draws from all generators."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
        self.dropout, self.linear = nn.Dropout(0.3), nn.Linear(27, D)
        self.unused = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x):
        if self.training:
            self.seen += 1
            x = x * (1 + 0.01 * self.seen) + 0.1 * np.random.standard_normal() + 0.1 * random.random()
        return self.linear(self.dropout(torch.relu(self.norm(self.convolution(x)))).flatten(1))


def network(width=D):
    torch.manual_seed(0)
    encoder = Encoder() if width == D else nn.Sequential(Encoder(), nn.Linear(D, width))
    return Network(encoder, AAMHead(width, C, 8.0, 0.1)).to(memory_format=torch.channels_last)


def dataset():
    draw = torch.Generator().manual_seed(5)
    teacher = Outputs(torch.randn(N, D, generator=draw), torch.randn(N, C, generator=draw))
    weights = [2 * torch.rand(N, generator=draw) for _ in range(2)]
    features = torch.randn(N, 2, 5, 5, generator=draw)
    moved = lambda x, generator: x.roll(int(torch.randint(3, (), generator=generator)), 2)  # noqa: E731
    return TrainingSet(features, torch.arange(N) % C, teacher, *weights, augment=moved)


def seed_all(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def train(place=None, terms=(), on_epoch=None, seed=1, every=1, data=None, student=None):
    """One process's part: it starts from the generators at `seed`, which a resumed training must not use."""
    student = student or network()
    rows = torch.eye(C, D)
    context = Context(rows, 8.0, student.head.weight, D, D, Outputs(rows, torch.eye(C)))
    torch.manual_seed(3)
    objective = Objective(list(terms), context)
    evaluations = []

    def evaluate(net):
        assert not net.training
        evaluations.append(1)
        error = float(net(dataset().features).embedding.detach().square().mean())
        return {"val_error": error + 0.01 * random.random()}

    seed_all(seed)
    schedule = Schedule(EPOCHS, 4, 0.02, 0.01, 0.2, every, 0)
    accelerator = _accelerator("cpu", "no")
    fitted = fit(student, objective, data or dataset(), schedule, accelerator, evaluate, "val_error", on_epoch, place)
    return student, fitted, len(evaluations)


def at(path, **key):
    return Checkpoint(path / "training.safetensors", {"terms": "these", **key})


def assert_same(found, wanted):
    for first, second in ((found[0].state_dict(), wanted[0].state_dict()),
                          (found[1].last, wanted[1].last), (found[1].best, wanted[1].best)):  # fmt: skip
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert found[1].curves == wanted[1].curves
    assert list(found[1].curves) == list(wanted[1].curves)
    assert found[1].best_epoch == wanted[1].best_epoch


def kill_at(epoch, rows=None):
    def on_epoch(row):
        if rows is not None:
            rows.append(row)
        if row["epoch"] == epoch:
            raise Killed

    return on_epoch


@pytest.fixture
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)


@pytest.fixture(scope="module")
def undisturbed():
    return train(terms=STATEFUL[:1])


@pytest.fixture
def halfway(tmp_path, every_epoch):
    """The checkpoint of a training that was killed after its second epoch."""
    with pytest.raises(Killed):
        train(at(tmp_path), STATEFUL[:1], kill_at(2))
    return tmp_path / "training.safetensors"


# -- the same numbers -------------------------------------------------------------------------------------------------


def test_a_checkpoint_changes_nothing(undisturbed, tmp_path, every_epoch):
    assert_same(train(at(tmp_path), STATEFUL[:1]), undisturbed)


@pytest.mark.parametrize("last", range(1, EPOCHS))
def test_killed_once_after_any_epoch(undisturbed, tmp_path, every_epoch, last):
    with pytest.raises(Killed):
        train(at(tmp_path), STATEFUL[:1], kill_at(last))
    rows = []
    found = train(at(tmp_path), STATEFUL[:1], rows.append, seed=99)
    assert_same(found, undisturbed)
    assert found[2] == EPOCHS - last  # no epoch is trained twice
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows == found[1].rows()
    assert {name: [row[name] for row in rows] for name in rows[0]} == undisturbed[1].curves


@pytest.mark.parametrize("batch", [0, 1, 5, 6, 8, 17, 23])
def test_killed_within_an_epoch(undisturbed, tmp_path, every_epoch, batch):
    data, count = dataset(), []

    def die(x, generator):
        if len(count) == batch:
            raise Killed
        count.append(1)
        return dataset().augment(x, generator)

    with pytest.raises(Killed):
        train(at(tmp_path), STATEFUL[:1], data=TrainingSet(**{**vars(data), "augment": die}))
    begun = batch < 6  # of six batches an epoch: the first is not yet kept
    assert_same(train(at(tmp_path), STATEFUL[:1], seed=1 if begun else 99), undisturbed)


@pytest.mark.parametrize("terms", [[Term(loss=name)] for name in losses.names()] + [[term] for term in STATEFUL] +
                         [[], STATEFUL], ids=lambda terms: "+".join(map(str, terms)) or "none")  # fmt: skip
def test_every_loss_resumes_after_every_epoch(tmp_path, every_epoch, terms):
    for epoch in range(1, EPOCHS):
        with pytest.raises(Killed):
            train(at(tmp_path), terms, kill_at(epoch), seed=epoch)
    assert_same(train(at(tmp_path), terms, seed=99), train(terms=terms))


def test_epochs_without_an_evaluation_are_kept_too(tmp_path, every_epoch):
    kept = []
    real = Checkpoint.save

    def save_and_die(self, state):
        real(self, state)
        kept.append(state.get("epoch"))
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_die)
        for seed in (1, 99, 99, 99):
            with pytest.raises(Killed):
                train(at(tmp_path), STATEFUL[2:3], every=3, seed=seed)
    assert kept == [1, 2, 3, None]  # the last is the end
    assert_same(train(at(tmp_path), STATEFUL[2:3], every=3, seed=99), train(terms=STATEFUL[2:3], every=3))


@pytest.mark.parametrize("term", [*(Term(loss=name) for name in losses.names()), *STATEFUL], ids=str)
def test_no_loss_remembers_anything_outside_parameters_and_buffers(term):
    """What the comparison of numbers could miss: a plain attribute that changes while training."""
    rows = torch.eye(C, D)
    loss = term.build(Context(rows, 8.0, nn.Parameter(rows.clone()), D, D, Outputs(rows, torch.eye(C)))).train()

    def plain():
        inner = ("_parameters", "_buffers", "_modules")
        return [{name: value for name, value in vars(each).items() if name not in inner} for each in loss.modules()]

    before = repr(plain())
    assert not any(isinstance(value, torch.Tensor) for each in plain() for value in each.values())
    for shift in range(3):
        data = dataset()
        student = Outputs((data.teacher.embedding + shift).requires_grad_(), data.teacher.logits.roll(shift, 0))
        loss(student, data.teacher, data.labels).mean()
    assert repr(plain()) == before


# -- the end ----------------------------------------------------------------------------------------------------------


def test_the_end_of_a_training_is_given_back_at_once(undisturbed, tmp_path):
    train(at(tmp_path), STATEFUL[:1])
    rows = []
    found = train(at(tmp_path), STATEFUL[:1], rows.append, seed=99)
    assert found[2] == 0
    assert_same(found, undisturbed)
    assert rows == undisturbed[1].rows()


def test_another_program_may_leave_the_end(undisturbed, tmp_path):
    undisturbed[1].save(at(tmp_path))
    found = train(at(tmp_path), STATEFUL[:1])
    assert found[2] == 0
    assert_same(found, undisturbed)


def test_an_end_of_another_network_is_not_used(undisturbed, tmp_path):
    undisturbed[1].save(at(tmp_path))
    wanted = train(student=network(3))
    assert_same(train(at(tmp_path), student=network(3)), wanted)


def test_saves_are_at_least_the_interval_apart_and_always_at_the_end(tmp_path, monkeypatch):
    now, saved = [checkpoints.time.monotonic()], []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    real = Checkpoint.save

    def save(self, state):
        saved.append(state.get("epoch", "end"))
        now[0] += 5  # which does not count
        real(self, state)

    monkeypatch.setattr(Checkpoint, "save", save)
    for seconds, wanted in ((19, [2]), (21, [1, 2, 3]), (1, [])):
        saved.clear()
        place = at(tmp_path, seconds=seconds)

        def wait(x, generator, seconds=seconds):
            now[0] += seconds / 6
            return x

        train(place, data=TrainingSet(**{**vars(dataset()), "augment": wait}))
        assert saved == [*wanted, "end"], seconds


# -- what is not used -------------------------------------------------------------------------------------------------


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def flip(share):
    def change(path):
        content = bytearray(path.read_bytes())
        content[int(share * len(content))] ^= 1
        path.write_bytes(content)

    return change


def make_folder(path):
    path.unlink()
    path.mkdir()
    (path / "file").touch()


DAMAGE = {
    **{f"cut at {share}": cut(share) for share in (0, 0.0001, 0.001, 0.01, 0.3, 0.6, 0.9, 0.9999)},
    **{f"flipped at {share}": flip(share) for share in (0, 0.001, 0.02, 0.1, 0.4, 0.7, 0.9999)},
    "a folder": make_folder,
    "missing": os.remove,
    "text": lambda path: path.write_text("no safetensors"),
    "another file": lambda path: save_file({"x": torch.ones(3)}, path),
    "an empty one": lambda path: save_file({}, path, {"format": "pt"}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_not_used(undisturbed, halfway, damage):
    damage(halfway)
    assert at(halfway.parent).load() is None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = train(at(halfway.parent), STATEFUL[:1])
    assert found[2] == EPOCHS
    assert_same(found, undisturbed)
    spoken = [str(warning.message) for warning in caught if "cannot resume" in str(warning.message)]
    assert bool(spoken) == halfway.is_dir()  # which is left as it is
    assert (at(halfway.parent).load() is None) == halfway.is_dir()


def test_another_key_format_code_or_torch_is_another_training(undisturbed, halfway, monkeypatch):
    before = halfway.read_bytes()
    assert at(halfway.parent).load()["epoch"] == 2
    assert at(halfway.parent, seed=1).load() is None
    for target, name, value in (
        (checkpoints, "FORMAT", 2),
        (checkpoints, "source_digest", lambda: "other code"),
        (torch, "__version__", "1.0"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(target, name, value)
            assert at(halfway.parent).load() is None
    assert halfway.read_bytes() == before
    found = train(at(halfway.parent, seed=1), STATEFUL[:1])
    assert found[2] == EPOCHS
    assert_same(found, undisturbed)


def test_a_key_is_the_same_in_every_order_and_a_tuple_is_a_list(tmp_path):
    Checkpoint(tmp_path / "c", {"b": (1, 2), "a": {"d": 1, "c": None}}).save({"x": 1})
    assert Checkpoint(tmp_path / "c", {"a": {"c": None, "d": 1}, "b": [1, 2]}).load() == {"x": 1}


def test_the_state_of_another_network_is_not_used(halfway):
    wanted = train(student=network(3))
    found = train(at(halfway.parent), student=network(3))
    assert found[2] == EPOCHS
    assert_same(found, wanted)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_state_comes_back_as_it_was(tmp_path):
    parts = torch.arange(24.0).reshape(2, 3, 2, 2)
    tensors = {
        "float": torch.tensor([0.1, float("nan"), -float("inf")]), "half": torch.ones(2, dtype=torch.bfloat16),
        "int": torch.tensor(7), "none": torch.zeros(0, 3), "layout": parts.to(memory_format=torch.channels_last),
        "view": parts[:, 1], "same": parts, "expanded": torch.ones(1).expand(4), "leaf": nn.Parameter(parts + 1),
    }  # fmt: skip
    place = Checkpoint(tmp_path / "deep" / "file", {})
    place.save({"tensors": tensors, "list": [parts, 0.1 + 0.2, None, "ü"], "number": 2**70, "infinite": float("inf")})
    found = place.load()
    assert found["tensors"].keys() == tensors.keys()
    for name, value in tensors.items():
        assert found["tensors"][name].dtype == value.dtype
        torch.testing.assert_close(found["tensors"][name], value.detach(), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(found["list"][0], parts)
    assert found["list"][1:] == [0.30000000000000004, None, "ü"]
    assert (found["number"], found["infinite"]) == (2**70, float("inf"))


def test_the_file_is_plain_safetensors(halfway):
    with safe_open(halfway, framework="pt") as file:
        assert set(file.metadata()) == {"format", "key", "content", "digest"}
        assert "/tensors/network.encoder.seen" in file.keys()  # noqa: SIM118  no mapping
        assert "/optimizer/state/1/exp_avg" in file.keys()  # noqa: SIM118  number 0 is never used
        assert "/tensors/objective.losses.0.margin.average" in file.keys()  # noqa: SIM118


def test_removing_takes_half_written_files_along_and_no_others(halfway):
    left = halfway.with_name(f".{halfway.name}.x1y2")
    left.touch()
    other = halfway.with_name("student_last.safetensors")
    other.touch()
    at(halfway.parent).remove()
    at(halfway.parent).remove()
    assert list(halfway.parent.iterdir()) == [other]


def test_all_generators_go_on_where_they_were():
    def draws():
        found = [torch.rand(2).tolist(), np.random.random(2).tolist(), random.random(), random.gauss(0, 1)]
        return [*found, np.random.standard_normal(), torch.randn(3).tolist()]

    seed_all(4)
    draws()  # leaves a second Gaussian in store, in numpy and in Python
    state = random_state()
    wanted = draws()
    seed_all(5)
    assert draws() != wanted
    set_random_state(state)
    assert draws() == wanted


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_a_gpu_s_generator_too(tmp_path):
    torch.rand(3, device="cuda")
    Checkpoint(tmp_path / "c", {}).save(random_state())
    wanted = torch.rand(3, device="cuda")
    set_random_state(Checkpoint(tmp_path / "c", {}).load())
    assert torch.equal(torch.rand(3, device="cuda"), wanted)
