"""Slices by the text itself: its length, its words, and what is not a word."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.evaluation.slicing.condition import Condition, literal, quoted, ranges

MOST_WORDS = 600
"""Words that are tried, those in the most texts."""

_WORD = re.compile(r"\w+")
_READ = 5_000
_PARTS = 20
_WIDTHS = (1, 2, 4)
_EMOJI = "\U0001f300-\U0001faff\u2600-\u27bf"
# The same pattern is read by Python here and by DuckDB (RE2) where the slice is declared.
_TOKENS = {
    "texts with a web address": r"(?:https?://|www\.)",
    "texts with a number": r"[0-9]",
    "texts with an emoji": f"[{_EMOJI}]",
    "texts with a mention (@)": r"@[A-Za-z0-9_]",
    "texts with a hashtag": r"#[A-Za-z0-9_]",
    "texts with a word in capitals": r"(?:^|[^A-Za-z0-9_])[A-Z]{3,}(?:$|[^A-Za-z0-9_])",
    "texts with a question mark": r"\?",
    "texts with an exclamation mark": r"!",
    "texts with several lines": r"\n",
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Words:
    """The words of ``n`` texts.

    Attributes:
        of: Distinct lower-case words of each text, of its first 5,000 characters.
        rows: Rows of each word, ascending, by how many texts hold it, most first.
        cut: Whether any text is longer than that.
    """

    of: tuple[tuple[str, ...], ...]
    rows: dict[str, NDArray[np.int64]]
    cut: bool

    @classmethod
    def read(cls, texts: Sequence[str]) -> "Words":
        """Split the texts."""
        of = tuple(tuple(dict.fromkeys(_WORD.findall(text[:_READ].lower()))) for text in texts)
        rows: dict[str, list[int]] = {}
        for row, words in enumerate(of):
            for word in words:
                rows.setdefault(word, []).append(row)
        ordered = sorted(rows.items(), key=lambda item: (-len(item[1]), item[0]))
        return cls(
            of=of,
            rows={word: np.asarray(found, np.int64) for word, found in ordered},
            cut=any(len(text) > _READ for text in texts),
        )


def by_length(texts: Sequence[str], input_name: str, least: int) -> list[Condition]:
    """Ranges of the length in characters."""
    lengths = np.array([len(text) for text in texts], np.float64)
    return [
        Condition(
            description=f"texts of {low:.0f} to {high:.0f} characters"
            if low < high
            else f"texts of {low:.0f} characters",
            kind="length",
            mask=(lengths >= low) & (lengths <= high),
            predicate=f"length({quoted(input_name)}) BETWEEN {low:.0f} AND {high:.0f}",
            about="length",
        )
        for low, high in ranges(lengths, least, _PARTS, _WIDTHS)
    ]


def by_token(texts: Sequence[str], input_name: str) -> list[Condition]:
    """Web addresses, numbers, emoji, mentions and the like."""
    found: list[Condition] = []
    for description, pattern in _TOKENS.items():
        compiled = re.compile(pattern)
        found.append(
            Condition(
                description=description,
                kind="token",
                mask=np.array([compiled.search(text) is not None for text in texts]),
                predicate=f"regexp_matches({quoted(input_name)}, {literal(pattern)})",
                about=description,
            )
        )
    return found


def by_word(words: Words, input_name: str, least: int) -> list[Condition]:
    """Texts that hold a word, for the words in the most texts but not in most texts."""
    n = len(words.of)
    frequent = [w for w, rows in words.rows.items() if least <= len(rows) <= n // 2]
    found: list[Condition] = []
    column = quoted(input_name)
    column = f"lower(left({column}, {_READ}))" if words.cut else f"lower({column})"
    for word in frequent[:MOST_WORDS]:
        mask = np.zeros(n, np.bool_)
        mask[words.rows[word]] = True
        edge = r"[^\pL\pN_]"
        pattern = literal(f"(^|{edge}){word}($|{edge})")
        found.append(
            Condition(
                description=f'texts with the word "{word}"',
                kind="word",
                mask=mask,
                predicate=f"regexp_matches({column}, {pattern})",
                about=f"word {word}",
            )
        )
    return found


def by_unseen_words(words: Words, train: Sequence[str], *, seen: bool) -> list[Condition]:
    """Texts with words that the training examples do not have.

    Args:
        words: Of the judged texts.
        train: The training texts.
        seen: Whether the judged texts are among them; a word must then be in a second one.
    """
    counts = Counter(word for each in Words.read(train).of for word in each)
    enough = 2 if seen else 1
    unseen = np.array([sum(counts[word] < enough for word in each) for each in words.of])
    found: list[Condition] = []
    for times in (1, 2, 3, 5):
        what = "a word" if times == 1 else f"{times} words"
        found.append(
            Condition(
                description=f"texts with at least {what} that no "
                f"{'other ' if seen else ''}training example has",
                kind="word",
                mask=unseen >= times,
                about="unseen words",
            )
        )
    return found
