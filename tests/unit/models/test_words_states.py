"""States of words: from tokens, in windows, beside vectors in the same pass."""

import numpy as np
import pytest

from milepost.entities.errors import EncoderError
from milepost.models.cached import CachedEncoder
from milepost.models.encoder import WrappedEncoder
from milepost.models.words import word_states, words_of
from milepost.storage.files.vectors import MemoryVectorStore
from milepost.testing.encoders import HashedEncoder
from milepost.testing.tiny import TinyEncoder, write_tiny

TEXTS = ["abc de", "", "  ", "a, b!", "Grüße, 3x", "ab " * 100 + "cd"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert"))


def test_words_are_runs_of_letters_and_digits_and_each_other_sign():
    text = "Dr. O'Neil_2, 3Arena 東京"
    found = [text[begin:end] for begin, end in words_of(text)]
    assert found == ["Dr", ".", "O", "'", "Neil", "_", "2", ",", "3Arena", "東", "京"]


def test_each_word_has_a_state_whatever_the_length(tiny):
    states = word_states(tiny).encode(TEXTS)
    assert [each.shape for each in states] == [(len(words_of(text)), 32) for text in TEXTS]
    assert all(np.isfinite(each).all() for each in states)
    long = states[-1]
    # The tiny encoder reads 64 tokens, and each letter is one: all windows are read.
    assert np.abs(long).max(axis=1).min() > 0


def test_a_text_has_the_same_states_in_company(tiny):
    together = word_states(tiny).encode(TEXTS)
    for text, expected in zip(TEXTS, together, strict=True):
        (alone,) = word_states(tiny).encode([text])
        assert alone == pytest.approx(expected, abs=1e-5)


def test_a_word_is_the_mean_of_its_tokens(tiny):
    trunk = tiny._opened.trunk
    (tokens,) = trunk.word_tokens(["ab c"])
    states = trunk.forward(tokens.windows, states=True).states
    assert tokens.words[0].tolist() == [-1, 0, 0, 1, -1]
    assert tokens.pooled(states)[0] == pytest.approx(states[0][1:3].mean(axis=0), abs=1e-6)


def test_windows_overlap_and_no_word_is_read_twice(tiny):
    (tokens,) = tiny._opened.trunk.word_tokens(["ab " * 60])
    assert len(tokens.windows) > 1
    assert all(len(window) <= 64 for window in tokens.windows)
    words = np.concatenate(tokens.words)
    assert sorted(set(words[words >= 0].tolist())) == list(range(60))
    owners = [set(each[each >= 0].tolist()) for each in tokens.words]
    assert sum(map(len, owners)) == 60


def test_a_cache_lets_states_through_and_others_say_that_there_are_none():
    cached = CachedEncoder(HashedEncoder(), MemoryVectorStore())
    (states,) = word_states(cached).encode(["one two"])
    assert states.shape == (2, 64)
    with pytest.raises(EncoderError, match="no states of words"):
        word_states(WrappedEncoder(HashedEncoder()))
