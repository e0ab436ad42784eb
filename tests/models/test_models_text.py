"""The encoders of text against plain loops, and texts without words."""

import numpy as np
import pytest
import torch

from xmkd_lib import models
from xmkd_lib.errors import UserError
from xmkd_lib.models.pooling import masked_mean
from xmkd_lib.models.text import WordVectors

NAMES = ("text_ngram", "text_transformer")
VOCABULARY, SHAPE = 40, (5, 4)


def ids(n=3, seed=0):
    """Full texts, but: the first has two words of two pieces, the last none."""
    found = torch.randint(1, VOCABULARY, (n, *SHAPE), generator=torch.Generator().manual_seed(seed))
    found[0, :, 2:] = 0
    found[0, 2:] = 0
    found[-1] = 0
    return found


def encoder(name, seed=0, **params):
    torch.manual_seed(seed)
    chosen = {"input_shape": SHAPE, "embedding_dim": 6, "width": 0.125, "vocabulary": VOCABULARY, **params}
    return models.create(name, **chosen)


def test_word_vectors_are_means_of_pieces():
    words = WordVectors(VOCABULARY, 7, SHAPE)
    vectors, is_word = words(ids())
    table = words.pieces.weight.detach().double().numpy()
    for n, text in enumerate(ids().tolist()):
        for w, pieces in enumerate(text):
            known = [table[piece] for piece in pieces if piece]
            expected = np.mean(known, 0) if known else np.zeros(7)
            np.testing.assert_allclose(vectors[n, w].detach().numpy(), expected, atol=1e-6)
            assert bool(is_word[n, w]) == bool(known)


def test_masked_mean():
    x = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    assert torch.autograd.gradcheck(masked_mean, (x.requires_grad_(), mask))
    x = x.detach()
    for row in range(3):
        torch.testing.assert_close(masked_mean(x, mask)[row], x[row, mask[row]].mean(0))
    assert not masked_mean(x, mask)[3].any()
    x[1, 1:] = torch.nan
    assert masked_mean(x, mask).isfinite().all(), "what is masked plays no part"


@pytest.mark.parametrize("name", NAMES)
def test_texts_without_words_give_finite_outputs_and_gradients(name):
    network = encoder(name)
    for batch in (ids(), torch.zeros(2, *SHAPE, dtype=torch.int64)):
        network.zero_grad()
        embedding = network(batch)
        assert embedding.shape == (len(batch), 6)
        assert embedding.isfinite().all()
        embedding.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        assert not network.words.pieces.weight.grad[0].any(), "padding is not learnt"


@pytest.mark.parametrize("name", NAMES)
def test_padding_plays_no_part(name):
    network = encoder(name).eval()
    short = ids()[:2]
    short[:, 3:] = 0
    with torch.no_grad():
        before = network(short)
        network.words.pieces.weight[0] = 100.0
        torch.testing.assert_close(network(short), before)
        torch.testing.assert_close(network(short[:1]), before[:1])


def test_only_the_transformer_minds_the_order_of_words():
    text = ids()[1:2]
    for name in NAMES:
        network = encoder(name, width=0.25).eval()
        with torch.no_grad():
            same = torch.allclose(network(text), network(text.flip(1)), atol=1e-6)
        assert same == (name == "text_ngram")


@pytest.mark.parametrize("name", NAMES)
def test_training_and_evaluation_give_the_same(name):
    network = encoder(name)
    with torch.no_grad():
        torch.testing.assert_close(network.train()(ids()), network.eval()(ids()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_output(name):
    first, again, other = (encoder(name, seed)(ids()) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0.01, 0.3, 1.0])
def test_any_width(name, width):
    assert encoder(name, width=width)(ids()).shape == (3, 6)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_what_a_word_means(name):
    """Texts with the word 2 against texts with the word 3, among random others."""
    batch = torch.randint(4, VOCABULARY, (256, *SHAPE), generator=torch.Generator().manual_seed(1))
    labels = torch.arange(256) % 2
    batch[:, 2, :2] = (2 + labels)[:, None]
    network = encoder(name, embedding_dim=2)
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(batch[:192]), labels[:192]).backward()
        optimizer.step()
    assert (network(batch[192:]).argmax(1) == labels[192:]).float().mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_bf16_autocast(name):
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(name)(ids()).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (torch.ones(2, 4, 4, dtype=torch.int64), r"\(N, 5, 4\).*\(2, 4, 4\)"),
        (torch.ones(2, 1, 4, dtype=torch.int64), r"\(N, 5, 4\).*\(2, 1, 4\)"),
        (torch.ones(2, 5, 3, dtype=torch.int64), r"\(N, 5, 4\).*\(2, 5, 3\)"),
        (torch.ones(5, 4, dtype=torch.int64), r"\(N, 5, 4\).*\(5, 4\)"),
        (torch.ones(2, *SHAPE), "whole numbers.*float32"),
        (torch.full((2, *SHAPE), VOCABULARY), "40 ids got ids from 40 to 40"),
        (torch.full((2, *SHAPE), -1), "40 ids got ids from -1 to -1"),
    ],
)
def test_ids_that_it_was_not_built_for(name, batch, says):
    with pytest.raises(UserError, match=says):
        encoder(name)(batch)


@pytest.mark.parametrize("name", NAMES)
def test_no_texts_give_no_embeddings(name):
    assert encoder(name)(torch.zeros(0, *SHAPE, dtype=torch.int64)).shape == (0, 6)


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("text_ngram", {"input_shape": (3, 28, 28), "vocabulary": 9}, r"ids \(words, pieces\).*\(3, 28, 28\)"),
        ("text_ngram", {"input_shape": (40, 80)}, "reads text alone"),
        ("text_transformer", {"input_shape": (40, 80)}, "reads text alone"),
        ("resnet34", {"input_shape": (5, 4), "vocabulary": 9}, "reads no text"),
        ("text_ngrm", {"input_shape": (5, 4), "vocabulary": 9}, "Did you mean 'text_ngram'"),
    ],
)
def test_models_and_inputs_that_do_not_fit(name, params, says):
    with pytest.raises(UserError, match=says):
        models.create(name, **params)
