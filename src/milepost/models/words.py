"""States of the words of a text, from the same pass of an encoder that gives its vector.

Words are what a fixed pattern finds, whatever the tokenizer makes of them: a word's state is the
mean of those of its tokens. A text longer than the encoder reads goes through it in windows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.models.encoder import Encoder

if TYPE_CHECKING:
    from tokenizers import Encoding

VERSION = 1
"""How states of words are made."""

_WORD = re.compile(
    # Scripts that are written without spaces are read letter by letter.
    "[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W_]+"
    r"|[^\w\s]|_"
)

States = NDArray[np.float32]


class WordSpace:
    """What a predictor reads that reads the states of words: a space beside those of vectors."""

    digest = f"words-{VERSION}"

    def __repr__(self) -> str:
        return "WORDS"


WORDS = WordSpace()
"""The states of words, of the encoder without an adapter."""


@runtime_checkable
class Wording(Protocol):
    """An encoder that can give the states of words."""

    def words(self) -> Encoder:
        """The same encoder, that gives ``(n,)`` objects: states ``(words, d)`` of each text."""
        ...


def word_states(encoder: Encoder) -> Encoder:
    """What gives the states of words.

    Raises:
        EncoderError: If the encoder has none.
    """
    if not isinstance(encoder, Wording):
        raise EncoderError(
            f"the encoder {encoder.name!r} gives no states of words.",
            advice="Use the encoder of a Hugging Face folder.",
        )
    return encoder.words()


def words_of(text: str) -> list[tuple[int, int]]:
    """Begin and end of each word of a text: runs of letters and digits, and each other sign."""
    return [found.span() for found in _WORD.finditer(text)]


@dataclass(frozen=True, slots=True, eq=False)
class WordTokens:
    """The tokens of a text, and of which word each is a part.

    Attributes:
        windows: Token ids of each window, at least one.
        words: Of each window the word of each token; -1 of a token that is read as context alone.
        count: Words of the text.
    """

    windows: list[list[int]]
    words: list[NDArray[np.int64]]
    count: int

    def pooled(self, states: Sequence[NDArray[np.float32]]) -> States:
        """States ``(words, d) float32`` from those ``(tokens, d)`` of each window.

        A word of which there is no token, such as a sign that the tokenizer drops, has zeros.
        """
        sums = np.zeros((self.count, states[0].shape[1]), np.float32)
        if not self.count:
            return sums
        at = np.concatenate(self.words)
        inside = at >= 0
        np.add.at(sums, at[inside], np.concatenate(list(states))[inside])
        parts = np.bincount(at[inside], minlength=self.count)
        return sums / np.maximum(parts, 1)[:, None].astype(np.float32)


def word_tokens(text: str, encoding: "Encoding", pad: int) -> WordTokens:
    """The tokens of a text by word.

    Args:
        text: The text.
        encoding: Of the tokenizer, with what did not fit into the first window in ``overflowing``.
        pad: Token of a text that has none.
    """
    spans = words_of(text)
    starts = np.array([begin for begin, _ in spans], np.int64)
    ends = np.array([end for _, end in spans], np.int64)
    windows = [encoding, *encoding.overflowing]
    found: list[NDArray[np.int64]] = []
    for window in windows:
        # A token may begin with the space before its word: where it ends it is inside.
        last = np.array([end - 1 for _, end in window.offsets], np.int64)
        real = np.array([b < e for b, e in window.offsets], np.bool_)
        real &= np.array(window.special_tokens_mask, np.int64) == 0
        at = np.searchsorted(starts, last, side="right") - 1
        inside = real & (at >= 0) & (last < ends[at] if len(ends) else False)
        found.append(np.where(inside, at, -1))
    return WordTokens(
        [window.ids or [pad] for window in windows],
        [each if len(each) else np.array([-1]) for each in _most_central(found)],
        len(spans),
    )


def _most_central(windows: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Each word in one window alone: of two that overlap the one whose border is further away."""
    for one, other in pairwise(windows):
        both = np.intersect1d(one[one >= 0], other[other >= 0])
        if not len(both):
            continue
        middle = both[len(both) // 2]
        one[(one >= middle) & np.isin(one, both)] = -1
        other[(other < middle) & np.isin(other, both)] = -1
    return windows


def ragged(states: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Arrays of different lengths as one of objects, ``(n,)``."""
    found = np.empty(len(states), object)
    for row, each in enumerate(states):
        found[row] = each
    return found
