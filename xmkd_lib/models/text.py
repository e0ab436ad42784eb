"""Encoders of text: word vectors from subword pieces, averaged, or read by a small transformer."""

import torch
from torch import Tensor, nn

from xmkd_lib.errors import UserError
from xmkd_lib.models.pooling import masked_mean
from xmkd_lib.models.registry import registry

HEADS = 4


class WordVectors(nn.Module):
    """Ids (N, words, pieces) int64 -> word vectors (N, words, dim), and which are words (N, words) bool.

    A word's vector is the mean of its pieces' embeddings; id 0 is padding and has none. They start small, so that what
    is learnt soon outweighs what was drawn: on `emoji`, with torch's deviation of 1 instead of 0.1 a text teacher had a
    validation accuracy lower by 19 points (seeds 100 to 103). UserError on ids of another shape than (N, *shape), and
    on the CPU on ids beyond the vocabulary; on a GPU that check would wait for it.
    Source: Bojanowski et al. 2017, §3.2, there a sum.
    """

    def __init__(self, vocabulary: int, dim: int, shape: tuple[int, ...]):
        super().__init__()
        self.shape = tuple(shape)
        self.pieces = nn.EmbeddingBag(vocabulary, dim, mode="mean", padding_idx=0)
        nn.init.normal_(self.pieces.weight, std=0.1)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        self._check(ids)
        vectors = self.pieces(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])
        return vectors, ids[:, :, 0] != 0

    def _check(self, ids: Tensor) -> None:
        if ids.ndim != 3 or tuple(ids.shape[1:]) != self.shape or ids.is_floating_point():
            raise UserError(
                f"a model of text built for ids (N, {self.shape[0]}, {self.shape[1]}) of whole numbers got "
                f"{tuple(ids.shape)} of {ids.dtype}. Use the tokenizer that it was built for."
            )
        vocabulary = self.pieces.num_embeddings
        if ids.device.type == "cpu" and ids.numel() and not 0 <= ids.min() <= ids.max() < vocabulary:
            raise UserError(
                f"a model of text with {vocabulary} ids got ids from {int(ids.min())} to {int(ids.max())}. Use the "
                "tokenizer that it was built for."
            )


@registry.register("text_ngram")
class NgramText(nn.Module):
    """Mean of the word vectors, then a hidden layer: (N, words, pieces) -> (N, embedding_dim).

    `width` 1 means vectors of 128. The order of the words plays no part. Source: Joulin et al. 2017 (fastText).
    """

    def __init__(self, input_shape: tuple[int, ...], embedding_dim: int = 32, width: float = 1.0, *, vocabulary: int):
        super().__init__()
        _check_ids("text_ngram", input_shape)
        dim = max(4, round(128 * width))
        self.words = WordVectors(vocabulary, dim, input_shape)
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, embedding_dim))

    def forward(self, ids: Tensor) -> Tensor:
        return self.layers(masked_mean(*self.words(ids)))


@registry.register("text_transformer")
class TransformerText(nn.Module):
    """Word vectors with learned positions, two transformer layers, mean over words: (N, words, pieces) -> (N, D).

    `width` 1 means vectors of 128 in 4 heads. Layer normalisation comes first, so that no long warm-up is needed.
    There is no dropout: its draws would depend on the caller's random state. Source: Vaswani et al. 2017.
    """

    def __init__(self, input_shape: tuple[int, ...], embedding_dim: int = 32, width: float = 1.0, *, vocabulary: int):
        super().__init__()
        _check_ids("text_transformer", input_shape)
        dim = HEADS * max(1, round(128 * width / HEADS))
        self.words = WordVectors(vocabulary, dim, input_shape)
        self.positions = nn.Parameter(0.02 * torch.randn(input_shape[0], dim))
        layer = nn.TransformerEncoderLayer(dim, HEADS, 2 * dim, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, num_layers=2, norm=nn.LayerNorm(dim), enable_nested_tensor=False)
        self.embedding = nn.Linear(dim, embedding_dim)

    def forward(self, ids: Tensor) -> Tensor:
        vectors, is_word = self.words(ids)
        if not len(ids):  # no texts, which torch's attention cannot reshape
            return self.embedding(vectors.mean(1))
        ignored = ~is_word
        # attention over nothing is 0/0: a text without words looks at its first padding, which the mean leaves out
        ignored = torch.cat([ignored[:, :1] & is_word.any(1, keepdim=True), ignored[:, 1:]], 1)
        read = self.layers(vectors + self.positions, src_key_padding_mask=ignored)
        return self.embedding(masked_mean(read, is_word))


def _check_ids(name: str, input_shape: tuple[int, ...]) -> None:
    if len(input_shape) != 2:
        raise UserError(
            f"model {name!r} reads ids (words, pieces), got input shape {tuple(input_shape)}: use a resnet."
        )
