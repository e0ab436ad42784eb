"""Attentive pooling and ECAPA-TDNN against plain loops, published sizes and short inputs."""

import numpy as np
import pytest
import torch

from xmkd_lib import models
from xmkd_lib.errors import UserError
from xmkd_lib.models.ecapa import Res2Conv, SqueezeExcitation
from xmkd_lib.models.pooling import AttentiveStatisticsPooling


def noise(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def plain_pooling(pooling, x):
    """Eqs. 1 to 3 of the paper for one utterance (C, frames), frame by frame and channel by channel."""
    w = torch.cat([pooling.frame.weight[:, :, 0], pooling.context.weight], 1).detach().numpy()
    v = pooling.score.weight[:, :, 0].detach().numpy()
    b, k = pooling.frame.bias.detach().numpy(), pooling.score.bias.detach().numpy()
    mean, deviation = x.mean(1), np.sqrt(x.var(1) + 1e-5)
    scores = np.array([v @ np.tanh(w @ np.concatenate([frame, mean, deviation]) + b) + k for frame in x.T]).T
    pooled = np.empty((2, len(x)))
    for channel in range(len(x)):
        weights = np.exp(scores[channel]) / np.exp(scores[channel]).sum()
        pooled[0, channel] = weights @ x[channel]
        second = weights @ x[channel] ** 2
        pooled[1, channel] = np.sqrt(second - pooled[0, channel] ** 2 + 1e-5)
    return pooled.reshape(-1)


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_attentive_pooling_is_the_paper_s_formula(frames):
    torch.manual_seed(1)
    pooling = AttentiveStatisticsPooling(5, 3).double()
    x = 2 * noise(4, 5, frames, dtype=torch.float64) + 1
    expected = np.stack([plain_pooling(pooling, row.numpy()) for row in x])
    np.testing.assert_allclose(pooling(x).detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_equal_scores_are_plain_statistics():
    pooling = AttentiveStatisticsPooling(3, 4)
    torch.nn.init.zeros_(pooling.score.weight)
    x = noise(2, 3, 20)
    torch.testing.assert_close(pooling(x)[:, :3], x.mean(2))
    torch.testing.assert_close(pooling(x)[:, 3:], (x.var(2, correction=0) + 1e-5).sqrt())


def test_each_channel_attends_to_frames_of_its_own():
    pooling = AttentiveStatisticsPooling(2, 2)
    with torch.no_grad():
        for parameter in pooling.parameters():
            parameter.zero_()
        pooling.frame.weight[0, 0] = pooling.frame.weight[1, 1] = 5
        pooling.score.weight[0, 0], pooling.score.weight[1, 1] = 50, -50
    x = torch.tensor([[[-1.0, 1.0, -1.0, -1.0], [-1.0, 1.0, -1.0, -1.0]]])
    torch.testing.assert_close(pooling(x)[0, :2], torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("x", [noise(2, 3, 1), torch.ones(2, 3, 9), torch.zeros(2, 3, 4)])
def test_pooling_without_variance_has_a_finite_gradient(x):
    x = x.clone().requires_grad_()
    pooling = AttentiveStatisticsPooling(3, 4)
    pooling(x).sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in pooling.parameters())


@pytest.mark.parametrize(("width", "published"), [(1, 6.2e6), (2, 14.7e6)])
def test_published_sizes(width, published):
    network = models.create("ecapa_tdnn", input_shape=(80, 200), embedding_dim=192, width=width)
    assert models.count_parameters(network) == pytest.approx(published, rel=0.05)
    assert network.stem[0].out_channels == 512 * width


def test_a_res2_convolution_adds_each_group_s_result_to_the_next():
    layer = Res2Conv(16, dilation=2).eval()
    x = noise(2, 16, 11)
    groups = [x[:, 2 * i : 2 * i + 2] for i in range(8)]
    expected = [groups[0], layer.layers[0](groups[1])]
    for i in range(2, 8):
        expected.append(layer.layers[i - 1](groups[i] + expected[-1]))
    torch.testing.assert_close(layer(x), torch.cat(expected, 1))
    assert layer(x).shape == x.shape


def test_squeeze_excitation_scales_channels():
    x = noise(2, 8, 9)
    ratio = SqueezeExcitation(8)(x) / x
    torch.testing.assert_close(ratio, ratio[:, :, :1].expand_as(ratio))
    assert ((ratio > 0) & (ratio < 1)).all()


def test_every_block_reads_the_sum_of_what_came_before():
    network = models.create("ecapa_tdnn", input_shape=(20, 30), embedding_dim=5, width=0.0625).eval()
    read = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, inputs, output: read.append((inputs[0], output)))
    x = noise(2, 20, 30)
    network(x)
    before = network.stem(x)
    for given, output in read:
        torch.testing.assert_close(given, before)
        before = before + output


@pytest.mark.parametrize("width", [0.001, 0.02, 0.1, 0.25, 0.3])
@pytest.mark.parametrize("frames", [1, 2, 7, 50])
def test_small_widths_and_few_frames(width, frames):
    network = models.create("ecapa_tdnn", input_shape=(13, frames), embedding_dim=6, width=width)
    assert network.stem[0].out_channels % 8 == 0
    embedding = network(noise(3, 13, frames))
    assert embedding.shape == (3, 6)
    embedding[:, 0].exp().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_other_lengths_and_batches_of_one_in_evaluation():
    network = models.create("ecapa_tdnn", input_shape=(20, 40), embedding_dim=6, width=0.0625)
    assert network(noise(2, 20, 90)).shape == (2, 6)
    network.eval()
    x = noise(3, 20, 25)
    with torch.no_grad():
        torch.testing.assert_close(network(x)[1:2], network(x[1:2]), rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_output():
    def output(seed):
        torch.manual_seed(seed)
        return models.create("ecapa_tdnn", input_shape=(20, 40), width=0.0625)(noise(2, 20, 40))

    assert torch.equal(output(3), output(3))
    assert not torch.equal(output(3), output(4))
    assert output(3).shape == (2, 192)


def test_bf16_autocast_keeps_the_statistics_in_float32():
    network = models.create("ecapa_tdnn", input_shape=(20, 40), embedding_dim=6, width=0.0625)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.pooling(noise(2, 192 // 2, 9).bfloat16()).dtype == torch.float32
        assert network(noise(4, 20, 40)).isfinite().all()


def test_it_refuses_images():
    with pytest.raises(UserError, match=r"spectrograms.*\(3, 28, 28\).*resnet"):
        models.create("ecapa_tdnn", input_shape=(3, 28, 28))
