"""Conditional random fields on words: on what is seen of them, and on the encoder's states too."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import EncoderError
from milepost.entities.kinds import Kind
from milepost.entities.spans import OF_TRUTH, begins
from milepost.models.words import word_states, words_of
from milepost.predictors.tagging.tagger import StateTagger, WordTagger
from milepost.strategies.tagging.crf import Penalties, fit
from milepost.strategies.tagging.tagged import Tagged, tagged
from milepost.strategy import Problem


def no_spans(problem: Problem) -> str | None:
    """The reason, as a sentence, why no span can be learned; else ``None``."""
    held = begins(problem.y, OF_TRUTH) & (problem.y[:, 2::OF_TRUTH] < len(problem.labels))
    if not held.any():
        return "No example has a span."
    with_words = any(words_of(problem.texts[row]) for row in np.flatnonzero(held.any(axis=1)))
    return None if with_words else "No example with a span has a word."


@dataclass(frozen=True, slots=True)
class TaggerWords:
    """A linear chain on words, their shapes, beginnings and endings, two to either side.

    Attributes:
        penalty: Strength of the L2 penalty of the weights, > 0.
        least: Smallest probability of a span that is answered, in (0, 1). F1 is highest where it
            is half of the F1 that can be reached (Lipton, Elkan & Naryanaswamy 2014).
        iterations: Most steps of the optimiser.
    """

    name: ClassVar[str] = "tagger_words"
    kinds: ClassVar[tuple[Kind, ...]] = ("extract",)

    penalty: float = 1.0
    least: float = 0.3
    iterations: int = 60

    def __post_init__(self) -> None:
        _check(self.penalty, self.least, self.iterations)

    def supports(self, problem: Problem) -> str | None:
        """It needs a span."""
        return no_spans(problem)

    def fit(self, problem: Problem) -> WordTagger:
        """Look at the words, then train the chain."""
        words = tagged(problem)
        problem.progress(0.2)
        penalties = Penalties(self.penalty, 1.0)
        found = fit(words.observed(), penalties, self.iterations, problem.deadline,
                    lambda share: problem.progress(0.2 + 0.8 * share))  # fmt: skip
        problem.progress(1.0)
        return WordTagger(
            labels=problem.labels,
            link="spans",
            hashes=words.hashes,
            weights=found.sparse,
            follows=found.follows.astype(np.float32),
            least=self.least,
        )


@dataclass(frozen=True, slots=True)
class Tagger:
    """A linear chain on the encoder's states of words, and on all that ``tagger_words`` reads.

    Attributes:
        penalty: Strength of the L2 penalty of the weights of what is seen, > 0.
        penalty_states: The same of the weights of states, which are centred and of spread 1.
        least: Smallest probability of a span that is answered, in (0, 1).
        iterations: Most steps of the optimiser.
    """

    name: ClassVar[str] = "tagger"
    kinds: ClassVar[tuple[Kind, ...]] = ("extract",)

    penalty: float = 1.0
    penalty_states: float = 30.0
    least: float = 0.3
    iterations: int = 60

    def __post_init__(self) -> None:
        _check(min(self.penalty, self.penalty_states), self.least, self.iterations)

    def supports(self, problem: Problem) -> str | None:
        """It needs a span, and an encoder that gives states of words."""
        try:
            word_states(problem.encoder)
        except EncoderError as error:
            return f"{error.what[:1].upper()}{error.what[1:]}"
        return no_spans(problem)

    def fit(self, problem: Problem) -> StateTagger:
        """Encode the words, look at them, then train the chain."""
        words = tagged(problem)
        states = _states(problem, words)
        problem.progress(0.4)
        centre, spread = states.mean(axis=0), float(states.std()) or 1.0
        penalties = Penalties(self.penalty, self.penalty_states)
        scaled = ((states - centre) / np.float32(spread)).astype(np.float32)
        found = fit(words.observed(scaled), penalties, self.iterations, problem.deadline,
                    lambda share: problem.progress(0.4 + 0.6 * share))  # fmt: skip
        problem.progress(1.0)
        weights = found.dense / np.float32(spread)
        return StateTagger(
            labels=problem.labels,
            link="spans",
            hashes=words.hashes,
            weights=found.sparse,
            follows=found.follows.astype(np.float32),
            least=self.least,
            states=weights,
            bias=-(centre @ weights),
        )


def _states(problem: Problem, words: Tagged) -> NDArray[np.float32]:
    """States ``(N, d) float32`` of all words, text after text."""
    texts = [problem.texts[row] for row in words.rows]
    states = np.concatenate(list(word_states(problem.encoder).encode(texts)))
    if len(states) != len(words.tags) or not np.isfinite(states).all():
        raise EncoderError(
            f"it gave {len(states):,} states for {len(words.tags):,} words, or values that are not "
            "finite.",
            where=problem.encoder.name,
            advice="Run `milepost doctor` and export the encoder again.",
        )
    return states


def _check(penalty: float, least: float, iterations: int) -> None:
    if not 0 < penalty < inf or not 0 < least < 1 or iterations < 1:
        raise ValueError(
            "penalties must be above 0, least between 0 and 1, and iterations at least 1"
        )
