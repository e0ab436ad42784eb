"""The tokenizer: what words and pieces there are, that ids are stable, and texts of any kind."""

import json
import os
import subprocess
import sys

import pytest
import torch

from xmkd_lib.errors import UserError
from xmkd_lib.modalities import Tokenizer
from xmkd_lib.modalities.text import character_ngrams, split_words

TEXTS = ["smiling face with open mouth", "Face with tears", "a clock", "❤ red heart"]


def substrings(word, shortest, longest):
    """Reference: every run of neighbouring characters of <word>, but <word> itself."""
    whole = "<" + word + ">"
    runs = {whole[i:j] for i in range(len(whole)) for j in range(i + 1, len(whole) + 1)}
    return {run for run in runs if shortest <= len(run) <= longest} - {whole}


@pytest.mark.parametrize("word", ["clock", "a", "as", "banana", "❤", "naïve", "x" * 40])
@pytest.mark.parametrize("lengths", [(3, 5), (1, 2), (2, 2), (3, 60)])
def test_ngrams_are_all_substrings_the_shortest_first(word, lengths):
    found = character_ngrams(word, lengths)
    assert set(found) == substrings(word, *lengths)
    assert len(found) == len(set(found))
    assert [len(ngram) for ngram in found] == sorted(len(ngram) for ngram in found)


def test_ids_name_the_words_and_the_ngrams_of_each_word():
    tokenizer = Tokenizer.fit(TEXTS, lengths=(3, 4))
    names = ["", "?", *tokenizer.words, *tokenizer.ngrams]
    assert len(names) == tokenizer.vocabulary
    for text, row in zip(TEXTS, tokenizer(TEXTS), strict=True):
        words = split_words(text)
        assert [names[word[0]] for word in row if word[0]] == words
        for word, ids in zip(words, row, strict=False):
            assert {names[i] for i in ids[1:] if i} == substrings(word, 3, 4)
    assert tokenizer(TEXTS).dtype == torch.int64
    assert tokenizer(TEXTS).shape == (4, 5, tokenizer.shape[1])
    assert set(tokenizer(TEXTS).unique().tolist()) == {*range(tokenizer.vocabulary)} - {1}


def test_an_unknown_word_keeps_its_known_ngrams():
    tokenizer = Tokenizer.fit(["clock face"], lengths=(3, 3))
    known = dict(zip(tokenizer.ngrams, range(4, 99), strict=False))
    unknown = tokenizer(["clocks ohm"])[0]
    assert unknown[0][unknown[0] > 0].tolist() == [1, *(known[n] for n in ("<cl", "clo", "loc", "ock"))]
    assert unknown[1].tolist() == [1] + [0] * (tokenizer.shape[1] - 1)


def test_only_training_texts_make_the_vocabulary():
    tokenizer = Tokenizer.fit(TEXTS)
    before = tokenizer.to_json()
    tokenizer(["words never met before"])
    assert tokenizer.to_json() == before
    assert "never" not in tokenizer.words


def test_widths_come_from_training_texts_up_to_a_cap_and_longer_ones_are_cut():
    assert Tokenizer.fit(["one two three", "x"], lengths=(3, 3)).shape == (3, 6)  # three: itself and 5 3-grams
    tokenizer = Tokenizer.fit(["one two three", "one"], lengths=(3, 3), max_words=2, max_pieces=3)
    assert tokenizer.shape == (2, 3)
    uncut = Tokenizer.fit(["one two three", "one"], lengths=(3, 3))
    assert torch.equal(tokenizer(["one two three"]), uncut(["one two three"])[:, :2, :3])
    assert tokenizer(["three " * 1000]).shape == (1, 2, 3)


@pytest.mark.parametrize("text", ["", "   \t\n", "\u200d", "\u3000"])
def test_a_text_without_words_is_padding(text):
    assert not Tokenizer.fit(TEXTS)([text]).any()
    empty = Tokenizer.fit([text])
    assert (empty.vocabulary, empty.shape) == (2, (1, 1))
    assert empty([text, "word"]).tolist() == [[[0]], [[1]]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ＦＵＬＬ ﬁne Straße", ["full", "fine", "straße"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("don't  stop—now", ["don", "'", "t", "stop", "—", "now"]),
        ("i❤you 👍🏽", ["i", "❤", "you", "👍", "🏽"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("日本 42", ["日本", "42"]),
        ("\U0001fbff", ["\U0001fbff"]),
        ("<b>&amp;", ["<", "b", ">", "&", "amp", ";"]),
        ("a\u0000b", ["a", "b"]),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


def test_no_text_is_too_long():
    tokenizer = Tokenizer.fit(["y" * 100_000, "word " * 10_000])
    assert tokenizer.shape == (32, 10)  # a run of one letter has few different n-grams
    assert len(tokenizer.ngrams) < 40
    assert tokenizer(["z" * 100_000 + " y"]).shape == (1, 32, 10)


def test_the_same_texts_in_any_order_give_the_same_tokenizer():
    first = Tokenizer.fit(TEXTS).to_json()
    assert Tokenizer.fit(reversed(TEXTS * 2)).to_json() == first
    assert Tokenizer.from_json(first) == Tokenizer.fit(TEXTS)
    assert torch.equal(Tokenizer.from_json(first)(TEXTS), Tokenizer.fit(TEXTS)(TEXTS))
    assert Tokenizer.fit(["\ud800 lone"]) == Tokenizer.from_json(Tokenizer.fit(["\ud800 lone"]).to_json())


def test_another_process_gives_the_same_ids():
    program = f"from xmkd_lib.modalities import Tokenizer; t = Tokenizer.fit({TEXTS!r}); print(t({TEXTS!r}).tolist())"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == Tokenizer.fit(TEXTS)(TEXTS).tolist()


def test_no_texts_give_no_rows():
    assert Tokenizer.fit(TEXTS)([]).shape == (0, 5, Tokenizer.fit(TEXTS).shape[1])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Tokenizer.fit([]), "no texts"),
        (lambda: Tokenizer.fit(["a", None]), r"None \(NoneType\) is no text"),
        (lambda: Tokenizer.fit(TEXTS)([3]), r"3 \(int\) is no text"),
        (lambda: Tokenizer.fit(TEXTS, lengths=(4, 3)), r"lengths \(4, 3\)"),
        (lambda: Tokenizer.fit(TEXTS, lengths=(0, 3)), r"lengths \(0, 3\)"),
        (lambda: Tokenizer.fit(TEXTS, max_words=0), "max_words 0"),
        (lambda: Tokenizer.from_json("no json"), "not what to_json writes"),
        (lambda: Tokenizer.from_json("[]"), "not what to_json writes"),
        (lambda: Tokenizer.from_json('{"words": []}'), "ngrams"),
        (lambda: Tokenizer.from_json(json.dumps({**json.loads(Tokenizer.fit(TEXTS).to_json()), "x": 1})), "'x'"),
    ],
)
def test_mistakes_are_named(call, says):
    with pytest.raises(UserError, match=says):
        call()
