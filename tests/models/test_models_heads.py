"""The classifier heads against a loop in double precision."""

import math

import pytest
import torch
from torch.nn import functional as F

from xmkd_lib.errors import UserError
from xmkd_lib.models import AAMHead, LinearHead, Network, count_parameters


def aam_by_hand(z, weight, labels, scale, margin):
    """Deng et al. 2019, eq. 3, one angle at a time, with the linear continuation beyond π."""
    logits = torch.zeros(len(z), len(weight), dtype=torch.float64)
    for i, row in enumerate(z.double()):
        for c, centre in enumerate(weight.double()):
            cosine = float(row @ centre / (row.norm() * centre.norm()))
            if c == labels[i]:
                theta = math.acos(max(-1.0, min(1.0, cosine)))
                beyond = theta + margin >= math.pi
                cosine = cosine - margin * math.sin(margin) if beyond else math.cos(theta + margin)
            logits[i, c] = scale * cosine
    return logits


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    z, labels = torch.randn(12, 5, generator=generator), torch.arange(12) % 4
    return z, labels, generator


@pytest.mark.parametrize("margin", [0.05, 0.2, 0.5, 1.2])
def test_aam_equals_the_loop_also_beyond_pi(batch, margin):
    z, labels, generator = batch
    head = AAMHead(5, 4, scale=30.0, margin=margin)
    with torch.no_grad():
        for row, label in enumerate(labels[:4]):  # nearly opposite to their own class
            z[row] = -3 * head.weight[label] + 0.01 * torch.randn(5, generator=generator)
    plain = head(z)
    wanted = aam_by_hand(z, head.weight.detach(), labels, 30.0, margin)
    assert torch.allclose(head.training_logits(plain, labels).double(), wanted, atol=3e-3)
    own = F.one_hot(labels, 4).bool()
    assert torch.equal(head.training_logits(plain, labels)[~own], plain[~own])
    assert (head.training_logits(plain, labels)[own] < plain[own]).all()


def test_aam_falls_steadily_with_the_angle():
    head = AAMHead(2, 2, scale=1.0, margin=0.5)
    cosine = torch.linspace(1, -1, 2001)[:, None].repeat(1, 2)
    own = head.training_logits(cosine, torch.zeros(2001, dtype=torch.long))[:, 0]
    # also where the continuation sets in: −cos m − m·sin m is below −1
    assert (own.diff() < 0).all()


def test_the_gradient_of_aam_matches_the_loop(batch):
    z, labels, _ = batch
    head = AAMHead(5, 4, scale=8.0, margin=0.3)
    z.requires_grad_()
    F.cross_entropy(head.training_logits(head(z), labels), labels).backward()
    weight, step = head.weight.detach().double(), 1e-5

    def loss(point):
        return F.cross_entropy(aam_by_hand(point, weight, labels, 8.0, 0.3), labels)

    for index in [(0, 0), (3, 2), (7, 4)]:
        shift = torch.zeros(12, 5, dtype=torch.float64)
        shift[index] = step
        slope = (loss(z.detach().double() + shift) - loss(z.detach().double() - shift)) / (2 * step)
        assert float(z.grad[index]) == pytest.approx(float(slope), abs=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_gradient_is_finite_on_the_class_centre_and_opposite_it(sign):
    head = AAMHead(3, 3, margin=0.2)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3))
    z = (sign * torch.eye(3)).requires_grad_()
    logits = head(z)
    assert torch.equal(logits.diagonal(), torch.full((3,), sign * 32.0))
    head.training_logits(logits, torch.arange(3)).sum().backward()
    assert z.grad.isfinite().all()
    assert head.weight.grad.isfinite().all()


def test_margin_zero_is_the_cosine_softmax(batch):
    z, labels, _ = batch
    head = AAMHead(5, 4, scale=16.0, margin=0.0)
    plain = head(z)
    assert head.training_logits(plain, labels) is plain
    assert torch.allclose(plain, 16 * F.cosine_similarity(z[:, None], head.weight[None], dim=2), atol=1e-5)
    assert torch.allclose(head(7 * z), plain, atol=1e-5)


def test_a_zero_embedding_has_no_class_and_a_finite_gradient():
    head = AAMHead(3, 2)
    z = torch.zeros(1, 3, requires_grad=True)
    logits = head.training_logits(head(z), torch.tensor([1]))
    logits.sum().backward()
    assert float(logits.detach()[0, 0]) == 0
    assert z.grad.isfinite().all()


def test_logits_are_float32_under_autocast(batch):
    z, labels, _ = batch
    head = AAMHead(5, 4, margin=0.2)
    with torch.autocast("cpu", torch.bfloat16):
        low = head(z.bfloat16())
        trained = head.training_logits(low, labels)
    assert low.dtype == trained.dtype == torch.float32
    assert torch.equal(low, head(z.bfloat16().float()))
    assert torch.equal(trained, head.training_logits(low, labels))


@pytest.mark.parametrize(("scale", "margin"), [(32.0, -0.1), (32.0, 1.6), (0.0, 0.2), (-1.0, 0.2), (float("nan"), 0.2)])
def test_impossible_heads_are_refused(scale, margin):
    with pytest.raises(UserError, match="AAM head"):
        AAMHead(4, 3, scale=scale, margin=margin)


def test_linear_head_is_affine_without_a_margin(batch):
    z, labels, _ = batch
    head = LinearHead(5, 4)
    logits = head(z)
    assert torch.allclose(logits, z @ head.weight.T + head.linear.bias, atol=1e-6)
    assert head.training_logits(logits, labels) is logits
    assert head.weight.shape == (4, 5)


def test_a_network_projects_for_the_teacher_only(batch):
    z, _, _ = batch
    network = Network(torch.nn.Identity(), LinearHead(5, 4), torch.nn.Linear(5, 2, bias=False))
    outputs = network(z)
    seen = network.for_teacher(outputs)
    assert torch.equal(outputs.embedding, z)
    assert torch.equal(seen.embedding, z @ network.projector.weight.T)
    assert seen.logits is outputs.logits
    assert count_parameters(network) == (5 * 4 + 4) + 5 * 2
    network.head.linear.bias.requires_grad_(False)
    assert count_parameters(network) == 5 * 4 + 5 * 2
    assert Network(torch.nn.Identity(), LinearHead(5, 4)).for_teacher(outputs).embedding is outputs.embedding
