"""A student without an encoder: it looks words up, and learned from the best of the others.

Static embeddings (Tulkens & van Dongen 2024, model2vec) as a start, then distilled on the task's
own texts (Hinton et al. 2015): the teacher's probabilities on labelled and unlabelled inputs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.predictors.base import Predictor
from milepost.predictors.static import (
    MAX_TOKENS,
    StaticPredictor,
    distil_table,
    pair_keys,
    read_tokenizer,
    rows_of,
)
from milepost.strategies.distilling.averaging import Lesson, Pace, learn
from milepost.strategies.distilling.teaching import Lessons, Taught, taught_folds
from milepost.strategies.distilling.vocabulary import pruned
from milepost.strategies.problems import encode, too_few_labels
from milepost.strategies.watching import Watch
from milepost.strategy import Contender, DeclinedError, Problem

_PER_TEXT = 4e-5
"""Seconds of training per text, epoch and 16 tokens."""
_PER_TOKEN = 2e-3
"""Seconds of encoding per token of the vocabulary."""


@dataclass(frozen=True, slots=True)
class Student:
    """Words, and pairs of words, looked up in a table; a head on their mean.

    Attributes:
        dimensions: Length of a row of the table, ≥ 2.
        common: Tokens kept although no text used them, the most frequent first, ≥ 0.
        pairs: Most pairs of neighbouring tokens that have a row of their own, the most frequent
            first, ≥ 0; a pair must occur twice.
        epochs: Times that each text is learned from, ≥ 1.
        rate: Learning rate of the table, > 0.
        gold: Share of the target that is the label itself, where there is one, 0 to 1.
        unlabeled: Most unlabelled inputs that are learned from, ≥ 0.
        asked: Most of them that a language model is asked about, where it is the best teacher.
    """

    name: ClassVar[str] = "student"

    dimensions: int = 256
    common: int = 1000
    pairs: int = 20_000
    epochs: int = 15
    rate: float = 2e-3
    gold: float = 0.5
    unlabeled: int = 10_000
    asked: int = 500

    def __post_init__(self) -> None:
        if self.dimensions < 2 or self.epochs < 1 or self.rate <= 0:
            raise ValueError("dimensions must be 2 or more, epochs 1 or more, rate above 0")
        if min(self.common, self.pairs, self.unlabeled, self.asked) < 0:
            raise ValueError("common, pairs, unlabeled and asked must not be negative")
        if not 0 <= self.gold <= 1:
            raise ValueError("gold must be between 0 and 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs two labels with an example, and the encoder's own tokens."""
        if problem.weights is None:
            return "It needs the encoder's own files, for its tokens."
        return too_few_labels(problem)

    def seconds(self, problem: Problem) -> float:
        """See :class:`milepost.strategy.Training`."""
        texts = [*problem.texts, *problem.unlabeled[: self.unlabeled]]
        words = sum(len(text) for text in texts) / 4 / 16
        return _PER_TEXT * self.epochs * words + _PER_TOKEN * self.common

    def fit(self, problem: Problem) -> Predictor:
        """Not without others.

        Raises:
            DeclinedError: Always; ``combine`` is what makes one.
        """
        del problem
        raise DeclinedError("A student is taught by what other strategies came to.")

    def combine(
        self, problem: Problem, fold_of: NDArray[np.int64], others: Sequence[Contender]
    ) -> tuple[Predictor, NDArray[np.float32]]:
        """See :class:`milepost.strategy.Combining`."""
        lessons = Lessons(gold=self.gold, most=self.unlabeled, asked=self.asked)
        return taught_folds(problem, fold_of, others, lessons, self.learned)

    def learned(self, problem: Problem, taught: Taught) -> StaticPredictor:
        """The student of what it is taught, uncalibrated.

        Raises:
            DeclinedError: If it diverges, or the encoder's files cannot be had.
        """
        tokenizer, ids = self._tokens(problem, taught.texts)
        start = distil_table(
            lambda texts: encode(problem.encoder, tuple(texts)), tokenizer, self.dimensions
        ).astype(np.float32)
        pairs = _frequent(ids, self.pairs)
        table = np.concatenate([start, np.zeros((len(pairs), start.shape[1]), np.float32)])
        rows, owners = rows_of(ids, len(table), pairs)
        ends = np.searchsorted(owners, np.arange(1, len(ids)))
        try:
            found = learn(
                Lesson(np.split(rows, ends), taught.targets),
                table,
                Pace(epochs=self.epochs, rate=self.rate),
                seed=problem.seed,
                watch=Watch.of(problem),
            )
        except FloatingPointError as error:
            raise DeclinedError(f"It diverged while it was taught: {error}.") from error
        return StaticPredictor(
            labels=problem.labels,
            tokenizer=tokenizer,
            table=found.table.astype(np.float16),
            weights=found.weights,
            bias=found.bias,
            pairs=pairs if len(pairs) else None,
        )

    def _tokens(self, problem: Problem, texts: Sequence[str]) -> tuple[str, list[list[int]]]:
        """The pruned tokenizer, and the tokens of each text."""
        if problem.weights is None:
            raise DeclinedError("It needs the encoder's own files, for its tokens.")
        folder = problem.weights()
        whole = (folder.path / "tokenizer.json").read_text(encoding="utf-8")
        used = {i for ids in _ids(whole, texts) for i in ids}
        tokenizer, _ = pruned(whole, sorted(used), self.common)
        return tokenizer, _ids(tokenizer, texts)


def _ids(tokenizer: str, texts: Sequence[str]) -> list[list[int]]:
    cut = MAX_TOKENS * 32
    found = read_tokenizer(tokenizer).encode_batch_fast(
        [
            text[:cut].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            for text in texts
        ],
        add_special_tokens=False,
    )
    return [each.ids[:MAX_TOKENS] for each in found]


def _frequent(ids: Sequence[Sequence[int]], most: int) -> NDArray[np.int64]:
    """Pairs that occur in two texts or more, ascending: the most frequent ones."""
    counts: Counter[int] = Counter()
    for own in ids:
        counts.update(set(pair_keys(np.asarray(own, np.int64)).tolist()))
    often = sorted((pair for pair, n in counts.items() if n > 1), key=lambda p: (-counts[p], p))
    return np.sort(np.asarray(often[:most], np.int64))
