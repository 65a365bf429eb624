"""Looks for a better prompt: many are tried on few examples, the better half on twice as many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from milepost.entities.kinds import Kind
from milepost.entities.prompts import PromptTemplate
from milepost.predictors.prompting.asks import Ask
from milepost.predictors.prompting.predictor import PromptedPredictor
from milepost.strategies.prompting.edits import candidates, proposals, usable
from milepost.strategies.prompting.fitting import (
    Asker,
    Rows,
    Store,
    ask_of,
    asked_of,
    cannot_ask,
    directions,
    fitted,
    speaker_of,
    stable_rows,
)
from milepost.strategies.prompting.prompted_examples import diverse
from milepost.strategy import Problem

SHARE_FOR_EXAMPLES = 0.25
"""Share of the training examples from which those that a prompt shows are chosen; prompts are
compared on the others."""

LEFT_ALONE = 0.5
"""Share of the money left that a round does not touch: what is found must still answer."""

FEWEST = 16
"""Fewest solved examples on which prompts are compared."""


@dataclass(frozen=True, slots=True)
class PromptSearch:
    """Successive halving (Jamieson & Talwalkar 2016) over edits of a prompt.

    Prompts are compared by how many answers to training examples are right. A contest fits the
    strategy once for each fold, so that its out-of-fold answers come from prompts that were found
    without their rows; nothing else is ever looked at.

    Attributes:
        tried: Most prompts to begin with, at least 2.
        first: Examples of the first round, at least 1.
        most: Most examples of a round.
        proposed: Instructions that the model is asked to propose; 0 for none.
        shots: Numbers of examples to try besides none.
        counted_on: Most solved examples on which the answers of the prompt that is found are
            counted, >= 0.
    """

    name: ClassVar[str] = "prompt_search"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match")
    asks: ClassVar[bool] = True

    tried: int = 12
    first: int = 24
    most: int = 192
    proposed: int = 3
    shots: tuple[int, ...] = (4,)
    counted_on: int = 500

    def __post_init__(self) -> None:
        if self.tried < 2 or self.first < 1 or self.most < self.first:
            raise ValueError("tried must be at least 2, first at least 1 and most at least first")
        if not 0 <= self.proposed <= 16 or self.counted_on < 0:
            raise ValueError("proposed must lie between 0 and 16, and counted_on be at least 0")
        if any(not 1 <= number <= 64 for number in self.shots):
            raise ValueError("shots must lie between 1 and 64")

    def supports(self, problem: Problem) -> str | None:
        """It needs a language model, labels that answers can tell apart, and solved examples."""
        reason = cannot_ask(problem)
        if reason is None and len(problem.y) < FEWEST:
            return f"Comparing prompts takes {FEWEST} examples; there are {len(problem.y)}."
        return reason

    def fit(self, problem: Problem) -> PromptedPredictor:
        """Search, then count what the answers to the prompt that was found are worth."""
        order = stable_rows(problem, "search")
        reserved = int(len(order) * SHARE_FOR_EXAMPLES)
        pool, compared = order[:reserved], order[reserved:]
        shots = tuple(number for number in self.shots if number <= len(pool))
        store = Store()
        if shots:
            vectors = directions(problem, problem.texts)
            store = Store(diverse(vectors, problem.y, pool, max(shots)))
        told = proposals(problem, pool.tolist(), self.proposed)
        problem.progress(0.05)
        templates = usable(problem, candidates(problem, shots, told, self.tried))
        best = self._best(problem, templates, store, compared)
        problem.progress(0.7)
        if not best.shots:
            store = Store()
        # In the order of the other strategies: what was asked for one is not paid for again.
        rows = stable_rows(problem)
        rows = rows[~np.isin(rows, store.rows)][: self.counted_on]
        return fitted(
            problem,
            [asked_of(problem, best)],
            rows,
            store,
            lambda share: problem.progress(0.7 + 0.3 * share),
        )

    def _best(
        self,
        problem: Problem,
        templates: Sequence[PromptTemplate],
        store: Store,
        compared: Rows,
    ) -> PromptTemplate:
        """The prompt that is left; of equals the one that stands first, which is the plainer."""
        left = list(range(len(templates)))
        asks = [ask_of(problem, asked_of(problem, template)) for template in templates]
        examples = [(problem.texts[i], int(problem.y[i])) for i in store.rows.tolist()]
        number = min(self.first, len(compared))
        while len(left) > 1:
            rows = compared[:number]
            texts = [problem.texts[i] for i in rows.tolist()]
            if problem.deadline.passed or not _affordable(problem, asks, left, texts, examples):
                break
            said = Asker(problem)(
                [
                    (asks[at], texts, [tuple(examples[: templates[at].shots])] * len(texts))
                    for at in left
                ]
            )
            right = {
                at: int((each.labels == problem.y[rows]).sum())
                for at, each in zip(left, said, strict=True)
            }
            ranked = sorted(left, key=lambda at: (-right[at], at))
            last = number >= min(self.most, len(compared))
            left = ranked[: 1 if last else (len(ranked) + 1) // 2]
            number = min(2 * number, self.most, len(compared))
        return templates[left[0]]


def _affordable(
    problem: Problem,
    asks: Sequence[Ask],
    left: Sequence[int],
    texts: Sequence[str],
    examples: Sequence[tuple[str, int]],
) -> bool:
    """Whether a round leaves enough of the money."""
    speaker = speaker_of(problem)
    money = speaker.left()
    if money is None:
        return True
    requests = [
        asks[at].request(text, examples[: asks[at].prompt.template.shots])
        for at in left
        for text in texts
    ]
    return speaker.estimate(requests) <= (1.0 - LEFT_ALONE) * money
