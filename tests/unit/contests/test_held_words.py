"""States of words that a contest holds in memory, up to a limit."""

import numpy as np
import pytest

from milepost.contests.held import HeldVectors, HeldWords
from milepost.models.encoder import WrappedEncoder
from milepost.models.words import word_states
from milepost.testing.encoders import HashedEncoder

TEXTS = ["one two", "three", "one two", ""]


class Counting(WrappedEncoder):
    """Notes how many texts it is asked for."""

    asked = 0

    def encode(self, texts, progress=None):
        self.asked += len(texts)
        return self.inner.encode(texts, progress)


def test_each_text_is_encoded_once():
    inner = Counting(HashedEncoder().words())
    held = HeldWords(inner)
    first, again = held.encode(TEXTS), held.encode(TEXTS)
    assert inner.asked == 3
    expected = HashedEncoder().words().encode(TEXTS)
    for one, other, plain in zip(first, again, expected, strict=True):
        assert np.array_equal(one, plain)
        assert np.array_equal(other, plain)


def test_what_is_beyond_the_limit_is_encoded_again():
    inner = Counting(HashedEncoder().words())
    held = HeldWords(inner, most=64 * 4 * 2)
    held.encode(TEXTS)
    held.encode(["one two", "three"])
    assert inner.asked == 4


def test_a_contest_holds_words_beside_vectors():
    held = HeldVectors(HashedEncoder(), TEXTS)
    words = word_states(held)
    assert words is word_states(held)
    assert words.encode(["one two"])[0].shape == (2, 64)
    assert held.encode(["three"])[0] == pytest.approx(HashedEncoder().encode(["three"])[0])
