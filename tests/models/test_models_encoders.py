"""Pooling, residual networks and the TDNN."""

import numpy as np
import pytest
import torch

from xmkd_lib import models
from xmkd_lib.errors import UserError
from xmkd_lib.models.pooling import StatisticsPooling

SPECTROGRAMS = [(40, 81), (80, 81), (40, 80), (80, 33), (13, 7)]
IMAGES = [(3, 28, 28), (3, 32, 32), (3, 45, 31)]


def batch(shape, n=2):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


def conv_weights(width, inputs=1, blocks=(3, 4, 6, 3)):
    """Weights of the main path's convolutions, from He et al.'s table at 32 base channels."""
    channels = [round(32 * width) * factor for factor in (1, 2, 4, 8)]
    total, previous = 9 * inputs * channels[0], channels[0]
    for count, outputs in zip(blocks, channels, strict=True):
        total += 9 * previous * outputs + (2 * count - 1) * 9 * outputs * outputs
        previous = outputs
    return total


def main_path(network):
    layers = dict(network.named_modules())
    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)
    return [layer for name, layer in layers.items() if isinstance(layer, kinds) and "shortcut" not in name]


def test_statistics_pooling_is_mean_and_deviation():
    x = batch((3, 50), n=4).double()
    pooled = StatisticsPooling()(x).numpy()
    assert pooled.shape == (4, 6)
    np.testing.assert_allclose(pooled[:, :3], x.numpy().mean(2), atol=1e-12)
    np.testing.assert_allclose(pooled[:, 3:], np.sqrt(x.numpy().var(2) + 1e-5), atol=1e-12)


@pytest.mark.parametrize("x", [torch.randn(2, 3, 1), torch.ones(2, 3, 9), torch.zeros(2, 3, 4)])
def test_statistics_pooling_without_variance_has_a_finite_gradient(x):
    x = x.requires_grad_()
    StatisticsPooling()(x).sum().backward()
    assert x.grad.isfinite().all()


def test_statistics_pooling_gradient():
    x = batch((2, 6)).double().requires_grad_()
    assert torch.autograd.gradcheck(StatisticsPooling(), x)


@pytest.mark.parametrize(
    ("name", "shape"),
    [*(("resnet_small", shape) for shape in (*SPECTROGRAMS, *IMAGES)), *(("tdnn", shape) for shape in SPECTROGRAMS)],
)
def test_small_encoders_take_any_size(name, shape):
    network = models.create(name, input_shape=shape, embedding_dim=6, width=0.25)
    embedding = network(batch(shape))
    assert embedding.shape == (2, 6)
    embedding.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("width", [0.25, 0.5, 1])
@pytest.mark.parametrize("shape", [(40, 41), (80, 21), (3, 28, 28)])
def test_resnet34_has_34_layers_at_every_width(width, shape):
    network = models.create("resnet34", input_shape=shape, embedding_dim=8, width=width)
    layers = main_path(network)
    assert [type(layer).__name__ for layer in layers] == ["Conv2d"] * 33 + ["Linear"]
    inputs = 1 if len(shape) == 2 else 3
    assert sum(layer.weight.numel() for layer in layers[:-1]) == conv_weights(width, inputs)
    with torch.no_grad():
        assert network.eval()(batch(shape)).shape == (2, 8)


def test_parameters_grow_with_the_square_of_the_width():
    for name in ("resnet34", "tdnn"):
        sizes = [
            models.count_parameters(models.create(name, input_shape=(40, 80), embedding_dim=32, width=width))
            for width in (0.25, 0.5, 1.0)
        ]
        ratios = [sizes[1] / sizes[0], sizes[2] / sizes[1]]
        assert all(2.2 < ratio < 4.1 for ratio in ratios), (name, ratios)
        assert ratios[1] > ratios[0]  # what grows linearly, as the last layer does, counts less and less


@pytest.mark.parametrize(
    ("name", "shape"), [("resnet_small", (40, 81)), ("resnet_small", (3, 28, 28)), ("tdnn", (40, 81))]
)
def test_a_batch_of_one_in_evaluation_is_the_row_of_a_larger_batch(name, shape):
    network = models.create(name, input_shape=shape, embedding_dim=5, width=0.25)
    network(batch(shape, 8))  # moves the running statistics
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(batch(shape, 4)[2:3]), network(batch(shape, 4))[2:3])


def test_encoders_of_spectrograms_take_other_lengths():
    for name in ("tdnn", "resnet_small"):
        network = models.create(name, input_shape=(40, 81), embedding_dim=5, width=0.25).eval()
        assert network(batch((40, 143))).shape == (2, 5)


def test_the_tdnn_refuses_images():
    with pytest.raises(UserError, match=r"spectrograms.*\(3, 28, 28\).*resnet"):
        models.create("tdnn", input_shape=(3, 28, 28))


def test_wrong_names_are_answered():
    with pytest.raises(UserError, match="Did you mean 'resnet34'"):
        models.create("resnet43", input_shape=(40, 80))
    with pytest.raises(UserError, match="Did you mean 'width'"):
        models.create("tdnn", input_shape=(40, 80), widht=1)
    assert models.names() == sorted(models.names())
    assert {"resnet34", "resnet_small", "tdnn"} <= set(models.names())


@pytest.mark.parametrize("name", ["tdnn", "resnet_small", "ecapa_tdnn"])
@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"width": -1}, "width is -1"),
        ({"width": 0}, "width is 0"),
        ({"width": float("nan")}, "width is nan"),
        ({"width": "1"}, "width is '1'"),
        ({"embedding_dim": 0}, "embedding_dim is 0"),
        ({"embedding_dim": 2.5}, "embedding_dim is 2.5"),
    ],
)
def test_impossible_sizes_are_named(name, params, says):
    with pytest.raises(UserError, match=f"model '{name}': {says}"):
        models.create(name, input_shape=(40, 80), **params)


@pytest.mark.parametrize("name", ["resnet34", "resnet_small"])
@pytest.mark.parametrize("shape", [(40,), (2, 3, 28, 28)])
def test_resnets_read_images_and_spectrograms_alone(name, shape):
    with pytest.raises(UserError, match=rf"images.*spectrograms.*\({shape[0]},"):
        models.create(name, input_shape=shape)


def test_resnets_keep_frequency_and_average_images():
    spectrogram = models.create("resnet34", input_shape=(80, 40), embedding_dim=4, width=0.25)
    assert spectrogram.embedding.in_features == 2 * 10 * 64  # mean and deviation · 80/8 rows · channels
    assert models.create("resnet34", input_shape=(3, 64, 64), embedding_dim=4, width=0.25).embedding.in_features == 64
    assert models.create("resnet_small", input_shape=(3, 48, 48), width=0.25).embedding.in_features == 9 * 64
