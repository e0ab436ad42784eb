"""Text: words to ids of the words and of their character n-grams."""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor

from xmkd_lib.errors import UserError

PADDING, UNKNOWN, FIRST = 0, 1, 2  # the two reserved ids, and the first word's
LONGEST = 40  # letters of a word that are looked at: a text without spaces must not fill the vocabulary


@dataclass(frozen=True)
class Tokenizer:
    """Texts to ids (n, words, pieces): of each word its own id, then those of its character n-grams.

    Made by `fit` on training texts. Id 0 is padding, 1 an unknown word, which still has its known n-grams; then come
    the words and the n-grams, both sorted. `shape` is (words, pieces): more words than that, and more pieces of a
    word, are cut. `lengths` are the shortest and the longest n-gram, in characters, with < and > as a word's ends.
    Source: Bojanowski et al. 2017 (fastText), §3.2; there n-grams are hashed, here they are those of training words.

    >>> tokenizer = Tokenizer.fit(["Red heart", "red"], lengths=(3, 3))
    >>> tokenizer.words, tokenizer.ngrams
    (('heart', 'red'), ('<he', '<re', 'art', 'ear', 'ed>', 'hea', 'red', 'rt>'))
    >>> tokenizer(["red", "bred", ""])
    tensor([[[ 3,  5, 10,  8,  0,  0],
             [ 0,  0,  0,  0,  0,  0]],
            [[ 1, 10,  8,  0,  0,  0],
             [ 0,  0,  0,  0,  0,  0]],
            [[ 0,  0,  0,  0,  0,  0],
             [ 0,  0,  0,  0,  0,  0]]])
    """

    words: tuple[str, ...]
    ngrams: tuple[str, ...]
    lengths: tuple[int, int]
    shape: tuple[int, int]

    @classmethod
    def fit(
        cls, texts: Iterable[str], lengths: tuple[int, int] = (3, 5), max_words: int = 32, max_pieces: int = 32
    ) -> "Tokenizer":
        """Vocabulary and widths of training texts; the widths are at most `max_words` and `max_pieces`.

        UserError on no texts, on what is no text, and on n-gram lengths that are not 1 <= shortest <= longest.
        """
        if not 1 <= lengths[0] <= lengths[1] or min(max_words, max_pieces) < 1:
            raise UserError(
                f"Tokenizer: n-gram lengths {lengths}, max_words {max_words}, max_pieces {max_pieces}. Give lengths "
                "from 1 up, the shorter one first, and widths of at least 1."
            )
        split = [split_words(text) for text in texts]
        if not split:
            raise UserError("Tokenizer: there are no texts to fit it on. Give those of the training split.")
        words = sorted(set().union(*split))
        pieces = [character_ngrams(word, lengths) for word in words]
        widths = max(map(len, split)), 1 + max(map(len, pieces), default=0)
        shape = min(max(widths[0], 1), max_words), min(widths[1], max_pieces)
        return cls(tuple(words), tuple(sorted(set().union(*pieces))), lengths, shape)

    @property
    def vocabulary(self) -> int:
        """Number of ids: what an embedding table needs rows."""
        return FIRST + len(self.words) + len(self.ngrams)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Ids (n, words, pieces) int64. A text without words is padding alone. UserError on what is no text."""
        ids = torch.zeros(len(texts), *self.shape, dtype=torch.int64)
        for row, text in enumerate(texts):
            for column, word in enumerate(split_words(text)[: self.shape[0]]):
                pieces = self._pieces(word)
                ids[row, column, : len(pieces)] = pieces
        return ids

    def to_json(self) -> str:
        """The whole tokenizer as JSON text, the same for the same training texts in any order."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, content: str) -> "Tokenizer":
        """The tokenizer that `to_json` wrote. UserError on anything else."""
        try:
            found = json.loads(content)
            loaded = cls(**{name: tuple(found.pop(name)) for name in cls.__annotations__}, **found)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"Tokenizer: not what to_json writes ({type(error).__name__}: {error}).") from None
        return loaded

    @cached_property
    def _ids(self) -> tuple[dict[str, int], dict[str, int]]:
        words = {word: FIRST + index for index, word in enumerate(self.words)}
        return words, {ngram: FIRST + len(words) + index for index, ngram in enumerate(self.ngrams)}

    @cached_property
    def _known(self) -> dict[str, Tensor]:
        return {}

    def _pieces(self, word: str) -> Tensor:
        """Ids of a word, at most `pieces` of them; each word is looked up once."""
        if word not in self._known:
            words, ngrams = self._ids
            pieces = [ngrams[ngram] for ngram in character_ngrams(word, self.lengths) if ngram in ngrams]
            self._known[word] = torch.tensor([words.get(word, UNKNOWN), *pieces][: self.shape[1]])
        return self._known[word]


def split_words(text: str) -> list[str]:
    """Words of a text in lower case and Unicode's normal form NFKC; any other visible character is a word of its own.

    UserError on what is no text.

    >>> split_words("Café №1: ❤ it!")
    ['café', 'no1', ':', '❤', 'it', '!']
    """
    if not isinstance(text, str):
        raise UserError(f"Tokenizer: {text!r} ({type(text).__name__}) is no text. Give strings.")
    normal = unicodedata.normalize("NFKC", text).lower()
    return "".join(map(_apart, normal)).split()


def _apart(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] in "LMN":  # letters, marks, numbers
        return character
    return " " if category[0] in "ZC" and category != "Cn" else f" {character} "  # Cn: newer than Python's table


def character_ngrams(word: str, lengths: tuple[int, int]) -> list[str]:
    """Distinct n-grams of <word>, the shortest first, without <word> itself; of the first 40 letters.

    >>> character_ngrams("red", (3, 4))
    ['<re', 'red', 'ed>', '<red', 'red>']
    >>> character_ngrams("a", (3, 4))
    []
    """
    whole = f"<{word[:LONGEST]}>"
    found = (
        whole[start : start + length]
        for length in range(lengths[0], min(lengths[1], len(whole) - 1) + 1)
        for start in range(len(whole) - length + 1)
    )
    return list(dict.fromkeys(found))
